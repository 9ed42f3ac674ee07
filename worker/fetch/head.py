"""Judges the head of an answer: one set of rules for every engine, so that they agree on what is broken.

It takes lines as they arrived, opens nothing and waits for nothing. Every error is a `BrokenAnswer`, with a reason of
`shared.reasons`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch.port import Headers

# What a job may allow at most; libcurl bounds a whole head at more.
MAX_HEAD_BYTES = 256 * 1024
# libcurl's limits, for the other engines too.
MAX_LINE_BYTES = 100 * 1024
MAX_FIELDS = 5_000
MAX_CODINGS = 2
#: Answers that have no body, whatever their fields say (RFC 9112, 6.3).
BODILESS = frozenset({101, 204, 304})

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?:[ \t]([^\r\n\0]*))?\r?\n")
_PROTOCOL = b"HTTP/"
_DIGITS = re.compile(r"[0-9]{1,18}")
_BLANKS = (" ", "\t")
_PADDING = " \t\r"
_ENDS = (b"\r\n", b"\n")


class BrokenAnswer(Exception):
    """The server violated HTTP, or a limit; `reason` says how."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def too_large(head_bytes: int) -> BrokenAnswer:
    """Return how an answer is broken whose head is longer than that."""
    return BrokenAnswer(
        Reason.HEAD_TOO_LARGE, f"the head of the answer passes the limit of {head_bytes} bytes (limits.head)"
    )


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


def may_begin(line: bytes) -> bool:
    """Say whether an answer may begin with the beginning of a line."""
    return _PROTOCOL.startswith(line[: len(_PROTOCOL)].upper())


def is_end(line: bytes) -> bool:
    """Say whether a line is the empty one at the end of a head; one that only begins like it is broken."""
    if line in _ENDS:
        return True
    if line.startswith(b"\r"):
        raise BrokenAnswer(Reason.BAD_HEADER, "a line of the head begins with a carriage return")
    return False


def read_fields(lines: Sequence[bytes], status: int = 0) -> Headers:
    """Read field lines without the empty one (RFC 9112, 5). The first field that is broken raises.

    Fields that frame the body must be valid, and a redirect has one target.
    """
    sound = lines if _is_sound(b"".join(lines)) else _sound(lines)
    data = b"".join(sound)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "".join(map(_decoded, sound))
    headers = Headers(_judged(_fields(text), status))
    if sound is not lines:
        raise BrokenAnswer(Reason.BAD_HEADER, "a field of the head holds a NUL or a carriage return")
    return headers


def known_fields(lines: Sequence[bytes], rest: bytes) -> Sequence[bytes]:
    """Return the lines of whole fields of a head that ends early.

    `rest` is what came after them: it may go on with the last one. Without it, a last one that has no colon may be cut.
    """
    begin = len(lines) - 1
    while begin > 0 and lines[begin].startswith((b" ", b"\t")):
        begin -= 1
    is_whole = not rest.startswith((b" ", b"\t")) if rest else b":" in b"".join(lines[begin:])
    return lines if is_whole else lines[:begin]


def is_chunked(headers: Headers) -> bool:
    """Say whether the body is chunked; no other transfer coding is supported."""
    return _is_chunked(headers.get_all("transfer-encoding"))


def content_length(headers: Headers) -> int | None:
    """Return the declared length of the body, or None (RFC 9112, 6.3)."""
    return _length(headers.get_all("content-length"))


def ends_with_connection(headers: Headers) -> bool:
    """Say whether the body of HTTP/1.x has no other end than that of the connection."""
    return content_length(headers) is None and not is_chunked(headers)


def codings(headers: Headers) -> list[str]:
    """Return the content codings in the order of application; more than two are an attack."""
    return _codings(headers.get_all("content-encoding"))


def _listed(fields: Iterable[str]) -> list[str]:
    """Return the words of a field that is a list (RFC 9110, 5.6.1), in lower case."""
    words = (word.strip(_PADDING).lower() for field in fields for word in field.split(","))
    return [word for word in words if word]


