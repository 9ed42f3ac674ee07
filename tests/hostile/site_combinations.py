"""Answers in which several things are odd at once: every kind of head, with every framing, with every coding.

Which of the faults is told follows from where it stands: the head first, then what frames the body, then what codes it,
then the body. It is decoded as it comes, so that of its faults the coding's is met before that of its end.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from itertools import product

from tests.hostile.site_behaviours import FETCHED, HTML, TEXT, Behaviour, pouring
from tests.site.hostile_site import Route, Visitor

_SMALL = TEXT * 20
_PACKED = gzip.compress(_SMALL, mtime=0)

HEADS: dict[str, tuple[bytes, str]] = {
    "plain": (b"", ""),
    "folded": (b"X-Fold: one\r\n two\r\n", ""),
    "octets": (b"X-Odd: \xe9\xff\x01\r\n", ""),
    "nul": (b"X-Odd: a\0b\r\n", "bad_header"),
    "colonless": (b"nonsense\r\n", "bad_header"),
    "large": (b"X-Large: " + b"x" * 120_000 + b"\r\n", "head_too_large"),
}
# Of each: what is said in the head, whether that is refused, and what its end makes of a body that was sound.
FRAMES: dict[str, tuple[str, str]] = {
    "length": ("", ""),
    "chunks": ("", ""),
    "close": ("", ""),
    "short": ("", "body_truncated"),
    "unended": ("", "body_truncated"),
    "odd": ("", "bad_framing"),
    "two": ("bad_framing", ""),
}
# Of each: the coding, the bytes, whether the head is refused, and what the body comes to.
CODINGS: dict[str, tuple[bytes, bytes, str, str]] = {
    "none": (b"", _SMALL, "", ""),
    "gzip": (b"gzip", _PACKED, "", ""),
    "both": (b"deflate, gzip", gzip.compress(zlib.compress(_SMALL), mtime=0), "", ""),
    # What is cut within a coding is read as far as it goes.
    "cut": (b"gzip", _PACKED[:-12], "", ""),
    "late": (b"gzip", _PACKED[:-8] + bytes(8), "", "bad_encoding"),
    "lie": (b"gzip", _SMALL, "", "bad_encoding"),
    "bomb": (b"gzip", gzip.compress(bytes(4_000_000), mtime=0), "", "body_too_large"),
    "strange": (b"zstd", _SMALL, "", "bad_encoding"),
    "three": (b"gzip, gzip, gzip", _PACKED, "bad_encoding", ""),
}
# How an endless body is framed: a field, whether it is in chunks, whether that is refused.
ENDLESS_FRAMES: dict[str, tuple[bytes, bool, str]] = {
    "length": (b"Content-Length: 1000000000000000\r\n", False, ""),
    "chunks": (b"Transfer-Encoding: chunked\r\n", True, ""),
    "close": (b"", False, ""),
    "two": (b"Content-Length: 1\r\nContent-Length: 2\r\n", False, "bad_framing"),
}
ENDLESS_CODINGS = ("", "gzip", "deflate, gzip", "br")
_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </no>; rel=next\r\n\r\n"


def _framed(frame: str, body: bytes) -> tuple[bytes, bytes]:
    """Return the fields that frame a body, and the body as it is sent."""
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    chunked = b"Transfer-Encoding: chunked\r\n"
    return {
        "length": (b"Content-Length: %d\r\n" % len(body), body),
        "chunks": (chunked, chunk + b"0\r\n\r\n"),
        "close": (b"", body),
        "short": (b"Content-Length: %d\r\n" % (len(body) + 1_000), body),
        "unended": (chunked, chunk),
        "odd": (chunked, chunk + b"zz\r\nhello\r\n0\r\n\r\n"),
        "two": (b"Content-Length: 1\r\nContent-Length: 2\r\n", body),
    }[frame]


def _route(answer: bytes, *, in_pieces: bool) -> Route:
    def say(visitor: Visitor) -> None:
        if not in_pieces:
            visitor.say(answer)
            return
        for start in range(0, len(answer), max(1, len(answer) // 7)):
            visitor.say(answer[start : start + max(1, len(answer) // 7)])

    return say


def _head(*fields: bytes) -> bytes:
    return b"".join((b"HTTP/1.1 200 OK\r\n", HTML, b"\r\n", *fields, b"\r\n"))


def _coding_field(codings: bytes) -> bytes:
    return b"Content-Encoding: %b\r\n" % codings if codings else b""


def combinations() -> Iterator[tuple[str, Behaviour]]:
    """Yield every combination by its name; every other one comes after interim answers, every third in pieces."""
    for number, (head, frame, coding) in enumerate(product(HEADS, FRAMES, CODINGS)):
        odd_field, of_head = HEADS[head]
        of_frame, of_end = FRAMES[frame]
        codes, body, of_coding, of_body = CODINGS[coding]
        framing, sent = _framed(frame, body)
        answer = _HINTS * (number % 2) + _head(odd_field, framing, _coding_field(codes)) + sent
        refusal = of_head or of_frame or of_coding
        verdict = refusal or of_body or of_end or FETCHED
        route = _route(answer, in_pieces=number % 3 == 0)
        yield f"mix/{head}-{frame}-{coding}", Behaviour(route, verdict, refusal or FETCHED)
    yield from _endless_ones()


def _endless_ones() -> Iterator[tuple[str, Behaviour]]:
    for head, frame, coding in product(HEADS, ENDLESS_FRAMES, ENDLESS_CODINGS):
        odd_field, of_head = HEADS[head]
        framing, is_chunked, of_frame = ENDLESS_FRAMES[frame]
        begin = _head(odd_field, framing, _coding_field(coding.encode()))
        route = pouring(begin, coding, chunked=is_chunked)
        refusal = of_head or of_frame
        name = coding.replace(", ", "-") or "none"
        yield f"mix/{head}-{frame}-endless-{name}", Behaviour(route, refusal or "body_too_large", refusal or FETCHED)
