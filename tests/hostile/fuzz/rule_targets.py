"""What the rules of a job take of pages: texts that become values of a type, and data in markup."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

from crawlfleet.shared.brief import FieldRule
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.field_types import FIELD_TYPES, fits
from crawlfleet.shared.plain_values import FIELD_DEPTH, refuse_odd_parts
from crawlfleet.shared.web.urls import canonicalize
from crawlfleet.worker.extract import data
from crawlfleet.worker.extract.conversion import Convert, Unconvertible, converter
from crawlfleet.worker.extract.markup import markdown
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.port import ParseEngine, Source
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.fetch.port import Fetched
from tests.hostile.fuzz.target import Target, any_of, bytes_of, text_of, together

_URL = "http://h.test/a/b?c"
_HINTS: tuple[dict[str, Any], ...] = (
    {"type": "decimal", "decimal_separator": ","},
    {"type": "price", "decimal_separator": ",", "currency": "EUR"},
    {"type": "date", "format": "%d.%m.%Y"},
    {"type": "datetime", "format": "iso"},
    {"type": "date", "languages": ("de",)},
)
_RULES = (*({"type": kind} for kind in FIELD_TYPES), *_HINTS)
_VALUES = (
    "0", "1", "12", "345", "2024", "00", ".", ",", " ", "'", "\u2009", "-", "\u2212", "+", "e", "E9", "e-400", "$",
    "\u20ac", "EUR", "kr", "free", "May", "Mon", "T", "Z", ":", "/", "am", "pm", "+01:00", "GMT", "st", "W", "{", "}",
    "[", "]", '"', "\\ud800", "null", "NaN", "true", "yes", "http:", "//", "?", "#", "\u0663", "9" * 39, "a", "\0",
)  # fmt: skip


@cache
def _convert(number: int) -> Convert:
    return converter(FieldRule(name="x", **_RULES[number]))


@cache
def _page() -> Page:
    return Page(Fetched(url=_URL, status=200))


def fields_hold(given: tuple[int, str]) -> None:
    """Check that any text becomes a value of its type, or none."""
    number, text = given
    with suppress(Unconvertible):
        value = _convert(number)(text, _page())
        assert fits(_RULES[number]["type"], value), value
        refuse_odd_parts(value, "value", FIELD_DEPTH)


_DATA = (
    b"<script type=application/ld+json>", b"</script>", b"<!--", b"-->", b"//<![CDATA[", b"]]>", b"{", b"}", b"[",
    b"]", b'"', b":", b",", b"@graph", b"@type", b"https://schema.org/", b"Product", b"name", b"1e999", b"\\ud800",
    b"\n", b";", b"<div itemscope", b" itemprop=a", b" itemprop='a b'", b" itemref='i j'", b" id=i", b" id=j",
    b" itemtype=x/Y", b" itemid=/z", b">", b"</div>", b"<a itemprop=u href=/v>", b"<time itemprop=t datetime=1>",
    b"<meta property=og:title content=t>", b"<meta itemprop=m content=c>", b"<meter itemprop=q value=1>", b"text",
    b"NaN", b"9" * 400, b"null", b"\xff", b"<svg>", b"<template>",
)  # fmt: skip


@cache
def _engines() -> dict[str, ParseEngine]:
    return {name: open_engine(name) for name in PARSE_ENGINES}


def data_hold(markup: bytes) -> None:
    """Check that the data of any markup are plain, and the same by every engine."""
    found = []
    for engine in _engines().values():
        root = engine.root(Source(markup, "text/html"))
        found.append(
            (
                data.linked_data(engine, root),
                data.open_graph(engine, root),
                data.microdata(engine, root, lambda address: canonicalize(address, _URL)),
            )
        )
    assert all(str(each) == str(found[0]) for each in found), found


_MARKDOWN = (
    "<ol>", "<ol start=5>", "<ol start=\u00b2>", "<ul>", "<li>", "</ol>", "</ul>", "<pre>", "</pre>", "<p>", "</p>",
    "<table>", "<thead>", "<tr>", "<td colspan=2>", "<th>", "</table>", "<h1>", "<h9>", "<b>", "</b>", "<code>", "`",
    "<a href=/x title=t>", "<img src=y alt=a>", "<br>", "<hr>", "<blockquote>", "<dl>", "<dt>", "<dd>", "<q>", "\n",
    "\n\n", "  ", "\t", "*", "_", "#", "1.", "-", "|", "\\", "<sup>", "<video poster=p src=s>", "<figcaption>", "text",
)  # fmt: skip


def markdown_holds(markup: str) -> None:
    """Check that any markup becomes Markdown, but for what is nested too deep."""
    with suppress(RecursionError):
        text = markup.encode(errors="replace").decode()  # as parsers give it
        assert markdown(text, lambda address: canonicalize(address, _URL)) is not None


TARGETS = {
    "markdown": Target(text_of(*_MARKDOWN), markdown_holds),
    "fields": Target(together(any_of(range(len(_RULES))), text_of(*_VALUES)), fields_hold),
    "data": Target(bytes_of(*_DATA), data_hold),
}
