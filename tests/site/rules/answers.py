"""Statuses, times to come back, framing, codings: what an answer is worth."""

from __future__ import annotations

import base64
import gzip
import zlib

from tests.site.hostile_site import Visitor
from tests.site.rules.rule import (
    FETCHED,
    FETCHED_AT_LAST,
    PLAIN,
    Answer,
    End,
    Rule,
    ends,
    failed,
    failed_again,
    html,
    leads,
    whole,
)

PAGE = b"<!doctype html><title>packed</title><a href=target>on</a>"
IN_BROTLI = base64.b64decode("GzgAAIxUtb9+IXN7kzw+ZeCQA/avROKIDh7D49whpXiZqE3xL9DXNknrJgE=")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_CUT = _HEAD + b"Content-Length: 1000\r\n\r\n" + PAGE


def status(number: int, end: End, *fields: bytes) -> Rule:
    """Make a rule: what a status means. The links of its body are followed if it is fetched."""
    answer = html(PAGE, *fields, status=b"%d Told" % number)
    says = f"{number} ends as {end.verdict}, asked for {end.asked} times"
    is_read = end.verdict == "fetched"
    targets = {"target": FETCHED} if is_read else {}
    return Rule(name=f"status-{number}", says=says, serves={"": answer}, ends={"": end, **targets})


def busy(name: str, says: str, pause_s: float, *fields: bytes, number: bytes = b"429 Too Many") -> Rule:
    """Make a rule: for how long a host is left alone after an answer, before it gives the page."""
    return ends(name, says, [whole(number, *fields), PLAIN], FETCHED_AT_LAST, alone=True, pause_s=pause_s)


def broken(name: str, says: str, answer: Answer, reason: str) -> Rule:
    """Make a rule: a broken answer, which is asked for once more."""
    return ends(name, says, answer, failed_again(reason))


def readable(name: str, says: str, answer: Answer) -> Rule:
    """Make a rule: an odd answer that holds `PAGE` all the same."""
    return Rule(
        name=name,
        says=says,
        serves={"": answer},
        ends={"": FETCHED, "target": FETCHED},
        rows={"": {"title": "packed", "size": len(PAGE), "status": 200}},
    )


def coded(coding: bytes, body: bytes) -> bytes:
    """Build a page with a Content-Encoding."""
    return html(body, b"Content-Encoding: " + coding)


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def _negotiated(visitor: Visitor, head: bytes) -> None:
    """Answer in br if that is offered, as good servers do."""
    offers = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"accept-encoding:"))
    visitor.say(coded(b"br", IN_BROTLI) if b"br" in offers else coded(b"gzip", gzip.compress(PAGE)))


def _silent(visitor: Visitor, _: bytes) -> None:
    visitor.wait_for_end()


def _drip(visitor: Visitor, _: bytes) -> None:
    visitor.say(_HEAD + b"Content-Length: 100000\r\n\r\n")
    visitor.drip(b"x")


