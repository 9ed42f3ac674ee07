"""The jobs of the page about typed data, run from its own text: against the demo shop, and a small site."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crawlfleet.demo.server import DemoSite
from crawlfleet.demo.shop import BOOKS, author_path
from tests.acceptance.crawls import lines, run
from tests.site.small_site import serving

PAGE = (Path(__file__).parents[2] / "docs/how-to/extract-typed-data.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```yaml job=(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
LAMP = """<title>Lamp</title><meta property="og:image" content="/lamp.png"><script type="application/ld+json">
{"@type": "Product", "name": "Lamp", "offers": {"price": 12.5, "priceCurrency": "EUR"}}</script>
<div itemscope itemtype="https://schema.org/AggregateRating"><b itemprop="ratingValue">4.5</b></div>
<time datetime="2024-05-06T07:08:09+02:00">today</time>"""
OFFERS: list[dict[str, Any]] = [
    {
        "name": "A",
        "price": "5",
        "variants": [{"size": "S"}, {"size": 42}],
        "seller": {"name": "x", "address": {"city": "y"}},
    },
    {"name": "B", "price": "6 USD", "variants": []},
    {"price": "7"},
]


def crawled(name: str, site: str, base: str, folder: Path) -> list[dict[str, Any]]:
    """Run a job of the page on a site of this machine; return its rows."""
    (folder / "job.yaml").write_text(BLOCKS[name].replace(site, base), encoding="utf-8")
    done = run(folder, "run", "job.yaml", "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    return lines(folder / "crawls" / f"typed-{name}" / "items.jsonl")


@contextmanager
def shop() -> Iterator[str]:
    site = DemoSite("127.0.0.1", 0, slow_s=0.0)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    try:
        yield site.base.rstrip("/")
    finally:
        site.shutdown()
        site.server_close()


def test_the_shop_has_its_books_with_their_types(tmp_path: Path) -> None:
    with shop() as base:
        rows = crawled("shop", "http://127.0.0.1:8765", base, tmp_path)
    found = {row.pop("url"): row for row in rows}
    assert len(found) == len(rows) == len(BOOKS)
    for book in BOOKS:
        pages = 120 + book.number * 13 % 400
        facts = f"| Number | {book.number:05} |\n| Pages | {pages} |\n| Language | English |"
        assert found[base + book.path] == {
            "item": "book",
            "title": book.title,
            "author": book.author,
            "author_link": base + author_path(book.author),
            "price": {"amount": f"{book.price / 100:.2f}", "currency": "£"},
            "copies": book.copies,
            "pages": pages,
            "tags": ", ".join(book.tags),
            "facts": f"|  |  |\n| --- | --- |\n{facts}",
        }
    (shown,) = re.findall(r"^```json\n(.{50,}?)^```$", PAGE, re.DOTALL | re.MULTILINE)[:1]
    first = BOOKS[0]
    assert json.loads(shown) == {"url": f"http://127.0.0.1:8765{first.path}"} | found[base + first.path] | {
        "author_link": f"http://127.0.0.1:8765{author_path(first.author)}"
    }


def test_a_page_with_data_gives_its_product(tmp_path: Path) -> None:
    with serving({"/lamp.html": LAMP}) as site:
        rows = crawled("data", "https://shop.example.org", site.base, tmp_path)
    assert rows == [
        {
            "url": f"{site.base}/lamp.html",
            "item": "product",
            "name": "Lamp",
            "price": "12.5",
            "currency": "EUR",
            "stars": 4.5,
            "image": f"{site.base}/lamp.png",
            "updated": "2024-05-06T07:08:09+02:00",
        }
    ]


def test_json_answers_give_offers_and_one_without_a_title_is_set_aside(tmp_path: Path) -> None:
    answers = {f"/offers?page={number}": json.dumps({"offers": OFFERS[number - 1 :: 2]}) for number in (1, 2)}
    with serving(answers) as site:
        rows = crawled("answers", "https://api.example.org", site.base, tmp_path)
    assert sorted((row["title"], row["price"], row["sizes"], row["seller"]) for row in rows) == [
        ("A", {"amount": "5", "currency": "EUR"}, ["S", 42], {"name": "x", "city": "y"}),
        ("B", {"amount": "6", "currency": "USD"}, [], None),
    ]
    (aside,) = lines(tmp_path / "crawls" / "typed-answers" / "rejected.jsonl")
    assert (aside["reason"], aside["row"]["price"]) == (
        "title is required, and empty",
        {"amount": "7", "currency": "EUR"},
    )
