"""Addresses inside of values: `srcset`, refresh, the header field Link."""

from __future__ import annotations

import time

import pytest

from crawlfleet.worker.extract.embedded import HeaderLink, header_links, refresh_address, srcset_addresses


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("", []),
        (" , ,, ", []),
        ("a", ["a"]),
        ("a, b 2x ,c 100w", ["a", "b", "c"]),
        ("a,b", ["a,b"]),
        ("a,, b", ["a", "b"]),
        ("data:,x 1x, /b", ["data:,x", "/b"]),
        ("\n a\t1.5x,\n\tb\f.5x", ["a", "b"]),
        ("a 1x 2x, b", ["b"]),
        ("a 0w, b 10w 5h, c 5h, d 1w 1x", ["b"]),
        ("a -1x, b 1e3x, c foo, d", ["b", "d"]),
        ("a (1x, 2x), b", ["b"]),
        ("a (, b", []),
    ],
)
def test_a_set_of_sources_is_read_by_the_standard(value: str, addresses: list[str]) -> None:
    assert list(srcset_addresses(value)) == addresses


@pytest.mark.parametrize(
    ("content", "address"),
    [
        ("0; url=/x", "/x"),
        ("5;URL = '/x' y", "/x"),
        ('0,url="/x"y', "/x"),
        ("0 /x", "/x"),
        ("1.5.2; /x ", "/x "),
        (".; url=/x", "/x"),
        ("0;url='/x", "/x"),
        ("0; urls=/x", "urls=/x"),
        ("0; '/x'", "/x"),
        ("0; url=a;b,c", "a;b,c"),
        ("0", None),
        ("", None),
        ("0;", None),
        ("0;url=", None),
        ("url=/x", None),
        ("x; url=/x", None),
        ("-1; url=/x", None),
        ("5x; url=/x", None),
    ],
)
def test_a_refresh_leads_where_a_browser_would_go(content: str, address: str | None) -> None:
    assert refresh_address(content) == address


@pytest.mark.parametrize(
    ("values", "links"),
    [
        (('<https://h/a>; rel="canonical"',), [("https://h/a", "canonical", "")]),
        (("</a>;rel=Next, </b> ; rel=prev",), [("/a", "next", ""), ("/b", "prev", "")]),
        (("</a,b>; rel=next", "<c>"), [("/a,b", "next", ""), ("c", "", "")]),
        (("<c>; Rel = alternate; Type=Text/HTML",), [("c", "alternate", "text/html")]),
        (('</a>; title="x, <y>; rel=\\"z\\""; rel="next last"',), [("/a", "next last", "")]),
        (("</a>; rel=next; rel=prev",), [("/a", "next", "")]),
        (("</a>; rel=next; anchor='#x'",), []),
        (("</a>",), [("/a", "", "")]),
        (("", "rel=next", "</a", ">"), []),
    ],
)  # fmt: skip
def test_a_header_names_links(values: tuple[str, ...], links: list[tuple[str, str, str]]) -> None:
    assert list(header_links(values)) == [HeaderLink(*link) for link in links]


@pytest.mark.parametrize("text", [",", "(", "a (", "<", "</a>;", '"', " ", "a,b 1x", "\\", ";x=", "1", "1."])
def test_no_value_takes_long(text: str) -> None:
    long = text * (200_000 // len(text))
    started = time.process_time()
    list(srcset_addresses(long))
    refresh_address("0;url=" + long)
    refresh_address(long)
    refresh_address(long + "x")
    list(header_links([long, "<a>;" + long]))
    assert time.process_time() - started < 2
