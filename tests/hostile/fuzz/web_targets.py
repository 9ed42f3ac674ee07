"""What sites send, as far as it is text: addresses, pages, encodings, sitemaps, robots.txt, heads, coded bodies."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from itertools import pairwise, product

import brotli
from hypothesis import strategies as st

from crawlfleet.coordinator.core.robots_file import RobotsFile, sitemaps_of
from crawlfleet.shared.brief import Brief, LinkSpec, ParseSpec, ScopeSpec, UrlSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS, canonicalize, is_canonical, join_plain, parts
from crawlfleet.worker.extract import media_type
from crawlfleet.worker.extract.charset import decode, encoding_of
from crawlfleet.worker.extract.directives import read_directives
from crawlfleet.worker.extract.embedded import header_links, refresh_address, srcset_addresses
from crawlfleet.worker.extract.encoding import query_escaped
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.extract.links import LinkReader
from crawlfleet.worker.extract.sitemap import MAX_ENTRIES, read_sitemap
from crawlfleet.worker.fetch import head
from crawlfleet.worker.fetch.coding import decoded, decoder_of
from crawlfleet.worker.fetch.head import BrokenAnswer
from crawlfleet.worker.fetch.port import Fetched, Headers
from crawlfleet.worker.pipeline import fresh_s, is_a_part, retry_after_s
from tests.hostile.fuzz.target import Inputs, Target, any_of, bytes_of, numbers, text_of, together

BASE = "http://h.test/a/b?c"
POLICY = UrlSpec(
    drop_query=("utm_*",), sort_query=True, strip_session_ids=True, index_pages=("index.html", "default.aspx")
)
LIMIT = 100_000

_URL_PIECES = (
    "http:", "https:", "HTTP:", "//", "/", "\\", "?", "#", "@", ":", "[", "]", "%", "%2e", "%2F", "%00", "%zz", ".",
    "..", "h.test", "127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:1.2.3.4]", "xn--", "xn--nxasmq6b", "\u00fc",
    "\u3002", ":80", ":0", ":65536", "user:pw", "a", "b/c", " ", "\t", "\n", "\0", "\ud800", "javascript:", "data:,",
    "file:///", "utm_a=1", "&", "=", ";jsessionid=1", "PHPSESSID=1", "sid=" + "a" * 32, "index.html", "default.aspx",
    "+", "\u202e",
)  # fmt: skip


def links_hold(given: tuple[str, str]) -> None:
    """Check that an address gives a canonical URL or none, whatever it is, and that all who judge it agree."""
    href, other = given
    base = canonicalize(other, BASE) or BASE
    url = canonicalize(href, base)
    _, refusal = _links().judge_all([href], base)[href]
    if url is None:
        assert refusal or href == ""
        return
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert canonicalize(url) == url
    assert is_canonical(url)
    found = parts(url)
    assert url == found.origin + found.path
    assert found.host
    plain = join_plain(base[: base.rindex("/") + 1].partition("?")[0], href) if "?" not in base else None
    assert plain in (None, url)
    policy = policy_of(POLICY)
    kept = policy.apply(url)
    assert policy.apply(kept) == kept == policy.canonicalize(kept)


@cache
def _links() -> LinkReader:
    return LinkReader(ScopeSpec(hosts=("h.test",), exclude=("/private*",)), None, UrlSpec())


_MARKUP = (
    b"<a href=/x>", b"<a href='?y'>", b"</a>", b"<b>", b"</b>", b"<i>", b"<p>", b"</p>", b"<br>", b"<div>", b"</div>",
    b"<table>", b"<tr>", b"<td>", b"</table>", b"<caption>", b"<select>", b"<option>", b"</select>", b"<button>",
    b"<svg>", b"</svg>", b"<math>", b"<mi>", b"<foreignObject>", b"<title>", b"</title>", b"<template>",
    b"</template>", b"<script>", b"</script>", b"<style>", b"<textarea>", b"<plaintext>", b"<!--", b"-->",
    b"<![CDATA[", b"]]>", b"<!", b"<base href=//o.test/>", b"<base href=javascript:x>",
    b"<meta name=robots content=nofollow>", b"<frameset>", b"<meta http-equiv=refresh content='0;url=/r'>",
    b"<link rel=canonical href=/c>", b"<img srcset='/i 2x, j'>", b"<meta charset=koi8-r>", b"<iframe src=/f>",
    b"<form>", b"</form>", b"<body>", b"<html a=b>", b"<head>", b"&amp;", b"&#x110000;", b"&notin", b"\0", b"\r",
    b"\xff", b"'", b'"', b"=", b">", b"<", b"/", b"text", b"<li>", b"<dd>", b"<div><template shadowrootmode=open>",
    b"<x itemscope itemprop=p>", b"<script type=application/ld+json>{", b"<nobr>",
)  # fmt: skip
_TYPES = (
    "text/html", "text/html; charset=utf-16", "text/html; charset=gb18030", "application/xhtml+xml", "text/plain", "",
    "text/xml", "image/png", "text/html;charset=x-user-defined", "*/*", "\0", "text/html; charset=iso-2022-jp",
)  # fmt: skip


def pages_hold(given: tuple[str, str, bytes]) -> None:
    """Check that every engine reads any page, and gives links that are canonical and in scope."""
    content_type, field, body = given
    fields = (("Content-Type", content_type), ("Link", field), ("Refresh", field), ("X-Robots-Tag", field))
    fetched = Fetched(url=BASE, status=200, headers=Headers(fields), body=body)
    for engine in PARSE_ENGINES:
        found = _extractor(engine).extract(fetched)
        for url in found.outlinks:
            assert is_canonical(url), engine
            assert parts(url).host == "h.test", engine


@cache
def _extractor(engine: str) -> Extractor:
    links = LinkSpec(listed=True, assets=True)
    return Extractor(Brief(job="f", scope=ScopeSpec(hosts=("h.test",)), links=links, parse=ParseSpec(engine=engine)))


def charset_holds(given: tuple[str, str, bytes]) -> None:
    """Check that any bytes are text in some encoding, which can be written again, and that queries become ASCII."""
    content_type, href, body = given
    name, mark = encoding_of(body, content_type)
    assert 0 <= mark <= 3
    decode(body, content_type).encode()
    query_escaped(href, name)


_SITEMAP = (
    b"<?xml version='1.0'?>", b"<?xml version='1.0' encoding='utf-16'?>", b"<urlset>", b"</urlset>", b"<url>",
    b"</url>", b"<loc>", b"</loc>", b"http://h.test/1", b"http://h.test/2", b"https://o.test/", b"<priority>", b"0.7",
    b"1e999", b"</priority>", b"<lastmod>", b"2024-01-01T00:00:00+99:99", b"2024-02-30", b"9999-12-31", b"</lastmod>",
    b"&", b"&amp;", b"<sitemapindex>", b"<sitemap>", b"</sitemap>", b"</sitemapindex>", b"<rss>", b"<channel>",
    b"<item>", b"<link>", b"<feed xml:base='/b/'>", b"<entry>", b"<link href='/e'/>", b"</entry>", b"</feed>",
    b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\0", b"\n", b" ", b"<", b"</", b">", b"<guid isPermaLink='false'>", b"</guid>",
    b"<pubDate>Tue, 31 Feb 2024</pubDate>", b"xmlns:a='b'", b"<a:url>",
)  # fmt: skip


def sitemap_holds(given: tuple[int, bool, bytes]) -> None:
    """Check that any sitemap is read to canonical addresses, packed or not, and cut anywhere."""
    packing, is_cut, body = given
    if packing:
        body = gzip.compress(body, 1)
        body = body[: len(body) - packing + 1]
    found = read_sitemap(body, BASE, lambda url: url if "o.test" not in url else None, cut=is_cut)
    urls = [*(entry.url for entry in found.pages), *found.sitemaps]
    assert all(canonicalize(url) == url and len(url) <= LONGEST_URL_CHARS for url in urls)
    assert len(set(urls)) <= found.entries <= MAX_ENTRIES
    assert [entry.lastmod for entry in found.pages] == sorted((each.lastmod for each in found.pages), reverse=True)


_ROBOTS = (
    b"User-agent: *", b"user-agent:bot", b"User agent bot", b"Disallow: /", b"Allow: /a", b"Disallow:",
    b"Disallow: /*?x$", b"Allow: /%7Eb", b"Disallow: /%e3%83%84", b"Disallow: *****", b"Disallow: /a*b*c*d*e*",
    b"Crawl-delay: 1e308", b"Crawl-delay: -1", b"Request-rate: 1/0s", b"Request-rate: 0/1", b"Request-rate: 9/9d",
    b"Sitemap: http://h.test/s", b"Sitemap: \xff", b"\n", b"\r", b"\r\n", b"#", b" ", b"\0", b"\xef\xbb\xbf",
    b"\xff\xfe", b"$", b"%", b"%24", b"\x0c", b":",
)  # fmt: skip


def robots_hold(given: tuple[str, bytes]) -> None:
    """Check that any robots.txt is read, and says of any address whether it may be fetched."""
    href, text = given
    rules = RobotsFile(text, "bot")
    assert 0 <= rules.crawl_delay_s < math.inf
    assert 0 <= rules.request_interval_s < math.inf
    url = canonicalize(href, BASE)
    if url is not None:
        assert rules.allows(url) is rules.allows(url)
    assert all(isinstance(each, str) for each in sitemaps_of(text))


_FIELDS = (
    b"Content-Type: text/html; charset=utf-8\r\n", b"Content-Length: 5\r\n", b"Content-Length: 5, 5\r\n", b"\r\n",
    b"\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip, br\r\n", b"Content-Encoding: zstd\r\n",
    b"Location: /\r\n", b"Retry-After: 99999999999999999999\r\n", b"Retry-After: Tue, 31 Feb 2024 25:61:61 GMT\r\n",
    b"Date: x\r\n", b" fold\r\n", b"Cache-Control: max-age=1, no-store\r\n", b"Content-Range: bytes 0-1/2\r\n",
    b"X-Robots-Tag: bot: none\r\n", b":\r\n", b'Link: </a>; rel="next"; type=x, <b\r\n', b"Refresh: 0; url='x\r\n",
    b"\0", b"\xff", b"\xc3\xa9", b"\t", b" ", b",", b";", b'Content-Type: text/html;charset="a\\"b", */*\r\n',
    b"Retry-After: -1\r\n", b"Retry-After: 1e9\r\n", b'"', b"=", b"<",
)  # fmt: skip


def heads_hold(given: tuple[bytes, bytes]) -> None:
    """Check that any head is refused by a reason, or read by all that read heads."""
    line, block = given
    with suppress(BrokenAnswer):
        status = head.read_status_line(line)
        assert 100 <= status.status <= 999
    lines = block.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    with suppress(BrokenAnswer):
        headers = head.read_fields(lines, 302)
        length = head.content_length(headers)
        assert length is None or length >= 0
        head.ends_with_connection(headers)
        fetched = Fetched(url=BASE, status=206, headers=headers)
        wait = retry_after_s(fetched, lambda: 0.0)
        assert wait is None or wait >= 0
        kept = fresh_s(fetched)
        assert kept is None or kept >= 0
        is_a_part(fetched)
        field = media_type.field_of(headers)
        media_type.essence_of(field), media_type.charset_of(field)
        list(header_links(headers.get_all("link")))
        read_directives((), headers.get_all("x-robots-tag"), frozenset({"bot"}))
        refresh_address(headers.get("refresh", ""))
        list(srcset_addresses(headers.get("refresh", "")))
        decoder_of(headers)


_CODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}


def _coded(names: Iterable[str], body: bytes) -> bytes:
    for name in names:
        body = _CODERS[name](body)
    return body


def bodies_hold(given: tuple[tuple[str, ...], bytes, list[int]]) -> None:
    """Check that any body is decoded to the same, or refused, wherever it is cut into blocks."""
    names, data, cuts = given
    headers = Headers([("Content-Encoding", ", ".join(names))] if names else ())
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    ends: list[bytes | Reason | None] = []
    for blocks in (
        [data],
        [data[begin:end] for begin, end in pairwise(places)],
        [data[at : at + 1] for at in range(len(data))],
    ):
        try:
            ends.append(decoded(blocks, decoder_of(headers), LIMIT))
        except BrokenAnswer as broken:
            ends.append(broken.reason)
    # A body that is too long and broken is either.
    if None in ends:
        assert not any(isinstance(end, bytes) for end in ends)
    else:
        assert ends[0] == ends[1] == ends[2]


_CODINGS = ((), *((name,) for name in _CODERS), *product(_CODERS, repeat=2))
_names = st.sampled_from(_CODINGS)
_cuts = st.lists(st.integers(0, 2**12), max_size=4)
_plain = bytes_of(b"a" * 500, b"<p>", b"\0" * 60_000)
_sound = st.builds(lambda names, body: (names, _coded(names, body)), _names, _plain.examples)
_bodies = st.one_of(
    st.tuples(_sound, _cuts).map(lambda each: (*each[0], each[1])),
    st.tuples(_sound, st.binary(max_size=6), st.integers(0, 2**12), _cuts).map(
        lambda each: (each[0][0], _put(each[0][1], each[1], each[2]), each[3])
    ),
)


def _put(data: bytes, other: bytes, place: int) -> bytes:
    at = place % (len(data) + 1)
    return data[:at] + other + data[at + len(other) // 2 :]


def _read_body(data: bytes) -> tuple[tuple[str, ...], bytes, list[int]]:
    """Read which codings, where to cut, and the coded data, as they are."""
    return _CODINGS[(data[0] if data else 0) % len(_CODINGS)], data[3:], list(data[1:3])


BODIES = Inputs(
    _bodies,
    _read_body,
    samples=tuple(bytes((index, 2, 9)) + _coded(names, b"<p>" * 9) for index, names in enumerate(_CODINGS)),
)

_href, _markup = text_of(*_URL_PIECES), bytes_of(*_MARKUP)
_field = text_of("noindex", ",", ":", "</x>", ";", "rel=next", "0;url=/")
_line = bytes_of(b"HTTP/1.1", b"HTTP/1.", b" ", b"200", b"999", b"OK", b"\r\n", b"\t")
TARGETS = {
    "links": Target(together(_href, _href), links_hold),
    "pages": Target(together(any_of(_TYPES), _field, _markup), pages_hold),
    "charset": Target(together(text_of(*_TYPES, "charset=", ";", '"', "utf-7"), _href, _markup), charset_holds),
    "sitemap": Target(together(numbers(20), any_of((False, True)), bytes_of(*_SITEMAP)), sitemap_holds),
    "robots": Target(together(_href, bytes_of(*_ROBOTS)), robots_hold),
    "headers": Target(together(_line, bytes_of(*_FIELDS)), heads_hold),
    "bodies": Target(BODIES, bodies_hold),
}
