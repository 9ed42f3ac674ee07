"""Translates libcurl's output for the port: the lines of a head and result codes.

Only here do libcurl's errors get our names. It takes numbers and bytes, and knows no handle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch import head
from crawlfleet.worker.fetch.port import Headers, refusal_of

OK = 0
UNCONNECTED = 7
WRITE_ERROR = 23
TIMED_OUT = 28
UNVERIFIED = 60
TOO_LONG = 63

# CURLcode (curl/curl.h) to reason; `_BY_TEXT` refines it.
_REASONS = {
    1: Reason.BAD_STATUS_LINE,  # UNSUPPORTED_PROTOCOL: HTTP/0.9, or another version
    3: Reason.DNS_FAILED,  # URL_MALFORMAT: a host that libcurl rejects
    6: Reason.DNS_FAILED,  # COULDNT_RESOLVE_HOST: it was given no address
    8: Reason.BAD_FRAMING,  # WEIRD_SERVER_REPLY
    16: Reason.BAD_FRAMING,  # HTTP2
    18: Reason.BODY_TRUNCATED,  # PARTIAL_FILE
    TIMED_OUT: Reason.TIMEOUT_TOTAL,  # OPERATION_TIMEDOUT
    35: Reason.TLS,  # SSL_CONNECT_ERROR
    45: Reason.NO_ROUTE,  # INTERFACE_FAILED
    52: Reason.RESET,  # GOT_NOTHING
    53: Reason.TLS,  # SSL_ENGINE_NOTFOUND
    55: Reason.RESET,  # SEND_ERROR
    56: Reason.RESET,  # RECV_ERROR
    UNVERIFIED: Reason.TLS_UNTRUSTED,  # PEER_FAILED_VERIFICATION
    61: Reason.BAD_ENCODING,  # BAD_CONTENT_ENCODING
    TOO_LONG: Reason.BODY_TOO_LARGE,  # FILESIZE_EXCEEDED
    77: Reason.INTERNAL_ERROR,  # SSL_CACERT_BADFILE
    92: Reason.RESET,  # HTTP2_STREAM
    100: Reason.HEAD_TOO_LARGE,  # TOO_LARGE
}
_BY_TEXT = (
    (8, "colon", Reason.BAD_HEADER),
    (8, "Location", Reason.BAD_HEADER),
    (8, "NUL byte", Reason.BAD_HEADER),
    (8, "Carriage return", Reason.BAD_HEADER),
    (8, "Version mismatch", Reason.BAD_STATUS_LINE),
    (56, "response headers", Reason.HEAD_TOO_LARGE),
    (56, "chunk", Reason.BAD_FRAMING),
    (61, "Transfer-Encoding", Reason.BAD_FRAMING),
    (UNVERIFIED, "subject name", Reason.TLS_WRONG_HOST),
    (UNVERIFIED, "expired", Reason.TLS_EXPIRED),
    (UNVERIFIED, "not yet valid", Reason.TLS_EXPIRED),
)
_BLANK = (b"\r\n", b"\n")


class Head(NamedTuple):
    """The final head of an answer."""

    status: int
    headers: Headers


def reason_of(code: int, text: str, os_errno: int = 0) -> Reason:
    """Return the reason of a result other than OK; `os_errno` is the error that the system had told last."""
    if code == UNCONNECTED:
        return refusal_of(os_errno)
    for refined, fragment, reason in _BY_TEXT:
        if refined == code and fragment in text:
            return reason
    return _REASONS.get(code, Reason.INTERNAL_ERROR)


def first_status(lines: Sequence[bytes]) -> int:
    """Return the status of the last head, past interim ones, once its body begins; 0 if its line is invalid."""
    status = _status_of(lines[0])
    for before, line in pairwise(lines):
        if not 100 <= status < 200:
            break
        if before in _BLANK:
            status = _status_of(line)
    return status


def read_head(lines: Sequence[bytes]) -> Head | None:
    """Read the final head of an answer; None if it is incomplete. Raises `BrokenAnswer`.

    `lines` are the lines of all heads, with interim ones and trailer fields, and the empty line at the end of each.
    """
    if sum(map(len, lines)) > head.MAX_HEAD_BYTES:
        raise head.BrokenAnswer(Reason.HEAD_TOO_LARGE, f"the head of the answer passes {head.MAX_HEAD_BYTES} bytes")
    ends = [index for index, line in enumerate(lines) if line in _BLANK]
    if not ends or (ends[-1] + 1 < len(lines) and lines[ends[-1] + 1].startswith(b"HTTP/")):
        if lines:
            _status_line(lines[0])  # raises if it is broken
        return None
    begin = ends[-2] + 1 if len(ends) > 1 else 0
    first = _status_line(lines[begin])
    if first.status < 200 and first.status != 101:  # an interim one
        return None
    headers = head.read_fields(lines[begin + 1 : ends[-1]])
    head.refuse_two_locations(first.status, headers)
    return Head(first.status, headers)


def _status_of(line: bytes) -> int:
    word = line.split(None, 2)[1:2]
    return int(word[0]) if word and word[0].isdigit() else 0


def _status_line(line: bytes) -> head.StatusLine:
    """Read the first line of a head. HTTP/2 has none: libcurl writes one."""
    return head.read_status_line(b"HTTP/1.1 " + line[7:] if line.startswith(b"HTTP/2 ") else line)
