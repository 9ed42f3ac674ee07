"""The starter job of a page: it loads, and gives rows on that page, whatever the page is like."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.job.job import Job, brief, load
from crawlfleet.demo.shop import BOOKS, list_path, pages
from crawlfleet.starter.starter_job import Starter, starter_job
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers

URL = "https://example.org/list?page=1"
REAL = [Path("/usr/share/doc") / name for name in ("python3.11/html", "postgresql-doc-15/html")]

CLASSES = f'a:b [x] "q" 1st \xe9t\xe9 .dot #hash ::text // {"x" * 500} \x07'
HOSTILE = "".join(
    f"""<div class='{CLASSES}' id="n{n}: #">
<h2 class='}}{{ !important' data-test='"]>*'>Thing {n}\x1b[31m</h2><b class="true">{n * 7}</b>
<a class="null" href="/t/{n}?a={{1..9}}&b='\n">more # of: {n} - 'it' "all"</a></div>"""
    for n in range(1, 7)
)
TAILWIND = "".join(
    f"""<div class="group relative flex flex-col rounded-lg p-4 hover:bg-[#fff] md:w-1/2">
<div class="mt-4 flex justify-between"><div><h3 class="text-sm text-gray-700"><a href="/p/{n}">Shirt {n}</a></h3>
<p class="mt-1 text-sm text-gray-500">Colour {n}</p></div>
<p class="text-sm font-medium text-gray-900">${n}.50</p></div><img class="w-full" src="/i/{n}.png"></div>"""
    for n in range(1, 9)
)
TABLE = "<table><thead><tr><th>Country</th><th>Capital city</th><th>People</th></tr></thead><tbody>" + "".join(
    f'<tr><td><a href="/c/{n}">Land {n}</a></td><td>City {n}</td><td>{n * 1000}</td></tr>' for n in range(1, 9)
)
PRODUCT = {
    "@context": "https://schema.org",
    "@graph": [
        {"@type": "WebSite", "name": "Shop", "url": "https://example.org/"},
        {
            "@type": "Product",
            "name": "Lamp",
            "sku": 7,
            "image": ["https://example.org/l.png"],
            "brand": {"@type": "Brand", "name": "Lux"},
            "offers": {"@type": "Offer", "price": "12.50", "priceCurrency": "EUR"},
            "releaseDate": "2031-02-03",
            "odd key's name": "x",
        },
    ],
}
EVENTS = [{"@type": "Event", "name": f"Concert {n}", "startDate": f"2031-01-0{n}T20:00:00Z"} for n in range(1, 5)]


def html(body: str, head: str = "") -> str:
    return f'<!doctype html><meta charset="utf-8"><title>The title</title>{head}<body>{body}</body>'


def linked(data: Any) -> str:
    return f'<script type="application/ld+json">{json.dumps(data)}</script>'


MICRODATA = "".join(
    f'<div itemscope itemtype="https://schema.org/Book"><span itemprop="name">Book {n}</span> by '
    f'<span itemprop="author">Author {n}</span><meta itemprop="isbn" content="97{n}"></div>'
    for n in range(1, 5)
)
POSTS = "".join(
    f'<li><article class="post post-{n}"><h2><a href="/{n}/">Post {n}</a></h2><time datetime="2031-0{n}-01">then</time>'
    f'<p class="post-excerpt">Some <b>words</b> of {n}, and more of them.</p><a class="more" href="/{n}/">Read on</a>'
    f"<ul><li><a class=tag href=/a>a{n}</a><li><a class=tag href=/b>b{n}</a></ul></article>"
    for n in range(1, 8)
)
GRAPH = '<meta property="og:image" content="/x.png"><meta name=description content=d>'
MANY = " ".join(f"a{n}b" for n in range(99))
NOTHING = html("<p>Just a text without anything around it.</p>")

