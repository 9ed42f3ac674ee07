"""The page as hooks see it: everything lazy, parsed at most once."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import pytest
from bs4 import BeautifulSoup

from crawlfleet.shared.brief import Brief, FieldRule, ItemRule, ParseSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.worker.extract import bs4_tree
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.registry import open_engine
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


SOUP = b"""<!doctype html><title>t</title>
<p class=" x  y" id=p>a <a rel="next nofollow" href=/1>1</a><a href=/2>2</a></p>
<table><tr><td headers="a b">c</table>"""


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every text of which BeautifulSoup builds a tree."""
    texts: list[str] = []
    parse = bs4_tree.parse

    def noting(text: str, **options: object) -> BeautifulSoup:
        texts.append(text)
        return parse(text, **options)

    monkeypatch.setattr(bs4_tree, "parse", noting)
    return texts


def test_the_tree_of_the_bs4_engine_is_the_soup_of_a_hook(built: list[str]) -> None:
    brief = Brief(
        job="j",
        scope=ScopeSpec(hosts=("h",)),
        parse=ParseSpec(engine="bs4"),
        items=(ItemRule(name="p", fields=(FieldRule(name="class", selector="p", take="attr", attr="class"),)),),
    )

    def hook(made: Page) -> dict[str, object]:
        return {name: made.soup.find_all(name)[0][key] for name, key in (("p", "class"), ("td", "headers"))}

    fetched = page(SOUP)
    extracted = Extractor(brief, hook).extract(
        Fetched(url=fetched.url, status=200, headers=fetched.headers, body=fetched.body)
    )
    assert [row.fields for row in extracted.rows] == [{"class": " x  y"}, {"p": ["x", "y"], "td": ["a", "b"]}]
    assert extracted.outlinks == ("http://h/2",)
    assert len(built) == 1


def test_the_soup_is_as_beautifulsoup_gives_it_whatever_the_engine(built: list[str]) -> None:
    soups = [page(SOUP, engine=open_engine(name)).soup for name in PARSE_ENGINES]
    expected = BeautifulSoup(SOUP.decode(), "lxml")
    for soup in soups:
        assert str(soup).strip() == str(expected)
        assert [tag.attrs for tag in soup.find_all(True)] == [tag.attrs for tag in expected.find_all(True)]
    assert len(built) == len(soups)


def test_what_a_hook_changes_in_the_soup_changes_no_link(built: list[str]) -> None:
    made = page(SOUP, engine=open_engine("bs4"))
    paragraph, cell = made.soup.find("p"), made.soup.find("td")
    assert paragraph is not None
    assert cell is not None
    paragraph.decompose()
    changed: dict[str, Any] = cell.attrs
    changed.update({"class": ["x", "y"], "colspan": 2})
    assert made.survey.links == ["/2"]
    assert made.engine.attributes(cell) == {"headers": "a b", "class": "x y", "colspan": "2"}
    assert made.engine.html(cell) == '<td headers="a b" class="x y" colspan="2">c</td>'
    assert len(built) == 1


@pytest.mark.parametrize("engine", PARSE_ENGINES)
def test_the_dom_is_that_of_turbohtml_whatever_the_engine(engine: str) -> None:
    assert page(SOUP, engine=open_engine(engine)).dom.select_one("td").text == "c"
    xml = b'<html xmlns="http://www.w3.org/1999/xhtml"><head><script src="a.js"/></head><body><p>x</p></body></html>'
    assert page(xml, "application/xhtml+xml", engine=open_engine(engine)).dom.select_one("p").text == "x"
    assert page(b"plain", "text/plain", engine=open_engine(engine)).dom.text == "plain"


@pytest.mark.parametrize("engine", PARSE_ENGINES)
def test_what_a_hook_changes_in_a_tree_changes_no_link(engine: str) -> None:
    made = page(SOUP, engine=open_engine(engine))
    tree = made.tree.css_first("[href='/2']")
    assert tree is not None
    tree.decompose()
    made.dom.select_one("[href='/2']").decompose()
    assert made.survey.links == ["/2"]
    assert [made.tree.css_first("[href='/2']"), made.dom.select_one("[href='/2']")] == [None, None]


@pytest.mark.parametrize("body", [b"<p>a</p></html><p>b", b"", b"<template><p>a</template><p>b"])
def test_the_soup_of_the_bs4_engine_has_what_its_rules_see(body: bytes) -> None:
    made = page(body, engine=open_engine("bs4"))
    assert [tag.text for tag in made.soup.find_all("p")] == [tag.text for tag in made.engine.select(made.root, "p")]
    assert made.soup.html is made.root


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


def test_all_that_is_resolved_is_escaped_in_the_encoding_of_its_page() -> None:
    markup = "<link rel=canonical href='/c?é'><base href='/b?é'>"
    made = page(markup.encode("latin-1"), "text/html; charset=latin1")
    assert made.encoding == "windows-1252"
    assert made.base == "http://h/b?%E9"
    assert made.canonical == "http://h/c?%E9"
    assert made.resolve("?é") == "http://h/b?%E9"
    assert made.follow("/f?é#x") == "http://h/f?%E9"
