"""Judges the head of an answer: one set of rules for every engine, so that they agree on what is broken.

It takes lines as they arrived, opens nothing and waits for nothing. Every error is a `BrokenAnswer`, with a reason of
`shared.reasons`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch.port import Headers

MAX_HEAD_BYTES = 256 * 1024
# libcurl's limits, for the other engines too.
MAX_LINE_BYTES = 100 * 1024
MAX_FIELDS = 5_000
MAX_CODINGS = 2

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?:[ \t]([^\r\n]*))?\r?\n")
_DIGITS = re.compile(r"[0-9]{1,18}")


class BrokenAnswer(Exception):
    """The server violated HTTP; `reason` says how."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class StatusLine(NamedTuple):
    """The first line of an answer."""

    status: int
    reason: str
    minor: int


def read_status_line(line: bytes) -> StatusLine:
    """Read the first line of an answer (RFC 9112, 4)."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise BrokenAnswer(Reason.BAD_STATUS_LINE, f"the answer does not start with HTTP/1.x: {line[:60]!r}")
    reason = match[3].decode("iso-8859-1").strip() if match[3] else ""
    return StatusLine(int(match[2]), reason, 0 if match[1] == b"0" else 1)


def read_fields(lines: Sequence[bytes]) -> Headers:
    """Read field lines without the empty one (RFC 9112, 5); the fields that frame the body must be valid."""
    data = b"".join(lines)
    if b"\0" in data or data.count(b"\r") != data.count(b"\r\n"):
        raise BrokenAnswer(Reason.BAD_HEADER, "a field of the head holds a NUL or a carriage return")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "".join(map(_decoded, lines))
    headers = Headers(_pairs(text))
    if "content-length" in headers:
        content_length(headers)
    if "transfer-encoding" in headers:
        is_chunked(headers)
    if "content-encoding" in headers:
        codings(headers)
    return headers


def is_chunked(headers: Headers) -> bool:
    """Say whether the body is chunked; no other transfer coding is supported."""
    coding = ",".join(headers.get_all("transfer-encoding")).strip().lower()
    if coding not in ("", "chunked", "identity"):
        raise BrokenAnswer(Reason.BAD_FRAMING, f"Transfer-Encoding is {coding[:60]!r}, and only chunked is known")
    return coding == "chunked"


def content_length(headers: Headers) -> int | None:
    """Return the declared length of the body, or None (RFC 9112, 6.3)."""
    lengths = {length.strip() for field in headers.get_all("content-length") for length in field.split(",")}
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not _DIGITS.fullmatch(length):
        raise BrokenAnswer(Reason.BAD_FRAMING, f"Content-Length is not one number of bytes: {length[:60]!r}")
    return int(length)


def refuse_two_locations(status: int, headers: Headers) -> None:
    """Refuse a redirect with two targets: libcurl does, and engines would follow different ones."""
    if 300 <= status <= 399 and len(set(headers.get_all("location"))) > 1:
        raise BrokenAnswer(Reason.BAD_HEADER, "the answer tells more than one Location")


def codings(headers: Headers) -> list[str]:
    """Return the content codings in the order of application; more than two are an attack."""
    fields = headers.get_all("content-encoding")
    found = [coding.strip().lower() for field in fields for coding in field.split(",") if coding.strip()]
    if len(found) > MAX_CODINGS:
        raise BrokenAnswer(
            Reason.BAD_ENCODING, f"Content-Encoding names {len(found)} codings, {MAX_CODINGS} are allowed"
        )
    return found


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Split fields; a line that starts with whitespace continues the one before."""
    name, value = "", ""
    for line in text.split("\n")[:-1]:
        if line[:1] in (" ", "\t") and name:
            value = f"{value} {line.strip()}"
            continue
        if name:
            yield name, value
        name, colon, value = line.partition(":")
        if not colon:
            raise BrokenAnswer(Reason.BAD_HEADER, f"a line of the head has no colon: {line[:60]!r}")
        name, value = name.strip(), value.strip(" \t\r")
    if name:
        yield name, value


def _decoded(line: bytes) -> str:
    """Decode a field line: ASCII by the standard, UTF-8 in the URLs of many servers, else Latin-1."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("iso-8859-1")