KINDS: Mapping[str, tuple[str, str | bytes]] = {
    "the front page of the shop": ("text/html", pages()["/"]),
    "a list of the shop": ("text/html", pages()[list_path(3)]),
    "a book of the shop": ("text/html", pages()[BOOKS[7].path]),
    "a page of the shop with little": ("text/html", pages()["/newsletter.html"]),
    "hostile names": ("text/html", html(f"<main>{HOSTILE}</main>")),
    "names of a utility framework": ("text/html", html(f'<div class="mx-auto grid">{TAILWIND}</div>')),
    "no names at all": ("text/html", html(f"<div>{re.sub(' class=.[^>]*?.(?=[ >])', '', POSTS)}</div>")),
    "a table": ("text/html", html(TABLE)),
    "a blog": ("text/html", html(f'<ul class="posts">{POSTS}</ul><nav><a class="next" href="?page=2">Next</a></nav>')),
    "nothing that repeats": ("text/html", NOTHING),
    "a title alone": ("text/html", html("")),
    "JSON-LD alone": ("text/html", html("", linked(PRODUCT))),
    "a list in JSON-LD": ("text/html", html("<div id=app></div>", linked(EVENTS))),
    "an ItemList": (
        "text/html",
        html("", linked({"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": e} for e in EVENTS]})),
    ),
    "microdata": ("text/html", html(MICRODATA)),
    "OpenGraph alone": ("text/html", html("", GRAPH)),
    "broken data": ("text/html", html("<p>x</p>", '<script type="application/ld+json">{"@type": </script>')),
    "noindex": ("text/html", html(f"<ul>{POSTS}</ul>", "<meta name=robots content=noindex>")),
    "no markup": ("text/html", "just words"),
    "nothing": ("text/html", ""),
    "blanks": ("text/html", " \n"),
    "bytes that are no text": ("text/html", bytes(range(256)) * 20),
    "deep nesting": ("text/html", "<div>" * 3_000 + "end"),
    "one very long list": ("text/html", html("<li class=x><b>1</b> <i>2</i>" * 5_000)),
    "many names": ("text/html", html("".join(f"<p class='c{n}a d{n}b'>x{n}<b>y</b></p>" for n in range(9_000)))),
    "blocks that are deep": ("text/html", html(f"<section>{'<div>' * 200}t<i>u</i>{'</div>' * 200}</section>" * 60)),
    "many names of each": ("text/html", html(f"<div class='{MANY}'><p>x<b>y</b></div>" * 999)),
    "very long texts": ("text/html", html("<div class=long>" + "word " * 500_000 + "</div>" + POSTS)),
    "a JSON answer": ("application/json", json.dumps({"total": 3, "offers": [{"name": "a", "p": {"value": 1}}] * 3})),
    "a JSON list": ("application/json", json.dumps([{"odd key": n, "url": "https://example.org/"} for n in range(3)])),
    "a JSON object": ("application/json", json.dumps({"id": 5, "name": "x"})),
    "a JSON number": ("application/json", "5"),
    "broken JSON": ("application/json", "{"),
    "a PDF": ("application/pdf", b"%PDF-1.7 \x00\xff"),
    "plain text": ("text/plain", "a\nb"),
    "no type": ("", "\x00\x01"),
}  # fmt: skip


def answer(kind: str, body: str | bytes) -> Fetched:
    data = body if isinstance(body, bytes) else body.encode()
    return Fetched(url=URL, status=200, headers=Headers((("Content-Type", kind),)), body=data)


def made(body: str | bytes, kind: str = "text/html; charset=utf-8") -> Starter:
    return starter_job(answer(kind, body), "example-org", "job.yaml")


def loaded(starter: Starter, folder: Path) -> Job:
    path = folder / "job.yaml"
    path.write_text(starter.text, encoding="utf-8")
    return load(path)


