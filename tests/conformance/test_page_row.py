"""The row of a page without rules, over every parse engine."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.shared.brief import Brief, ParseSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.messages import PAGE_FIELDS
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.extract.page_row import MAX_TEXT_CHARS
from crawlfleet.worker.fetch.port import Fetched, Headers


@pytest.fixture(params=sorted(PARSE_ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def row_of(engine: str, body: str, *headers: tuple[str, str], depth: int = 0) -> dict[str, Any]:
    given = Headers((("Content-Type", "text/html; charset=utf-8"), *headers))
    brief = Brief(job="j", scope=ScopeSpec(hosts=("h",)), parse=ParseSpec(engine=engine))
    fetched = Fetched(url="http://h/p", status=200, headers=given, body=body.encode())
    (row,) = Extractor(brief).extract(fetched, depth).rows
    assert (row.item, tuple(row.fields)) == ("page", PAGE_FIELDS)
    return row.fields


def test_all_that_a_page_says_of_itself_is_in_its_row(engine: str) -> None:
    body = (
        "<!doctype html><html lang=de-AT><head><title> A\n title </title><link rel=canonical href=/c>"
        "<meta name=Description content=' What it\n is about '></head><body><h1>The <b>first</b><br>one</h1><h1>no</h1>"
    )
    assert row_of(engine, body, depth=3) == {
        "status": 200,
        "content_type": "text/html",
        "title": "A title",
        "size": len(body),
        "canonical": "http://h/c",
        "description": "What it is about",
        "h1": "The first one",
        "language": "de-AT",
        "depth": 3,
    }


@pytest.mark.parametrize(
    ("body", "description"),
    [
        ("<p>x", None),
        ("<meta name=description>", ""),
        ("<meta name=description content=''>", ""),
        ("<meta name=description content=one><meta name=description content=two>", "one"),
        ("<meta property=og:description content=other><meta name=descriptions content=no>", None),
        ("<body><meta name='DESCRIPTION ' content='in &lt;the&gt; body'>", "in <the> body"),
    ],
)
def test_the_first_description_counts(engine: str, body: str, description: str | None) -> None:
    assert row_of(engine, body)["description"] == description


@pytest.mark.parametrize(
    ("body", "heading"),
    [
        ("<h2>x</h2>", None),
        ("<h1></h1><h1>second</h1>", ""),
        ("<h1><img alt=logo></h1>", ""),
        ("<div><h1>deep<script>no</script></h1></div>", "deep"),
        ("<template><h1>unseen</h1></template><h1>seen</h1>", "seen"),
    ],
)
def test_the_first_heading_counts(engine: str, body: str, heading: str | None) -> None:
    assert row_of(engine, body)["h1"] == heading


@pytest.mark.parametrize(
    ("body", "header", "language"),
    [
        ("<p>x", "", None),
        ("<html lang=en>", "de", "en"),
        ("<html lang=''>", "de", None),
        ("<html LANG=pt-BR>", "", "pt-BR"),
        ("<p lang=fr>x", "", None),
        ("<meta http-equiv=Content-Language content=' it x'>", "de", "it"),
        ("<meta http-equiv=content-language content='it, de'>", "", None),
        ("<meta http-equiv=content-language content=' '>", "de", "de"),
        ("<p>x", "de", "de"),
        ("<p>x", "de, en", None),
    ],
)
def test_the_language_is_that_of_the_document(engine: str, body: str, header: str, language: str | None) -> None:
    assert row_of(engine, body, *([("Content-Language", header)] if header else []))["language"] == language


def test_texts_without_an_end_are_cut(engine: str) -> None:
    text = "a word " * 100_000
    row = row_of(engine, f"<html lang='{text}'><meta name=description content='{text}'><h1>{text}")
    for name in ("description", "h1", "language"):
        assert len(row[name]) == MAX_TEXT_CHARS, name


def test_what_is_no_html_has_what_its_header_says() -> None:
    headers = Headers((("content-type", "application/pdf"), ("content-language", "en")))
    brief = Brief(job="j", scope=ScopeSpec(hosts=("h",)))
    (row,) = Extractor(brief).extract(Fetched(url="http://h/p", status=200, headers=headers, body=b"%PDF <h1>x")).rows
    known = {name: value for name, value in row.fields.items() if value is not None}
    assert known == {"status": 200, "content_type": "application/pdf", "size": 10, "language": "en", "depth": 0}
