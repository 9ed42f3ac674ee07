"""What a hostile site does: each behaviour by its name, with the verdict that the documents promise for it.

A verdict is `fetched`, `redirected`, or a reason of docs/reference/reasons.md. Most behaviours are routes of
`tests.site.hostile_site`; the names here are their paths without the slash.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import brotli

from tests.hostile.site_packed import packed
from tests.site.hostile_site import ROUTES, Route, Visitor, reply, saying

TEXT = b"<!doctype html><title>text</title>"
HTML = b"Content-Type: text/html"
_HEAD = b"HTTP/1.1 200 OK\r\n" + HTML + b"\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

FETCHED, REDIRECTED = "fetched", "redirected"
# Reasons after which a page is not asked for again (docs/reference/reasons.md); `http_` by its status.
FINAL = frozenset(
    {
        FETCHED,
        REDIRECTED,
        "head_too_large",
        "body_too_large",
        "content_type",
        "redirect_invalid",
        "redirect_without_location",
        "redirect_scheme_blocked",
        "redirect_loop",
        "too_many_redirects",
        "sitemap_broken",
    }
)
# An answer like these means to robots.txt that nothing serves the web there.
UNSERVED = frozenset({"bad_status_line", "connect", "tls", "tls_expired", "tls_untrusted", "tls_wrong_host"})


# Faults of a body, besides those by whose reason that is clear.
_IN_BODY = frozenset(
    {
        *("gzip-lie", "gzip-sum-wrong", "brotli-lie", "lie-short", "lie-chunk-bad", "chunk-end-bad", "chunk-size-bad"),
        *("chunk-size-negative", "chunk-size-endless", "chunk-size-huge", "drip-body", "drip-chunks"),
        *("extensions-endless", "reset-in-body", "trailers-endless"),
    }
)


class Behaviour(NamedTuple):
    """What is done to a visitor, and how the page ends; `of_head` is how a check ends, if in another way."""

    route: Route
    verdict: str
    of_head: str = ""

    @property
    def of_check(self) -> str:
        """How a check ends, of which only the head matters."""
        return self.of_head or self.verdict


def is_final(verdict: str) -> bool:
    """Say whether a page with this verdict is asked for once only."""
    if not verdict.startswith("http_"):
        return verdict in FINAL
    status = int(verdict.removeprefix("http_"))
    return status not in (206, 304, 408, 425, 429) and (status < 500 or status in (501, 505) or status > 599)


def _drip_answer(visitor: Visitor) -> None:
    for byte in reply(b"200 OK", HTML, body=TEXT):
        visitor.say(bytes([byte]))


def _trailers(visitor: Visitor) -> None:
    visitor.say(_CHUNKED, b"5\r\nhello\r\n0\r\n")
    visitor.flood(b"X-Trailer: " + b"y" * 4_000 + b"\r\n")


def _extensions(visitor: Visitor) -> None:
    visitor.say(_CHUNKED, b"5;")
    visitor.drip(b"x")


def _chunks_of_one(visitor: Visitor) -> None:
    visitor.say(_CHUNKED)
    for byte in TEXT:
        visitor.say(b"1\r\n%c\r\n" % byte)
    visitor.say(b"0\r\n\r\n")


def _drip_chunks(visitor: Visitor) -> None:
    visitor.say(_CHUNKED)
    visitor.drip(b"1\r\nx\r\n")


def endless(coding: str) -> Iterator[bytes]:
    """Yield the blocks of a body that has no end, packed by one or two codings, or none."""
    steps = [_PACKERS[each]() for each in coding.split(", ") if each]
    while True:
        block = TEXT * 10_000
        for step in steps:
            block = step(block)
        yield block


def _deflating(window: int) -> Callable[[bytes], bytes]:
    packer = zlib.compressobj(wbits=window)
    return lambda block: packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)


def _brotlying() -> Callable[[bytes], bytes]:
    packer = brotli.Compressor(quality=1)
    return lambda block: packer.process(block) + packer.flush()


_PACKERS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "gzip": lambda: _deflating(zlib.MAX_WBITS | 16),
    "deflate": lambda: _deflating(zlib.MAX_WBITS),
    "br": _brotlying,
}


def pouring(head: bytes, coding: str, *, chunked: bool = False) -> Route:
    """Make a route that sends a head, and then an endless body until the client has gone."""

    def pour(visitor: Visitor) -> None:
        visitor.say(head)
        for block in endless(coding):
            visitor.say(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)

    return pour


def _endless(coding: str) -> Behaviour:
    fields = b"Content-Encoding: %b\r\n\r\n" % coding.encode()
    return Behaviour(pouring(_HEAD + fields, coding), "body_too_large")


def _cut(coding: bytes, body: bytes) -> Route:
    """Make a route that sends less of a body than its length says."""
    length = b"Content-Length: %d\r\n" % (len(body) + 1_000)
    return saying(_HEAD, length, b"Content-Encoding: ", coding, b"\r\n\r\n", body)


def _broken_chunks(coding: bytes, body: bytes) -> Route:
    """Make a route that sends a body as one chunk, and then one without a size."""
    fields = b"Transfer-Encoding: chunked\r\nContent-Encoding: %b\r\n\r\n" % coding
    return saying(_HEAD, fields, b"%x\r\n%b\r\nzz\r\n" % (len(body), body))


def _coded(coding: bytes, body: bytes) -> bytes:
    return reply(b"200 OK", HTML, b"Content-Encoding: " + coding, body=body)


def _page(*fields: bytes, body: bytes = TEXT, status: bytes = b"200 OK") -> Route:
    return saying(reply(status, *fields, body=body))


def _bad_sum(data: bytes) -> bytes:
    packed = gzip.compress(data, mtime=0)
    return packed[:-8] + bytes(byte ^ 0xFF for byte in packed[-8:-4]) + packed[-4:]


_OF_ROUTES = {
    FETCHED: (
        *("ok", "gzip", "x-gzip", "deflate", "two-codings", "coding-none", "unknown-coding", "until-close", "interim"),
        *("line-feeds", "no-phrase", "length-listed", "chunk-line-feeds", "chunk-zeros", "chunked", "no-content"),
        *("chunked-with-length", "length-twice-same", "head-folded", "head-8bit", "no-phrase-long", "interim-long"),
        "cookie",
    ),
    REDIRECTED: ("redirect-same-twice", "redirect-utf8", "redirect-endless", "drip-redirect"),
    "redirect_invalid": ("redirect",),
    "http_404": ("not-found", "missing-big"),
    "http_999": ("status-999",),
    "timeout_first_byte": ("silent",),
    "timeout_total": ("drip-head", "drip-body", "interim-drip"),
    "reset": ("end", "reset", "reset-in-body", "head-cut-in-status"),
    "head_truncated": ("head-cut", "head-cut-at-line"),
    "head_too_large": ("head-flood", "interim-flood", "head-line-long", "head-fields-many"),
    "bad_status_line": (
        *("no-status-line", "icy", "http-nine", "status-words", "http-one-two", "http-two", "status-glued"),
        *("status-099", "status-2000", "status-small", "empty-line-first"),
    ),
    "bad_header": ("head-nul", "head-return", "head-nonsense", "redirect-two"),
    "bad_framing": (
        *("length-plus", "length-empty", "length-huge", "coding-twice", "chunk-end-bad", "length-twice"),
        *("length-negative", "length-word", "coding-strange", "chunk-size-bad", "chunk-size-negative"),
        "chunk-size-endless",
    ),
    "bad_encoding": ("three-codings", "six-codings", "gzip-lie"),
    "body_truncated": ("chunk-last-cut", "chunk-cut", "chunk-cut-inside", "length-short", "gzip-short"),
    "body_too_large": ("bomb", "big", "endless-body", "length-short-big"),
}

_REDIRECTS = {
    "to-file": (b"file:///etc/passwd", "redirect_scheme_blocked"),
    "to-gopher": (b"gopher://127.0.0.1/", "redirect_scheme_blocked"),
    "to-data": (b"data:text/html,x", "redirect_scheme_blocked"),
    "to-script": (b"javascript:alert(1)", "redirect_scheme_blocked"),
    "to-nothing": (b"", "redirect_without_location"),
    "to-bracket": (b"http://[::1", "redirect_invalid"),
    "to-no-host": (b"http://", "redirect_invalid"),
    "to-port": (b"http://127.0.0.1:99999/", "redirect_invalid"),
    "to-itself": (b"to-itself", "redirect_loop"),
    "to-query": (b"?x", REDIRECTED),
}


def _redirects() -> Iterator[tuple[str, Behaviour]]:
    for name, (address, verdict) in _REDIRECTS.items():
        yield name, Behaviour(_page(b"Location: " + address, status=b"302 Found"), verdict)
    for status in (300, 304, 305, 306):
        answer = _page(b"Location: /ok?from", body=b"", status=b"%d Odd" % status)
        yield f"status-{status}", Behaviour(answer, f"http_{status}")
    yield "spin", _spin(0)


def _spin(place: int) -> Behaviour:
    moved = _page(b"Location: spin?%d" % (place + 1), status=b"301 Moved")
    return Behaviour(moved, REDIRECTED if place < 10 else "too_many_redirects")


_OWN: dict[str, Behaviour] = {
    "answer-in-bytes": Behaviour(_drip_answer, FETCHED),
    "chunks-of-one": Behaviour(_chunks_of_one, FETCHED),
    "drip-chunks": Behaviour(_drip_chunks, "timeout_total"),
    "extensions-endless": Behaviour(_extensions, "timeout_total"),
    "trailers-endless": Behaviour(_trailers, "head_too_large"),
    "chunk-size-huge": Behaviour(saying(_CHUNKED, b"ffffffffffffffffffff\r\n", TEXT), "bad_framing"),
    "gzip-sum-wrong": Behaviour(saying(_coded(b"gzip", _bad_sum(TEXT))), "bad_encoding"),
    "brotli": Behaviour(saying(_coded(b"br", brotli.compress(TEXT))), FETCHED),
    "brotli-lie": Behaviour(saying(_coded(b"br", TEXT)), "bad_encoding"),
    "brotli-bomb": Behaviour(saying(_coded(b"br", brotli.compress(bytes(8_000_000), quality=1))), "body_too_large"),
    "bomb-in-bomb": Behaviour(
        saying(_coded(b"gzip, gzip", gzip.compress(gzip.compress(bytes(8_000_000))))), "body_too_large"
    ),
    # Of two faults of a body that one counts which is met first.
    "bomb-short": Behaviour(_cut(b"gzip", gzip.compress(bytes(8_000_000))), "body_too_large"),
    "bomb-chunk-bad": Behaviour(_broken_chunks(b"gzip", gzip.compress(bytes(8_000_000))), "body_too_large"),
    "lie-short": Behaviour(_cut(b"gzip", TEXT), "bad_encoding"),
    "lie-chunk-bad": Behaviour(_broken_chunks(b"br", TEXT), "bad_encoding"),
    "gzip-endless": _endless("gzip"),
    "brotli-endless": _endless("br"),
    "two-codings-endless": _endless("deflate, gzip"),
    "banner-ssh": Behaviour(saying(b"SSH-2.0-OpenSSH_9.9\r\n"), "bad_status_line"),
    "banner-mail": Behaviour(saying(b"220 mail.example ESMTP\r\n"), "bad_status_line"),
    "preface-http-2": Behaviour(saying(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "bad_status_line"),
    "rest-behind-the-end": Behaviour(saying(reply(b"200 OK", HTML, body=TEXT), b"HTTP/1.1 404 No\r\n\r\n"), FETCHED),
    "elsewhere-by-alt-svc": Behaviour(_page(HTML, b'Alt-Svc: h2="127.0.0.1:1", h3=":1"; ma=9999'), FETCHED),
    "elsewhere-by-hsts": Behaviour(_page(HTML, b"Strict-Transport-Security: max-age=9999"), FETCHED),
    "name-of-file": Behaviour(_page(HTML, b"Content-Disposition: attachment; filename=../../x"), FETCHED),
    "refresh-script": Behaviour(_page(HTML, b"Refresh: 0; url=javascript:x"), FETCHED),
    "refresh-itself": Behaviour(
        _page(HTML, body=b"<meta http-equiv=refresh content='0; url=refresh-itself'>"), FETCHED
    ),
    "base-script": Behaviour(_page(HTML, body=b"<base href=javascript:x><a href=//[>x</a>"), FETCHED),
    "charset-idna": Behaviour(_page(HTML + b"; charset=idna"), FETCHED),
    "charset-zlib": Behaviour(_page(HTML + b"; charset=zlib_codec"), FETCHED),
    "charset-undefined": Behaviour(_page(HTML + b"; charset=undefined"), FETCHED),
    "charset-utf-16": Behaviour(_page(HTML + b"; charset=utf-16"), FETCHED),
    "type-none": Behaviour(_page(), FETCHED),
    "type-is-a-lie": Behaviour(_page(HTML, body=b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)) * 4), FETCHED),
    "type-is-a-zip": Behaviour(_page(HTML, body=b"PK\x03\x04" + bytes(1_000)), FETCHED),
    "image.html": Behaviour(_page(b"Content-Type: image/png", body=b"\x89PNG\r\n\x1a\n" + bytes(100)), "content_type"),
    "nul": Behaviour(_page(HTML, body=b"\0" * 10_000), FETCHED),
}

_ALL: dict[str, Behaviour] = {
    **{
        name: Behaviour(ROUTES[b"/" + name.encode()], verdict)
        for verdict, names in _OF_ROUTES.items()
        for name in names
    },
    **dict(_redirects()),
    **_OWN,
    **{name: Behaviour(route, verdict) for name, route, verdict in packed()},
}


def _is_of_body(name: str, verdict: str) -> bool:
    is_unknown = "zstd" in name and verdict == "bad_encoding"
    return is_unknown or name in _IN_BODY or verdict in ("body_truncated", "body_too_large", "content_type")


BEHAVIOURS = {
    name: each._replace(of_head=FETCHED if _is_of_body(name, each.verdict) else "") for name, each in _ALL.items()
}
# Where redirects of the table lead: nothing else does.
TARGETS: dict[str, Behaviour] = {
    **{f"spin?{place}": _spin(place) for place in range(1, 11)},
    "to-query?x": Behaviour(_page(b"Location: /ok?to", status=b"302 Found"), REDIRECTED),
    "ok?to": Behaviour(_page(HTML), FETCHED),
    "caf%C3%A9": Behaviour(_page(HTML), FETCHED),
}


def as_robots(verdict: str) -> str:
    """Return how the page of a host ends whose robots.txt has this verdict (docs/reference/jobs.md, `politeness`)."""
    if verdict in UNSERVED:
        return verdict
    if verdict.startswith("http_"):
        return FETCHED if int(verdict.removeprefix("http_")) < 500 else "robots_unreachable"
    allowed = {FETCHED, REDIRECTED, "content_type", "body_too_large", "redirect_invalid", "redirect_without_location"}
    allowed |= {"redirect_scheme_blocked", "redirect_loop", "too_many_redirects"}
    return FETCHED if verdict in allowed else "robots_unreachable"


# What is met behind what is too large for a page, but not for a sitemap.
_AFTER_MEGABYTES = {
    "length-short-big": "body_truncated",
    "bomb-short": "body_truncated",
    "bomb-chunk-bad": "bad_framing",
    # Of what is cut there, the rest may have mended it.
    **dict.fromkeys(("gzip-endless", "brotli-endless", "two-codings-endless"), FETCHED),
}


def as_sitemap(name: str, verdict: str) -> str:
    """Return how a sitemap ends that has this behaviour: none of them is one, and fifty megabytes of it are read."""
    if name in _AFTER_MEGABYTES:
        return _AFTER_MEGABYTES[name]
    return "sitemap_broken" if verdict in (FETCHED, "content_type", "body_too_large") else verdict