def given(starter: Starter, fetched: Fetched, folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the rows of a page under its starter job, as a crawl has them."""
    extracted = Extractor(brief(loaded(starter, folder))).extract(fetched)
    assert not extracted.error
    assert not extracted.unconverted
    return [(row.item, row.fields) for row in extracted.rows]


def fields(starter: Starter, folder: Path, item: int = 0) -> dict[str, Any]:
    return dict(loaded(starter, folder).items[item].fields)


@pytest.mark.parametrize("name", KINDS)
def test_the_job_of_any_page_loads_and_gives_rows_on_it(name: str, tmp_path: Path) -> None:
    fetched = answer(*KINDS[name])
    starter = starter_job(fetched, "example-org", "job.yaml")
    rows = given(starter, fetched, tmp_path)
    if name == "noindex":
        assert not rows
        assert "asks not to be indexed" in starter.text
        return
    assert rows
    for item in loaded(starter, tmp_path).items:
        found = [row for rule, row in rows if rule == item.name]
        assert all(any(row[field] for row in found) for field in item.fields), "a field is always empty"
    assert all(line.isprintable() for line in starter.text.splitlines())
    assert max(map(len, starter.text.splitlines())) < 1_000


@pytest.mark.server
@pytest.mark.parametrize("folder", REAL, ids=lambda folder: folder.parent.name)
def test_the_job_of_a_page_of_real_documentation_has_a_rule_that_gives_rows(folder: Path, tmp_path: Path) -> None:
    if not folder.is_dir():
        pytest.skip(f"{folder} is not installed")
    for path in sorted(folder.rglob("*.html"))[::50]:
        fetched = answer("text/html", path.read_bytes())
        starter = starter_job(fetched, "docs", "job.yaml")
        rows = given(starter, fetched, tmp_path)
        assert {name for name, _ in rows} == {item.name for item in loaded(starter, tmp_path).items} != set(), path


def test_a_list_becomes_a_rule_with_a_row_for_each_block(tmp_path: Path) -> None:
    starter = made(pages()[list_path(1)])
    rows = given(starter, answer("text/html", pages()[list_path(1)]), tmp_path)
    assert starter.rows == {"product": 20}
    assert [row["title"] for _, row in rows] == [book.title for book in BOOKS[:20]]
    assert rows[0][1]["price"] == {"amount": f"{BOOKS[0].price / 100:.2f}", "currency": "£"}
    assert rows[0][1]["link"] == f"https://example.org{BOOKS[0].path}"
    assert "# follow: ['a[rel=next]', article.product]" in starter.text


def test_a_page_about_one_thing_becomes_a_rule_for_the_page(tmp_path: Path) -> None:
    book = next(book for book in BOOKS if len(book.tags) == 3)
    ((item, row),) = given(made(pages()[book.path]), answer("text/html", pages()[book.path]), tmp_path)
    assert (item, row["title"], row["author"]) == ("detail", book.title, book.author)
    assert (row["availability"], tuple(row["tags"])) == (book.availability, book.tags)
    assert row["facts"][0] == {"name": "Number", "value": f"{book.number:05}"}


def test_names_that_say_how_things_look_are_not_used(tmp_path: Path) -> None:
    name, page = "names of a utility framework", KINDS["names of a utility framework"]
    rows = given(made(page[1]), answer(*page), tmp_path)
    assert len(rows) == 8
    assert rows[2][1] == {
        "title": "Shirt 3",
        "link": "https://example.org/p/3",
        "text": "Colour 3",
        "price": {"amount": "3.50", "currency": "$"},
        "image": "https://example.org/i/3.png",
    }
    assert "." not in re.sub(r"\.(?=yaml|org|png)", "", re.sub(r"#.*", "", made(page[1]).text)), name


def test_hostile_names_are_left_out_and_what_they_hold_is_found(tmp_path: Path) -> None:
    page = KINDS["hostile names"]
    rows = given(made(page[1]), answer(*page), tmp_path)
    assert len(rows) == 6
    assert rows[1][1]["title"].startswith("Thing 2")


def test_columns_of_a_table_are_called_by_their_heads(tmp_path: Path) -> None:
    rows = given(made(html(TABLE)), answer("text/html", html(TABLE)), tmp_path)
    assert rows[-1][1] == {
        "country": "Land 8",
        "link": "https://example.org/c/8",
        "capital_city": "City 8",
        "people": 8000,
    }


def test_rows_of_a_table_are_found_in_long_prose_and_so_is_the_prose(tmp_path: Path) -> None:
    body = html(
        f"<h1>Lands</h1><div id=content><p>{'Much is said. ' * 60}</p>{TABLE.replace('thead', 'tbody')}</table></div>"
    )
    rows = given(made(body), answer("text/html", body), tmp_path)
    assert [row["capital_city"] for _, row in rows[:-1]] == [f"City {n}" for n in range(1, 9)]
    assert rows[-1][1]["title"] == "Lands"
    assert "Much is said" in rows[-1][1]["text"]


def test_rows_of_two_kinds_that_take_turns_are_told_apart(tmp_path: Path) -> None:
    one, other = (
        '<tr class="story"><td>{0}.<td><a href="/{0}">Story {0}</a></tr>',
        "<tr><td><td><b>{0}9</b> points</tr>",
    )
    body = html(f"<table class=news>{''.join((one + other).format(n) for n in range(1, 9))}</table>")
    rows = given(made(body), answer("text/html", body), tmp_path)
    assert [(name, row["title"]) for name, row in rows] == [("story", f"Story {n}") for n in range(1, 9)]


def test_posts_have_dates_lists_and_texts_with_what_is_in_them(tmp_path: Path) -> None:
    page = KINDS["a blog"]
    rows = given(made(page[1]), answer(*page), tmp_path)
    assert rows[0] == (
        "post",
        {
            "title": "Post 1",
            "link": "https://example.org/1/",
            "date": "2031-01-01",
            "summary": "Some words of 1, and more of them.",
            "tags": ["a1", "b1"],
        },
    )


def test_data_of_a_page_becomes_a_rule(tmp_path: Path) -> None:
    page = KINDS["JSON-LD alone"]
    ((item, row),) = given(made(page[1]), answer(*page), tmp_path)
    assert (item, row["name"], row["sku"], row["brand"]) == ("product", "Lamp", 7, "Lux")
    assert (row["price"], row["price_currency"], row["release_date"]) == ("12.50", "EUR", "2031-02-03")
    assert "odd_key_s_name" in row


@pytest.mark.parametrize("name", ["a list in JSON-LD", "an ItemList"])
def test_a_list_in_data_becomes_a_rule_with_a_row_for_each(name: str, tmp_path: Path) -> None:
    rows = given(made(KINDS[name][1]), answer(*KINDS[name]), tmp_path)
    assert rows[-1] == ("event", {"name": "Concert 4", "start_date": "2031-01-04T20:00:00+00:00"})
    assert len(rows) == 4


def test_a_json_answer_becomes_a_rule_for_its_longest_list(tmp_path: Path) -> None:
    page = KINDS["a JSON answer"]
    rows = given(made(page[1], page[0]), answer(*page), tmp_path)
    assert rows == [("offer", {"name": "a", "p": 1})] * 3


def test_the_address_is_no_range(tmp_path: Path) -> None:
    fetched = Fetched(url="https://example.org/?a={1..5}", status=200, body=NOTHING.encode())
    assert loaded(starter_job(fetched, "example-org", "job.yaml"), tmp_path).seeds == (
        "https://example.org/?a=%7B1..5%7D",
    )


@pytest.mark.parametrize(
    "text", ["x # y", "- a", "null", "'", '"', "\\", "a: b", "12", "*x", "{", "é", "\x85", "\u202e"]
)
def test_what_a_page_says_is_only_said_in_comments_and_values(text: str, tmp_path: Path) -> None:
    body = html("".join(f"<li><b>{escape(text)} {n}</b> <i title='{escape(text)}'>{n}</i>" for n in range(9)))
    starter = made(body)
    assert len(given(starter, answer("text/html; charset=utf-8", body), tmp_path)) == 9
