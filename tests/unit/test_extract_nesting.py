"""Markup of any depth is parsed in bounded time, and nothing but depth is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from crawlfleet.worker.extract import nesting
from crawlfleet.worker.extract.nesting import FEW_TAGS, MAX_DEPTH, SOME_TAGS, flattened, without_deep_tags
from crawlfleet.worker.extract.page import Page
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
