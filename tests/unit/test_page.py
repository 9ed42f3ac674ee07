"""The page as hooks see it: everything lazy, parsed at most once."""

from __future__ import annotations

import sys
import warnings

import pytest
from bs4 import BeautifulSoup

from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.fetch.port import Fetched, Headers


def page(body: bytes, content_type: str = "text/html; charset=utf-8", **more: object) -> Page:
    headers = Headers((("Content-Type", content_type),)) if content_type else Headers()
    return Page(Fetched(url="http://h/dir/p", status=200, headers=headers, body=body), **more)  # type: ignore[arg-type]  # fields of a test


def test_a_page_tells_what_was_fetched() -> None:
    made = page("<title> é\n x</title>".encode(), fleet="fleet")
    assert (made.url, made.status, str(made.fleet)) == ("http://h/dir/p", 200, "fleet")
    assert made.headers["content-type"] == "text/html; charset=utf-8"
    assert (made.content_type, made.is_html, made.title) == ("text/html", True, "é x")
    assert made.text == "<title> é\n x</title>"


def test_soup_and_tree_read_the_same_page() -> None:
    made = page("<p class=x>caf\xe9 <b>b</b></p>".encode("latin-1"), "text/html; charset=latin1")
    node, tag = made.tree.css_first("p.x"), made.soup.find("p", class_="x")
    assert node is not None
    assert tag is not None
    assert node.text() == tag.text == "café b"
    assert made.soup is made.soup
    assert made.tree is made.tree


@pytest.mark.parametrize(
    "body",
    [b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>', b"a.html", b"http://a.test/", b""],
)
@pytest.mark.filterwarnings("error")
def test_a_soup_warns_of_nothing_that_its_reader_could_change(body: bytes) -> None:
    soup = page(body).soup
    assert str(soup) == str(bs4_without_warnings(body.decode()))


def bs4_without_warnings(text: str) -> BeautifulSoup:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return BeautifulSoup(text, "lxml")


def test_soup_is_loaded_only_when_asked_for() -> None:
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "bs4"}
    for name in kept:
        del sys.modules[name]
    try:
        made = page(b"<title>x</title><a href=y>")
        assert (made.title, made.base) == ("x", "http://h/dir/p")
        assert "bs4" not in sys.modules
    finally:
        sys.modules.update(kept)


def test_title_is_none_where_there_is_none() -> None:
    assert page(b"<p>x").title is None
    assert page(b"<title>x</title>", "text/plain").title is None
    assert page(b"<title></title>").title == ""


def test_a_mark_is_no_part_of_the_tree() -> None:
    body = page(b"\xef\xbb\xbfhello").tree.body
    assert body is not None
    assert body.text() == "hello"


@pytest.mark.parametrize(
    ("body", "header", "canonical"),
    [
        ("<link rel=canonical href=/x>", "", "http://h/x"),
        ("<link rel='CANONICAL foo' href='http://other/x#y'>", "", "http://other/x"),
        ("<link rel=canonical href=p>", "", "http://h/dir/p"),
        ("<link rel=canonical href=/x><body><link rel=canonical href=/x>", "</x>; rel=canonical", "http://h/x"),
        ("<link rel=canonical href=/x><link rel=canonical href=/y>", "", None),
        ("<link rel=canonical href=/x>", "</y>; rel=canonical", None),
        ("<base href=/up/>", "<y>; rel=canonical", "http://h/dir/y"),
        ("<link rel=canonical href='mailto:x'>", "", None),
        ("<link rel=canonical href><a rel=canonical href=/x>", "", None),
    ],
)
def test_a_page_names_one_canonical_address_or_none(body: str, header: str, canonical: str | None) -> None:
    headers = Headers((("Content-Type", "text/html"), ("Link", header)))
    assert Page(Fetched(url="http://h/dir/p", status=200, headers=headers, body=body.encode())).canonical == canonical


def test_json_is_read_or_refused() -> None:
    assert page(b'{"a": [1]}', "application/json").json() == {"a": [1]}
    with pytest.raises(ValueError, match="Expecting value"):
        page(b"<html>").json()


@pytest.mark.parametrize(
    ("body", "html"),
    [
        (b"<!DOCTYPE html>x", True),
        (b"\xef\xbb\xbf \n<HTML>", True),
        (b"<a href=x>", True),
        (b"<abc>", False),
        (b"<?xml version='1.0'?><html>", False),
        (b"%PDF-1.7", False),
        (b"", False),
    ],
)
def test_content_without_a_type_is_looked_at(body: bytes, html: bool) -> None:
    assert page(body, "").is_html is html


def test_follow_joins_and_asks_the_scope() -> None:
    made = page(b"<base href=/up/>", keep=lambda url: url if "/up/" in url else None)
    assert made.follow("X y#z") == "http://h/up/X%20y"
    assert made.follow("/down") is None
    assert made.follow("mailto:a@b") is None
    assert made.followed == ["http://h/up/X%20y"]
