"""Markup of any depth is parsed in bounded time, and nothing but depth is lost."""

from __future__ import annotations

import pytest

from worker.extract.nesting import MAX_DEPTH, flattened
from worker.extract.page import Page
from worker.fetch import Fetched


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
    assert flattened(body) == body


def test_tags_that_are_too_deep_become_comments_and_links_and_texts_stay() -> None:
    middle = b"text<a href=y>z</a>"
    deep = b"<div class=x>" * (MAX_DEPTH + 1) + middle + b"</div>" * (MAX_DEPTH + 1) + b"<b>after</b>"
    flat = b"<div class=x>" * MAX_DEPTH + b"<!div class=x>" + middle + b"<!/div>" + b"</div>" * MAX_DEPTH
    assert flattened(deep) == flat + b"<b>after</b>"


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
