"""Outlinks: which elements give them, what they are relative to, and what is left out."""

from __future__ import annotations

import pytest

from shared.messages import Brief, ScopeSpec
from shared.urls import canonicalize
from worker.extract import Extractor
from worker.fetch import Fetched, Headers

URL = "http://h.example/dir/page?x=1"
HTML = Headers((("Content-Type", "text/html; charset=utf-8"),))


def brief(**changes: object) -> Brief:
    return Brief(job="j", scope=ScopeSpec(hosts=("h.example",)), **changes)  # type: ignore[arg-type]


def links(body: str, url: str = URL, headers: Headers = HTML, **changes: object) -> list[str]:
    fetched = Fetched(url=url, status=200, headers=headers, body=body.encode())
    return list(Extractor(brief(**changes)).extract(fetched).outlinks)


def test_links_come_in_document_order_without_repeats_or_the_page_itself() -> None:
    body = """<a href=b>1</a><map><area href="/a"></map><a href="b#part">again</a><a href="#top">top</a>
        <a href="page?x=1">self</a><a href=' c\n'>blanks</a><a href>self</a><a name=x>none</a><link href=style>"""
    assert links(body) == ["http://h.example/dir/b", "http://h.example/a", "http://h.example/dir/c"]


def test_what_is_no_web_address_or_out_of_scope_is_left_out() -> None:
    body = """<a href="mailto:a@b">m</a><a href="javascript:x()">j</a><a href="http://[::1">b</a>
        <a href="http://other.example/">o</a><a href="//h.example/in">i</a><a href="data:text/html,x">d</a>"""
    assert links(body) == ["http://h.example/in"]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ('<base href="/up/">', "http://h.example/up/l"),
        ('<base href="up/"><base href="/second/">', "http://h.example/dir/up/l"),
        ('<base target=_top><base href="/second/">', "http://h.example/second/l"),
        ('<BASE HREF="/up/x?y#z">', "http://h.example/up/l"),
        ('<base href="javascript:alert(1)">', "http://h.example/dir/l"),
        ('<base href="data:text/html,x">', "http://h.example/dir/l"),
        ('<base href="http://[::1">', "http://h.example/dir/l"),
        ("<base href>", "http://h.example/dir/l"),
        ("<p>text<base href=/late/>", "http://h.example/late/l"),
        ("<!-- <base href=/no/> -->", "http://h.example/dir/l"),
    ],
)
def test_the_first_base_with_an_address_counts(base: str, expected: str) -> None:
    assert links(f"{base}<a href=l>x</a>") == [expected]


def test_an_empty_link_leads_to_the_base() -> None:
    assert links('<base href="/up/"><a href="">x</a><a href="?q">y</a>') == [
        "http://h.example/up/",
        "http://h.example/up/?q",
    ]


@pytest.mark.parametrize(
    "href",
    ["", "?q", " ?q", "\t?q", "x", "./x", "../x", "http:x", "http:?q", "h\nttp:?q", "//h.example", "\\x", ";p", "x?y"],
)
def test_what_is_remembered_of_one_page_is_right_for_another(href: str) -> None:
    extractor = Extractor(brief())
    for url in ("http://h.example/dir/one?a", "http://h.example/dir/two?b", "http://h.example/dir/"):
        body = f'<a href="{href}">x</a>'.encode()
        expected = canonicalize(href, url)
        found = extractor.extract(Fetched(url=url, status=200, headers=HTML, body=body)).outlinks
        assert found == (() if expected == url else (expected,))


def test_follow_takes_the_elements_or_what_is_below_them() -> None:
    body = """<div class=nav><a href=1>1</a><a href=2>2</a></div><a class=next href=3>3</a><a href=4>4</a>
        <link class=next href=5>"""
    assert links(body, follow=("a.next, link.next", "div.nav")) == [
        f"http://h.example/dir/{name}" for name in ("3", "5", "1", "2")
    ]
    assert links(body, follow=()) == []


def test_other_content_has_no_links() -> None:
    body = "<!doctype html><a href=x>x</a>"
    assert links(body, headers=Headers((("Content-Type", "text/plain"),))) == []
    assert links(body, headers=Headers((("content-type", "Application/XHTML+XML"),))) != []
    assert links("\n" + body, headers=Headers()) != []
    assert links("<htmlx><a href=x>x</a>", headers=Headers()) == []


def test_links_over_the_limits_are_left_out_and_told() -> None:
    body = "".join(f"<a href={index}>x</a>" for index in range(10))
    fetched = Fetched(url=URL, status=200, headers=HTML, body=body.encode())
    by_number = Extractor(brief(max_outlinks=3)).extract(fetched)
    assert (len(by_number.outlinks), by_number.capped) == (3, True)
    by_size = Extractor(brief(max_report_bytes=200)).extract(fetched)
    assert by_size.capped
    assert sum(map(len, by_size.outlinks)) < 100
    whole = Extractor(brief(max_outlinks=10)).extract(fetched)
    assert (len(whole.outlinks), whole.capped) == (10, False)


def test_a_scope_that_grew_holds_for_the_next_page() -> None:
    fetched = Fetched(url=URL, status=200, headers=HTML, body=b"<a href=//other.example/>x</a>")
    extractor = Extractor(brief())
    assert extractor.extract(fetched).outlinks == ()
    grown = ScopeSpec(hosts=("h.example", "other.example"))
    extractor.set_scope(grown)
    assert extractor.scope == grown
    assert extractor.extract(fetched).outlinks == ("http://other.example/",)


@pytest.mark.parametrize(
    "body",
    [
        "<a " * 20_000,
        "<!--" * 40_000,
        "<div>" * 50_000 + "<a href=x>",
        "<a href='" + "x" * 1_000_000 + "'>",
        "<a href='\0'>\0</a>",
        "<a href='http://h.example/\udcff'>",
    ],
)
def test_hostile_markup_does_no_harm(body: str) -> None:
    fetched = Fetched(url=URL, status=200, headers=HTML, body=body.encode(errors="surrogateescape"))
    assert Extractor(brief()).extract(fetched).error == ""


def test_a_page_in_utf_16_has_its_base_and_links() -> None:
    body = "<base href=/up/><a href=é>x</a>".encode("utf-16")
    fetched = Fetched(url=URL, status=200, headers=Headers((("Content-Type", "text/html"),)), body=body)
    assert Extractor(brief()).extract(fetched).outlinks == ("http://h.example/up/%C3%A9",)