def _drip_head(visitor: Visitor, _: bytes) -> None:
    visitor.say(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    visitor.drip(b"x")


def _reset(visitor: Visitor, _: bytes) -> None:
    visitor.reset()


def _flood(visitor: Visitor, _: bytes) -> None:
    visitor.say(_HEAD + b"\r\n")
    visitor.flood(b"x" * 4096)


_FINAL = (400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 413, 414, 418, 421, 423, 451, 501, 505, 999)
_PASSING = (408, 425, 500, 502, 503, 504, 507, 520, 599)

STATUSES = [
    *(status(number, FETCHED) for number in (200, 201, 202, 203)),
    ends(
        "status-204", "204 is a page without a body", whole(b"204 None"), FETCHED, rows={"": {"title": None, "size": 0}}
    ),
    ends("status-205", "205 is a page without a body", html(b"", status=b"205 Reset"), FETCHED, rows={"": {"size": 0}}),
    status(206, failed_again("http_206"), b"Content-Range: bytes 0-56/2000"),
    leads(
        "status-206-whole",
        "206 is a page if its range is all there is",
        html(PAGE, b"Content-Range: bytes 0-56/57", status=b"206 Partial"),
        "target",
    ),
    ends("status-304", "304 answers a question that was not asked", whole(b"304 Same"), failed_again("http_304")),
    *(status(number, failed(f"http_{number}")) for number in _FINAL),
    *(status(number, failed_again(f"http_{number}")) for number in _PASSING),
    Rule(
        name="status-500-once",
        says="What fails for now may be fetched later",
        serves={"": [html(b"", status=b"500 Oh"), html(PAGE)]},
        ends={"": FETCHED_AT_LAST, "target": FETCHED},
    ),
    readable(
        "interim",
        "Interim answers are passed over",
        b"HTTP/1.1 103 Early Hints\r\nLink: </no>; rel=next\r\n\r\n" * 3 + html(PAGE),
    ),
    busy("busy", "429 leaves the host alone for our own pause", 0.75),
    busy("busy-seconds", "429 leaves the host alone for the seconds of Retry-After", 2.0, b"Retry-After: 2"),
    busy(
        "busy-date",
        "Retry-After may be a date, by the server's own clock",
        2.0,
        b"Date: Mon, 01 Jan 2024 00:00:00 GMT",
        b"Retry-After: Mon, 01 Jan 2024 00:00:02 GMT",
    ),
    busy(
        "busy-past",
        "A date in the past is never shorter than our own pause",
        0.75,
        b"Retry-After: Mon, 01 Jan 2024 00:00:00 GMT",
    ),
    busy("busy-zero", "Nor are no seconds", 0.75, b"Retry-After: 0"),
    busy("busy-negative", "Nor are negative ones", 0.75, b"Retry-After: -5"),
    busy("busy-garbage", "What is neither seconds nor a date counts for nothing", 0.75, b"Retry-After: 1e9"),
    busy("busy-503", "503 with Retry-After leaves the host alone, too", 2.0, b"Retry-After: 2", number=b"503 Busy"),
    ends(
        "busy-always",
        "A host that is always busy ends as such: one answer is excused, the others count",
        whole(b"429 Too Many", b"Retry-After: 0"),
        End("failed", "http_429", 3),
        alone=True,
    ),
]

FRAMES = [
    readable("length-same-twice", "Two equal lengths are one", html(PAGE, b"Content-Length: %d" % len(PAGE))),
    readable("length-short", "What follows the length is no part of the page", html(PAGE) + b"<a href=beyond>x</a>"),
    readable("length-none", "Without a length the end of the connection is the end", _HEAD + b"\r\n" + PAGE),
    readable("http-1.0", "HTTP/1.0 is read", b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE),
    readable(
        "chunked",
        "Chunks are joined, extensions and trailers left out",
        _CHUNKED + b"5;a=b\r\n" + PAGE[:5] + b"\r\n%x\r\n" % len(PAGE[5:]) + PAGE[5:] + b"\r\n0\r\nLink: </no>\r\n\r\n",
    ),
    readable("line-feeds", "Lines may end in a line feed alone", html(PAGE).replace(b"\r\n", b"\n")),
    readable("field-folded", "A field may be continued", html(PAGE, b"X-Fold: one\r\n two")),
    readable("field-8bit", "A field may hold any octet", html(PAGE, b"X-Odd: \xe9\xff")),
    broken("head-cut", "An answer that is cut in its head is none", _HEAD + b"Content-Len", "head_truncated"),
    broken("head-cut-line", "Nor if whole lines came", _HEAD, "head_truncated"),
    Rule(
        name="head-cut-once",
        says="After a cut head the page is fetched, with its links",
        serves={"": [_HEAD, html(PAGE)]},
        ends={"": FETCHED_AT_LAST, "target": FETCHED},
    ),
    broken("body-cut", "A body that is shorter than its length is none", _CUT, "body_truncated"),
    Rule(
        name="body-cut-once",
        says="After a cut body the page is fetched, with its links",
        serves={"": [_CUT, html(PAGE)]},
        ends={"": FETCHED_AT_LAST, "target": FETCHED},
    ),
    broken("chunks-cut", "Chunks without a last one are cut", _CHUNKED + b"5\r\nhello\r\n", "body_truncated"),
    broken("chunk-cut", "So is a chunk that is shorter than its size", _CHUNKED + b"ff\r\nhello", "body_truncated"),
    broken("chunk-size", "A chunk's size is a number", _CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", "bad_framing"),
    broken("chunk-negative", "... and not negative", _CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", "bad_framing"),
    broken("chunk-end", "A chunk ends where its size says", _CHUNKED + b"5\r\nhelloXX0\r\n\r\n", "bad_framing"),
    broken("length-negative", "A length is not negative", _HEAD + b"Content-Length: -1\r\n\r\nx", "bad_framing"),
    broken("length-word", "A length is a number", _HEAD + b"Content-Length: thousand\r\n\r\nx", "bad_framing"),
    broken("length-two", "Two lengths are none", html(PAGE, b"Content-Length: 5"), "bad_framing"),
    broken(
        "coding-transfer", "Chunked is the only transfer coding", html(PAGE, b"Transfer-Encoding: gzip"), "bad_framing"
    ),
    broken("status-line-none", "An answer begins with a status line", PAGE + b"\r\n\r\n", "bad_status_line"),
    broken("status-line-icy", "... of HTTP", b"ICY 200 OK\r\n\r\n" + PAGE, "bad_status_line"),
    broken("status-line-9", "... of a version that there is", b"HTTP/9.9 200 OK\r\n\r\n" + PAGE, "bad_status_line"),
    broken("field-nul", "A field holds no NUL", html(PAGE, b"X-Odd: a\0b"), "bad_header"),
    broken("field-colon", "A field has a colon", html(PAGE, b"nonsense"), "bad_header"),
    broken("closed", "A connection that ends without an answer is tried again", b"", "reset"),
    broken("reset", "So is one that is reset", _reset, "reset"),
    broken("silent", "So is a server that says nothing", _silent, "timeout_first_byte"),
    broken("drip", "So is one that does not come to an end", _drip, "timeout_total"),
    broken("drip-head", "... not even of its head", _drip_head, "timeout_total"),
    ends("size", "A page over the limit of size is given up", _flood, failed("body_too_large")),
    ends("size-told", "... and so is one that says so", html(bytes(600_000)), failed("body_too_large")),
    ends(
        "size-head",
        "... and one whose head is too large",
        html(PAGE, b"X: " + b"x" * 200_000),
        failed("head_too_large"),
    ),
]

CODINGS = [
    readable("coding-gzip", "gzip is unpacked", coded(b"gzip", gzip.compress(PAGE))),
    readable("coding-x-gzip", "... by its old name, in any case", coded(b"X-GZIP", gzip.compress(PAGE))),
    readable("coding-deflate", "deflate is unpacked", coded(b"deflate", zlib.compress(PAGE))),
    readable("coding-raw", "... without its frame, too", coded(b"deflate", _raw_deflate(PAGE))),
    readable("coding-br", "br is unpacked where it is offered", _negotiated),
    readable("coding-identity", "identity is no coding", coded(b"identity", PAGE)),
    readable("coding-two", "Codings are undone in turn", coded(b"deflate, gzip", gzip.compress(zlib.compress(PAGE)))),
    broken("coding-three", "More than two are an attack", coded(b"gzip, gzip, gzip", PAGE), "bad_encoding"),
    broken("coding-lie", "What is not coded as it says cannot be read", coded(b"gzip", PAGE), "bad_encoding"),
    broken("coding-zstd", "Nor can a coding that was not offered", coded(b"zstd", PAGE), "bad_encoding"),
    readable("coding-unknown", "A word that is no coding says nothing", coded(b"UTF-8", PAGE)),
    readable("coding-rest", "What follows the end of a coding is ignored", coded(b"gzip", gzip.compress(PAGE) + b"\n")),
    readable(
        "coding-members",
        "Members of gzip are joined",
        coded(b"gzip", gzip.compress(PAGE[:9]) + gzip.compress(PAGE[9:])),
    ),
    ends(
        "coding-bomb",
        "The limit of size holds for what is unpacked",
        coded(b"gzip", gzip.compress(bytes(600_000))),
        failed("body_too_large"),
    ),
    ends(
        "coding-file",
        "A packed file is no coding",
        whole(b"200 OK", b"Content-Type: application/gzip", body=gzip.compress(PAGE, mtime=0)),
        FETCHED,
        rows={"": {"title": None, "content_type": "application/gzip", "size": len(gzip.compress(PAGE, mtime=0))}},
    ),
]

RULES = [*STATUSES, *FRAMES, *CODINGS]