def _is_chunked(fields: Iterable[str]) -> bool:
    named = _listed(fields)
    if named and named not in (["chunked"], ["identity"]):
        text = ", ".join(named)[:60]
        raise BrokenAnswer(Reason.BAD_FRAMING, f"Transfer-Encoding is {text!r}, and only chunked is known")
    return named == ["chunked"]


def _length(fields: Iterable[str]) -> int | None:
    lengths = {length.strip(_PADDING) for field in fields for length in field.split(",")}
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not _DIGITS.fullmatch(length):
        raise BrokenAnswer(Reason.BAD_FRAMING, f"Content-Length is not one number of bytes: {length[:60]!r}")
    return int(length)


def _codings(fields: Iterable[str]) -> list[str]:
    found = _listed(fields)
    if len(found) > MAX_CODINGS:
        raise BrokenAnswer(
            Reason.BAD_ENCODING, f"Content-Encoding names {len(found)} codings, {MAX_CODINGS} are allowed"
        )
    return found


# What raises if the values of a field so far are broken.
_JUDGES: dict[str, Callable[[Iterable[str]], object]] = {
    "content-length": _length,
    "transfer-encoding": _is_chunked,
    "content-encoding": _codings,
}
_FRAMING = frozenset({"content-length", "transfer-encoding"})


def _judged(fields: Iterable[str], status: int) -> Iterator[tuple[str, str]]:
    """Yield names and values, each once it was judged beside those before it; fields without a name are passed over."""
    seen: dict[str, list[str]] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon:
            raise BrokenAnswer(Reason.BAD_HEADER, f"a line of the head has no colon: {field[:60]!r}")
        value = value.strip(_PADDING)
        key = name.lower()
        if name.endswith(_BLANKS):
            name, key = name.rstrip(_PADDING), key.rstrip(_PADDING)
            if key in _FRAMING:
                raise BrokenAnswer(Reason.BAD_FRAMING, f"a blank stands between {name} and its colon")
        judge = _JUDGES.get(key)
        if judge is not None:
            values = seen.setdefault(key, [])
            values.append(value)
            judge(values)
            # What they say in short: there may be thousands of such fields, each with thousands of commas.
            seen[key] = _listed(values)[:MAX_CODINGS]
        elif key == "location" and 300 <= status <= 399 and value not in seen.setdefault(key, [value]):
            # libcurl refuses it, and engines would follow different ones.
            raise BrokenAnswer(Reason.BAD_HEADER, "the answer tells more than one Location")
        if name:
            yield name, value


def _fields(text: str) -> Iterable[str]:
    """Return fields; a line that starts with a blank continues the one before (RFC 9112, 5.2)."""
    is_folded = text.startswith(_BLANKS) or "\n " in text or "\n\t" in text
    return _unfolded(text) if is_folded else text.split("\n")[:-1]


def _unfolded(text: str) -> Iterator[str]:
    field: str | None = None
    for line in text.split("\n")[:-1]:
        if not line.startswith(_BLANKS):
            if field is not None:
                yield field
            field = line
        elif field is not None:
            field = f"{field.rstrip(_PADDING)} {line.strip(_PADDING)}"
        else:
            raise BrokenAnswer(Reason.BAD_HEADER, "the first field of the head begins with a blank")
    if field is not None:
        yield field


def _is_sound(data: bytes) -> bool:
    return b"\0" not in data and data.count(b"\r") == data.count(b"\r\n")


def _sound(lines: Sequence[bytes]) -> Sequence[bytes]:
    """Return the lines before the first field with a NUL, or a carriage return that ends no line."""
    end = next(index for index, line in enumerate(lines) if not _is_sound(line))
    while end and lines[end].startswith((b" ", b"\t")):
        end -= 1
    return lines[:end]


def _decoded(line: bytes) -> str:
    """Decode a field line: ASCII by the standard, UTF-8 in the URLs of many servers, else Latin-1."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("iso-8859-1")
