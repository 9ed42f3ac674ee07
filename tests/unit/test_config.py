"""The jobs that come with the project: all load, and the twins give the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.job.job import brief, load
from crawlfleet.demo.shop import BOOKS, BOOKS_A_LIST, list_path, pages
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers
from crawlfleet.worker.hooks import load_hook

CONFIG = Path(__file__).parents[2] / "config"

LISTING = """<!doctype html><html><head><meta charset="utf-8"><title>博客园</title></head><body>
<a class="brand" href="/">home</a>
<div id="post_list"><article class="post-item"><section><div class="post-item-text">
  <a class="post-item-title" href="https://www.cnblogs.com/one/p/1.html" target="_blank">First
     post &amp; <b>more</b></a><p class="post-item-summary">words</p></div></section></article>
<article class="post-item"><a class="post-item-title hot" href="https://www.cnblogs.com/two/p/2.html?a=1&amp;b">
  分布式爬虫</a></article>
<article class="post-item"><a class="post-item-titles" href="/no">no</a></article>
<article class="post-item"><a class="post-item-title" href="/three"></a></article></div></body></html>"""


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_every_job_loads(path: Path) -> None:
    assert brief(load(path)).job == load(path).name


def test_demo_job_reads_the_books_of_the_demo_site() -> None:
    job = load(CONFIG / "demo.yaml")
    assert job.seeds == ("http://127.0.0.1:8765/",)
    book = BOOKS[0]
    (row,) = Extractor(brief(job)).extract(_page(job.seeds[0] + book.path[1:], pages()[book.path])).rows
    assert row.item == "book"
    assert (row.fields["title"], row.fields["author"]) == (book.title, book.author)
    assert (row.fields["price"], row.fields["availability"]) == (book.price_text, book.availability)
    assert row.fields["facts"][0] == {"name": "Number", "value": "00001"}
    assert tuple(row.fields["tags"]) == book.tags


@pytest.mark.parametrize("name", ["demo.yaml", "compose.yaml"])
def test_demo_jobs_are_not_slowed_down_by_the_errors_that_the_demo_site_plays(name: str) -> None:
    politeness = load(CONFIG / name).politeness
    assert (politeness.delay_s, politeness.adaptive) == (0.0, False)


def test_demo_job_reads_the_lists_of_the_demo_site() -> None:
    job = load(CONFIG / "demo.yaml")
    (site,) = job.seeds
    assert isinstance(site, str)
    rows = Extractor(brief(job)).extract(_page(site + list_path(1)[1:], pages()[list_path(1)])).rows
    assert [row.item for row in rows] == ["listing"] * BOOKS_A_LIST
    assert [row.fields["title"] for row in rows] == [book.title for book in BOOKS[:BOOKS_A_LIST]]
    assert all(row.fields["link"] and row.fields["price"] for row in rows)


def test_cnblogs_jobs_ask_for_the_fifty_listing_pages_and_nothing_else() -> None:
    for name in ("cnblogs.yaml", "cnblogs_hook.yaml"):
        job = load(CONFIG / name)
        assert job.seeds == tuple(f"https://www.cnblogs.com/sitehome/p/{n}" for n in range(1, 51))
        assert job.follow == ()


def test_cnblogs_rules_and_hook_give_the_same_rows() -> None:
    by_rules, by_hook = _rows("cnblogs.yaml"), _rows("cnblogs_hook.yaml")
    assert by_rules == by_hook
    assert by_rules == [
        ("post", 0, {"address": "https://www.cnblogs.com/one/p/1.html", "text": "First post & more"}),
        ("post", 1, {"address": "https://www.cnblogs.com/two/p/2.html?a=1&b", "text": "分布式爬虫"}),
        ("post", 2, {"address": "/three", "text": ""}),
    ]


def _rows(name: str) -> list[tuple[str, int, dict[str, Any]]]:
    job = brief(load(CONFIG / name))
    parse = load_hook(job.hook) if job.hook is not None else None
    found = Extractor(job, parse).extract(_page("https://www.cnblogs.com/sitehome/p/1", LISTING))
    assert found.error == ""
    assert found.outlinks == ()
    return [(row.item, row.index, row.fields) for row in found.rows]


def _page(url: str, html: str) -> Fetched:
    headers = Headers((("Content-Type", "text/html; charset=utf-8"),))
    return Fetched(url=url, status=200, headers=headers, body=html.encode())
