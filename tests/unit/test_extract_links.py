"""Outlinks: which elements give them, what they are relative to, and what is left out."""

from __future__ import annotations

import time
from typing import Any

import pytest

from crawlfleet.shared.brief import Brief, LimitSpec, LinkSpec, ScopeSpec, UrlSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.web.urls import canonicalize, parts
from crawlfleet.worker.extract import registry
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.fetch.port import Fetched, Headers

URL = "http://h.example/dir/page?x=1"
HTML = Headers((("Content-Type", "text/html; charset=utf-8"),))


@pytest.fixture(autouse=True, params=sorted(PARSE_ENGINES))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test of this file over each parse engine."""
    monkeypatch.setattr(registry, "PARSE_ENGINES", {request.param: PARSE_ENGINES[request.param]})


def brief(**changes: object) -> Brief:
    return Brief(**{"job": "j", "scope": ScopeSpec(hosts=("h.example",)), **changes})  # type: ignore[arg-type]  # fields of a test


def links(body: str, url: str = URL, headers: Headers = HTML, **changes: object) -> list[str]:
    fetched = Fetched(url=url, status=200, headers=headers, body=body.encode())
    return list(Extractor(brief(**changes)).extract(fetched).outlinks)


def test_links_come_in_document_order_areas_last_without_repeats_or_the_page_itself() -> None:
    body = """<a href=b>1</a><map><area href="/a"></map><a href="b#part">again</a><a href="#top">top</a>
        <a href="page?x=1">self</a><a href=' c\n'>blanks</a><a href>self</a><a name=x>none</a><link href=style>"""
    assert links(body) == ["http://h.example/dir/b", "http://h.example/dir/c", "http://h.example/a"]


def test_what_is_no_web_address_or_out_of_scope_is_left_out() -> None:
    body = """<a href="mailto:a@b">m</a><a href="javascript:x()">j</a><a href="http://[::1">b</a>
        <a href="http://other.example/">o</a><a href="//h.example/in">i</a><a href="data:text/html,x">d</a>"""
    assert links(body) == ["http://h.example/in"]


def test_links_to_any_host_are_in_scope_if_the_job_says_so() -> None:
    body = """<a href="http://other.example/a">o</a><a href="//third.example">t</a><a href="http://127.1/">n</a>
        <a href="mailto:a@b">m</a><a href="ftp://f.example/">f</a><a href="http://OTHER.example:81/no">p</a>"""
    scope = ScopeSpec(hosts=("h.example",), any_host=True, exclude=("/no",))
    assert links(body, scope=scope) == ["http://other.example/a", "http://third.example/", "http://127.0.0.1/"]


def test_links_that_lead_out_are_given_only_if_the_job_asks_for_checks() -> None:
    body = """<a href="in">i</a><a href="http://other.example/a?ref=1">o</a><a href="//third.example">t</a>
        <a href="http://other.example/no/x">x</a><a href="/no/y">y</a><a href="/beside">b</a>
        <a href="http://other.example/n" rel=nofollow>n</a><a href="mailto:a@b">m</a><img src="//pics.example/p.png">"""
    scope = ScopeSpec(hosts=("h.example",), include=("/dir/",), exclude=("/no/",))
    rules: dict[str, Any] = {"scope": scope, "urls": UrlSpec(drop_query=("ref",))}
    assert links(body, **rules) == ["http://h.example/dir/in"]
    out = ["http://h.example/dir/in", "http://other.example/a", "http://third.example/", "http://h.example/beside"]
    assert links(body, **rules, links=LinkSpec(check_external=True)) == out
    more = LinkSpec(check_external=True, obey_nofollow=False, assets=True)
    assert links(body, **rules, links=more) == [*out, "http://other.example/n", "http://pics.example/p.png"]
    assert links(body, **rules, links=LinkSpec(check_external=True), follow=()) == []


def test_what_a_hook_follows_is_in_scope_though_links_that_lead_out_are_checked() -> None:
    fetched = Fetched(url=URL, status=200, headers=HTML, body=b"")
    found: list[str | None] = []

    def parse(page: Page) -> None:
        found.extend(map(page.follow, ("/in", "http://other.example/")))

    extracted = Extractor(brief(links=LinkSpec(check_external=True)), parse).extract(fetched)
    assert found == ["http://h.example/in", None]
    assert extracted.outlinks == ("http://h.example/in",)


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


def test_links_that_differ_in_fragments_alone_are_one() -> None:
    body = """<link rel=next href="b#1"><a href="b#2">2</a><iframe src="b#3"></iframe><a href="c?q#x#y">c</a>
        <meta http-equiv=refresh content="0; url=b#4"><img src="d.png#5"><img src="d.png#6">"""
    expected = ["http://h.example/dir/b", "http://h.example/dir/c?q", "http://h.example/dir/d.png"]
    assert links(body, links=LinkSpec(assets=True)) == expected
    assert links(body, follow=("a", "iframe")) == expected[:2]


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


def test_links_over_the_limits_are_left_out_and_reported() -> None:
    body = "".join(f"<a href={index}>x</a>" for index in range(10))
    fetched = Fetched(url=URL, status=200, headers=HTML, body=body.encode())
    by_number = Extractor(brief(limits=LimitSpec(links=3))).extract(fetched)
    assert (len(by_number.outlinks), by_number.links_left_out) == (3, 7)
    by_size = Extractor(brief(limits=LimitSpec(report_bytes=200))).extract(fetched)
    assert len(by_size.outlinks) + by_size.links_left_out == 10
    assert sum(map(len, by_size.outlinks)) < 100
    whole = Extractor(brief(limits=LimitSpec(links=10))).extract(fetched)
    assert (len(whole.outlinks), whole.links_left_out) == (10, 0)


def test_a_scope_that_grew_holds_for_the_next_page() -> None:
    fetched = Fetched(url=URL, status=200, headers=HTML, body=b"<a href=//other.example/>x</a>")
    extractor = Extractor(brief())
    assert extractor.extract(fetched).outlinks == ()
    extractor.set_scope(ScopeSpec(hosts=("h.example", "other.example")))
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


def test_every_kind_of_link_to_another_page_counts() -> None:
    body = """<link rel="NEXT foo" href=1><link rel=prev href=2><link rel=canonical href=3>
        <link rel=alternate hreflang=de href=4>
        <link rel=alternate type="text/html; x" href=5><a href=6></a><iframe src=7></iframe><iframe></iframe>
        <link rel=alternate type=application/rss+xml href=no><link rel="alternate stylesheet" href=no>
        <link rel=stylesheet href=no><link href=no><link rel=next><img src=no><script src=no></script>"""
    assert links(body) == [f"http://h.example/dir/{number}" for number in range(1, 8)]
    assert links("<frameset><frame src=1><frame src></frameset>") == ["http://h.example/dir/1"]


def test_what_pages_are_made_of_counts_when_asked_for() -> None:
    body = """<a href=1></a><img src=2 srcset="3 1x, 4 2x"><picture><source srcset=5></picture><script src=6></script>
        <video src=7 poster=8><track src=9></video><link rel=stylesheet href=10><link rel="shortcut icon" href=11>
        <img src><embed src=12><a href=13></a><input src=no>"""
    expected = [f"http://h.example/dir/{number}" for number in range(1, 14)]
    assert sorted(links(body, links=LinkSpec(assets=True))) == sorted(expected)
    assert links(body) == [expected[0], expected[12]]
    assert len(links(body, follow=(), links=LinkSpec(assets=True))) == 11


@pytest.mark.parametrize("rel", ["nofollow", "noopener NoFollow", "ugc", "sponsored"])
def test_a_link_that_is_not_vouched_for_is_not_followed(rel: str) -> None:
    body = f'''<a rel="{rel}" href=1></a><map><area rel="{rel}" href=2></map><link rel="next {rel}" href=3>
        <a rel=next href=4></a>'''
    expected = [f"http://h.example/dir/{number}" for number in range(1, 5)]
    assert links(body) == expected[3:]
    assert sorted(links(body, links=LinkSpec(obey_nofollow=False))) == expected
    assert links(body, follow=("a",)) == expected[3:]
    ignoring = LinkSpec(obey_nofollow=False)
    assert links(body, follow=("a",), links=ignoring) == [expected[0], expected[3]]


def test_a_refresh_is_a_link_unless_it_stands_in_noscript() -> None:
    assert links("<meta http-equiv=Refresh content='0; URL=/x'>") == ["http://h.example/x"]
    assert links("<base href=/up/><meta http-equiv=refresh content='0; url=x'>") == ["http://h.example/up/x"]
    assert links("<meta http-equiv=refresh content=30>") == []
    assert links("<noscript><meta http-equiv=refresh content='0;url=/x'></noscript>") == []
    assert links("<body><noscript><p><meta http-equiv=refresh content='0;url=/x'></noscript>") == []
    both = (
        "<noscript><meta http-equiv=refresh content='0;url=/x'></noscript><meta http-equiv=refresh content='0;url=/y'>"
    )
    assert links(both) == ["http://h.example/y"]
    assert links("<meta http-equiv=refresh content='0;url=/y'><meta http-equiv=refresh content='0;url=/z'>") == [
        "http://h.example/y"
    ]


@pytest.mark.parametrize("content_type", ["text/html", "application/pdf"])
def test_a_refresh_in_the_header_is_a_link_relative_to_the_page(content_type: str) -> None:
    def led_to(value: str, body: str = "<base href=/up/>", **changes: object) -> list[str]:
        headers = Headers((("Content-Type", content_type), ("Refresh", value)))
        return links(body, URL, headers, **changes)

    assert led_to("0; url=next#4") == led_to("5;URL='next'") == led_to("0, next") == ["http://h.example/dir/next"]
    assert led_to("30") == led_to("url=/x") == led_to("0; url=javascript:x") == led_to("0; url=page?x=1") == []
    assert led_to("0; url=//other.example/") == led_to("0; url=next", follow=()) == []
    both = Headers((("Content-Type", content_type), ("Refresh", "0;url=/x"), ("X-Robots-Tag", "nofollow")))
    assert links("", headers=both) == []


@pytest.mark.parametrize(
    "rel", ["alternate icon", "ICON alternate", "apple-touch-icon next", "alternate manifest", "preload next"]
)
def test_what_is_a_part_of_the_page_is_none_of_its_own(rel: str) -> None:
    headers = Headers((*HTML.pairs, ("Link", f'</a>; rel="{rel}"')))
    assert links(f'<link rel="{rel}" href=b>', headers=headers) == []


def test_a_page_that_is_fetched_ahead_is_a_page() -> None:
    assert links('<link rel="next prefetch" href=b>') == ["http://h.example/dir/b"]


def test_the_header_has_links_too_of_any_content() -> None:
    link = ("Link", '<next?p=2>; rel="next", <//other.example/>; rel=next, </s.css>; rel=stylesheet')
    for content_type in ("text/html", "application/pdf"):
        headers = Headers((("Content-Type", content_type), link, ("link", "</c>; rel=canonical")))
        assert links("<base href=/up/>", headers=headers) == ["http://h.example/dir/next?p=2", "http://h.example/c"]
        assert links("", headers=headers, follow=()) == []
    answer_fields = Headers((("Link", "</x>; rel=next"), ("X-Robots-Tag", "nofollow")))
    assert links("", headers=answer_fields) == []


def test_follow_takes_what_holds_an_address_itself() -> None:
    body = "<iframe id=f src=1></iframe><img id=i src=2><a href=3></a><div><iframe src=4></iframe><img src=no></div>"
    assert links(body, follow=("#f, #i", "div")) == [f"http://h.example/dir/{name}" for name in ("1", "2", "4")]


def test_links_of_many_folders_are_all_right_when_the_memo_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlfleet.worker.extract.links.MEMO_SIZE", 10)
    extractor = Extractor(brief())
    for _ in range(2):
        for number in range(20):
            body = b"<a href=a#1>x</a><a href=a#2>x</a><a href='../b'>x</a><a href=#c>x</a><a href=//other/>x</a>"
            fetched = Fetched(url=f"http://h.example/{number}/p", status=200, headers=HTML, body=body)
            assert extractor.extract(fetched).outlinks == (f"http://h.example/{number}/a", "http://h.example/b")


def test_links_within_the_host_are_judged_where_a_pattern_or_the_host_refuses_them() -> None:
    assert links(
        "<a href=keep/1>1</a><a href=/drop/2>2</a>", scope=ScopeSpec(hosts=("h.example",), include=("/dir/",))
    ) == ["http://h.example/dir/keep/1"]
    assert links("<base href=http://out.example/><a href=x>x</a><a href=http://h.example/in>in</a>") == [
        "http://h.example/in"
    ]
    long = "/".join(["x" * 500] * 20)
    assert links(f"<base href='/{long}/'><a href={'y' * 300}>y</a>") == []


@pytest.mark.parametrize(
    "host", ["out.example", "OUT.example", "h.example.", "h.example:81", "u@h.example", "xn--a", "0x7f.1"]
)
def test_absolute_links_are_judged_by_their_host_however_it_is_written(host: str) -> None:
    url = canonicalize(f"http://{host}/x")
    expected = [url] if url is not None and parts(url).host == "h.example" else []
    assert links(f"<a href=http://{host}/x>x</a><a href=http://{host}/x>again</a>") == expected


def test_what_is_long_is_not_remembered() -> None:
    extractor = Extractor(brief())
    body = f"<a href='x#{'y' * 400_000}'>x</a><a href='/{'z' * 2_000}'>z</a>".encode()
    fetched = Fetched(url=URL, status=200, headers=HTML, body=body)
    assert extractor.extract(fetched).outlinks == ("http://h.example/dir/x", f"http://h.example/{'z' * 2_000}")
    folders = extractor._links._folders.values()
    assert max((len(href) for folder in folders for href in folder.known), default=0) < 1_000


def test_many_refreshes_deep_in_noscript_do_not_take_long() -> None:
    metas = "<meta http-equiv=refresh content='0;url=/x'>" * 20_000
    began = time.process_time()
    assert links("<body><noscript>" + "<div>" * 500 + metas + "</noscript><a href=a>a</a>") == [
        "http://h.example/dir/a"
    ]
    assert time.process_time() - began < 5  # of the whole process, other threads included


def _in(encoding: str, body: bytes, **changes: object) -> list[str]:
    headers = Headers((("Content-Type", f"text/html; charset={encoding}"),))
    return list(Extractor(brief(**changes)).extract(Fetched(url=URL, status=200, headers=headers, body=body)).outlinks)


def test_a_path_is_escaped_in_utf_8_and_a_query_in_the_encoding_of_its_page() -> None:
    assert _in("euc-jp", b"<a href='/\xad\xa1.html'>") == ["http://h.example/%E2%91%A0.html"]
    body = "<base href='/b?é'><a href='?q=é&r=&#1078;#é'>1</a><link rel=next href='n?é'><a href='/é?x'>2</a>"
    assert _in("iso-8859-1", body.encode("latin-1")) == [
        "http://h.example/n?%E9",
        "http://h.example/b?q=%E9&r=%26%231078%3B",
        "http://h.example/%C3%A9?x",
    ]
    assert _in("utf-16le", "<a href='?é'>".encode("utf-16le")) == ["http://h.example/dir/page?%C3%A9"]
    assert _in("iso-2022-jp", b"<a href='?\x1b$B$\"\x1b(B'>") == ["http://h.example/dir/page?%1B$B$%22%1B(B"]
    assert _in("gbk", b"<a class=x href='?\xc4\xe3'>", follow=(".x",)) == ["http://h.example/dir/page?%C4%E3"]
