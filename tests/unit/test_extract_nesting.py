"""Markup of any depth is parsed in bounded time, and nothing but depth is lost."""

from __future__ import annotations

import resource
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from crawlfleet.worker.extract import nesting
from crawlfleet.worker.extract.nesting import (
    FEW_TAGS,
    MAX_DEPTH,
    SOME_TAGS,
    flattened,
    with_few_roots,
    without_deep_tags,
)
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.fetch.port import Fetched


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<p>x" * (MAX_DEPTH * 3),
        b"<br><img src=x><a href=y>z" * MAX_DEPTH,
        b"<div><span>x</span></div>" * (MAX_DEPTH * 2),
        b"<div>" * MAX_DEPTH + b"</div>" * MAX_DEPTH,
    ],
)
def test_what_is_flat_enough_stays_as_it_is(body: bytes) -> None:
    assert flattened(body) == without_deep_tags(body) == body


def test_void_elements_of_a_long_page_are_no_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nesting, "without_deep_tags", lambda _: pytest.fail("it was walked through"))
    body = b"<div><b>x</b><br/>y<img src=x><HR class=z></div>" * (MAX_DEPTH + SOME_TAGS // 5)
    assert flattened(body) is body


def test_tags_that_are_too_deep_become_comments_and_links_and_texts_stay() -> None:
    # What is closed within a few levels stays, however deep it lies.
    middle = b"<i></i><p>text<div id='y'><a href=y>z</a></div>"
    deep = b"<div class=x>" * (MAX_DEPTH + 1) + middle + b"</div>" * (MAX_DEPTH + 1) + b"<b>after</b>"
    flat = b"<div class=x>" * MAX_DEPTH + b"<!div class=x>" + middle + b"<!/div>" + b"</div>" * MAX_DEPTH
    assert without_deep_tags(deep) == flat + b"<b>after</b>"
    assert flattened(deep) == deep
    assert flattened(deep + b"<br>" * FEW_TAGS) == flat + b"<b>after</b>" + b"<br>" * FEW_TAGS


@pytest.mark.parametrize(
    "tag", [b"<div>", b"<span>", b"<DIV\n>", b"<ul><li>", b"<div x='>'>", b"<div x='<'>", b"<table><tr><td>"]
)
def test_megabytes_of_open_tags_are_parsed(tag: bytes) -> None:
    body = tag * (2_000_000 // len(tag)) + b"<a href=x>y</a>" + b"</x>" * 100_000
    links = Page(Fetched(url="http://h/", body=body)).tree.css("a[href]")
    assert [node.text() for node in links] == ["y"]


def test_unclosed_comments_and_quotes_take_no_long_search() -> None:
    for piece in (b"<!--", b"<a ", b"<", b"<x", b'<a href="', b"</", b"y"):
        flattened(b"<b>" * (MAX_DEPTH + 1) + b"<x" + piece * 200_000)


@pytest.mark.parametrize(
    "unit",
    [
        "<div></x>",
        "<li><dt>",
        "<svg><a>",
        "<x></p>",
        "<div><b id={}></div>",
        "<div><B id={}></div></x></x>",
        "<p><b id={}></p>",
        "<span><div></span>",
        "<object></ruby><ruby><ruby><p></ruby>",
        "<div x='></div>'>",
        "<xmp><div></xmp>",
        '<x b"="y></x>',
        "<x y='<x></x>'>",
        "<x><!--</x>-->",
        "<table><td><x></x></table></x>",
    ],
)
@pytest.mark.parametrize("tags", [SOME_TAGS - 8, 60_000, 300_000])
def test_ends_that_close_nothing_do_not_hide_the_depth(unit: str, tags: int) -> None:
    body = "".join(unit.format(number) for number in range(tags // unit.count("<"))).encode()
    page = Page(Fetched(url="http://h/", body=body + b"<a href=x>y</a>"))
    started = time.process_time()
    assert page.tree.root is not None
    assert time.process_time() - started < 10


def _depth(markup: bytes) -> int:
    deepest, waiting = 0, [(LexborHTMLParser(markup).root, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        child = node.first_child if node is not None else None
        while child is not None:
            waiting.append((child, depth + 1))
            child = child.next
    return deepest


TAGS = (
    "a", "b", "body", "br", "button", "caption", "code", "dd", "div", "dl", "dt", "em", "font", "foreignObject",
    "form", "frameset", "h1", "head", "li", "math", "object", "option", "p", "path", "pre", "ruby", "script",
    "select", "span", "svg", "table", "tbody", "td", "template", "textarea", "title", "tr", "ul", "x", "xmp",
)  # fmt: skip
ELEMENTS = st.recursive(
    st.tuples(st.sampled_from(["<{}>", "</{}>", "<{} a='b' c>", "<{} a='>'>"]), st.sampled_from(TAGS)).map(
        lambda tag: tag[0].format(tag[1])
    ),
    lambda inner: st.tuples(st.sampled_from(TAGS), st.lists(inner, max_size=3)).map(
        lambda element: f"<{element[0]}>{''.join(element[1])}</{element[0]}>"
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(unit=st.lists(ELEMENTS, min_size=1, max_size=8))
def test_no_markup_gets_much_deeper_than_is_counted(unit: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nesting, "MAX_DEPTH", 20)
        patch.setattr(nesting, "MAX_GUESSED", 20)
        markup = without_deep_tags("".join(unit).encode() * 200)
    # What no page should have nests some levels for one that is counted, but never without an end.
    assert _depth(markup) < 200


@pytest.mark.parametrize("engine", ["turbohtml", "lexbor"])
@pytest.mark.parametrize("tag", [b"body", b"BoDy", b"html"])
def test_attributes_of_ever_more_roots_take_neither_time_nor_memory(engine: str, tag: bytes) -> None:
    tags = b"".join(b"<%b a%d=1>" % (tag, number) for number in range(20_000))
    page = Page(Fetched(url="http://h/", body=b"<!doctype html>" + tags + b"<a href=/x>y"), engine=open_engine(engine))
    started, before_kb = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert page.survey.links == ["/x"]
    assert time.process_time() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 300_000
    assert with_few_roots(tags[:10_000]) == tags[:10_000]


@pytest.mark.parametrize(
    "markup",
    [
        b"<div>" * 200_000 + b"<a href=/x>y",
        b"<p " + b" ".join(b"a%d=1" % number for number in range(100_000)) + b"><a href=/x>y",
        b"".join(b"<font size=%d>" % number for number in range(6_000)) + b"<p>" * 6_000 + b"<a href=/x>y",
        b"<b><p>" * 30_000 + b"</b>" * 30_000 + b"<a href=/x>y",
        b"<svg>" + b"<g>" * 200_000 + b"<a href=/x>y",
        b"<div><template shadowrootmode=open>" * 20_000 + b"<a href=/x>y",
    ],
    ids=["elements", "attributes", "reopened", "misnested", "foreign", "shadows"],
)
def test_turbohtml_reads_markup_that_others_take_hours_for(markup: bytes) -> None:
    page = Page(Fetched(url="http://h/", body=b"<!doctype html>" + markup), engine=open_engine("turbohtml"))
    assert page.survey.links == ["/x"]
    assert page.engine.text(page.root).strip() == "y"
    assert page.engine.html(page.root).endswith("</html>")


@given(st.lists(st.sampled_from([b"'", b'"', b">", b"<b", b"</b", b" "]), max_size=30).map(b"".join), st.data())
def test_the_value_that_is_open_after_a_tag_is_found_as_by_looking_at_each_tag(
    body: bytes, data: st.DataObject
) -> None:
    def expected(start: int) -> int:
        end = body.find(b">", start)
        for quote in (b"'", b'"'):
            if end > 0 and body.count(quote, start, end) % 2:
                closing = body.find(quote, end)
                return closing if closing > 0 else len(body)
        return 0

    starts = data.draw(st.lists(st.integers(1, len(body) + 1), unique=True).map(sorted))
    quotes = nesting.Quotes(body)
    assert [quotes.end(start) for start in starts] == [expected(start) for start in starts]
