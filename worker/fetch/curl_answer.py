"""Translates libcurl's output for the port: the lines of a head and result codes.

Only here do libcurl's errors get our names. It takes numbers and bytes, and knows no handle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch import head
from crawlfleet.worker.fetch.port import Headers, refusal_of

OK = 0
UNCONNECTED = 7
PARTIAL_FILE = 18
GOT_NOTHING = 52
WRITE_ERROR = 23
TIMED_OUT = 28
SEND_ERROR = 55
RECEIVE_ERROR = 56
UNVERIFIED = 60
TOO_LONG = 63

# CURLcode (curl/curl.h) to reason; `_BY_TEXT` refines it.
_REASONS = {
    1: Reason.BAD_STATUS_LINE,  # UNSUPPORTED_PROTOCOL: HTTP/0.9, or another version
    3: Reason.DNS_FAILED,  # URL_MALFORMAT: a host that libcurl rejects
    6: Reason.DNS_FAILED,  # COULDNT_RESOLVE_HOST: it was given no address
    8: Reason.BAD_FRAMING,  # WEIRD_SERVER_REPLY
    16: Reason.BAD_FRAMING,  # HTTP2
    PARTIAL_FILE: Reason.BODY_TRUNCATED,
    TIMED_OUT: Reason.TIMEOUT_TOTAL,  # OPERATION_TIMEDOUT
    35: Reason.TLS,  # SSL_CONNECT_ERROR
    45: Reason.NO_ROUTE,  # INTERFACE_FAILED
    GOT_NOTHING: Reason.RESET,
    53: Reason.TLS,  # SSL_ENGINE_NOTFOUND
    SEND_ERROR: Reason.RESET,
    RECEIVE_ERROR: Reason.RESET,
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
    (8, "status line", Reason.BAD_STATUS_LINE),
    (43, "response header", Reason.BAD_HEADER),
    (RECEIVE_ERROR, "response headers", Reason.HEAD_TOO_LARGE),
    (RECEIVE_ERROR, "chunk", Reason.BAD_FRAMING),
    (61, "Transfer-Encoding", Reason.BAD_FRAMING),
    (UNVERIFIED, "subject name", Reason.TLS_WRONG_HOST),
    (UNVERIFIED, "expired", Reason.TLS_EXPIRED),
    (UNVERIFIED, "not yet valid", Reason.TLS_EXPIRED),
)
# Where libcurl takes a head to end.
_ENDS = (b"\r", b"\n")
_MULTIPLEXED = b"HTTP/2 "


class Head(NamedTuple):
    """The final head of an answer."""

    status: int
    headers: Headers
    is_multiplexed: bool = False

    @property
    def ends_with_connection(self) -> bool:
        """Whether its body has no other end than that of the connection."""
        return not self.is_multiplexed and head.ends_with_connection(self.headers)

    @property
    def ignored_length(self) -> int | None:
        """The length of the body where libcurl waits for the end of the connection: beside a Transfer-Encoding."""
        if "transfer-encoding" not in self.headers or head.is_chunked(self.headers):
            return None
        return head.content_length(self.headers)


def reason_of(code: int, text: str, os_errno: int = 0) -> Reason:
    """Return the reason of a result other than OK; `os_errno` is the error that the system had told last."""
    if code == UNCONNECTED:
        return refusal_of(os_errno)
    for refined, fragment, reason in _BY_TEXT:
        if refined == code and fragment in text:
            return reason
    return _REASONS.get(code, Reason.INTERNAL_ERROR)


def is_cut(code: int, text: str) -> bool:
    """Say whether a TLS connection ended without a farewell: in plain text, that is an end as any other."""
    return code == RECEIVE_ERROR and "unexpected eof" in text


def has_tried_enough(code: int, text: str) -> bool:
    """Say whether libcurl gave up since each idle connection that it took had been closed by the server."""
    return code == SEND_ERROR and "Connection died" in text


def is_ended(code: int, text: str) -> bool:
    """Say whether a connection ended too early, but in an orderly way, as far as libcurl tells."""
    return code in (PARTIAL_FILE, GOT_NOTHING) or (code == RECEIVE_ERROR and "Invalid response header" in text)


def read_head(lines: Sequence[bytes], most_bytes: int, *, is_plain: bool = False) -> Head | None:
    """Read the final head of an answer; None if it is incomplete. Raises `BrokenAnswer`.

    `lines` are the lines of all heads, with interim ones and trailer fields, and the empty line at the end of each. The
    heads have `most_bytes` together. There is no HTTP/2 over a connection that `is_plain`.
    """
    if lines and not lines[-1].endswith(b"\n"):
        lines = lines[:-1]  # it was cut
    rest = _within_limit(lines, most_bytes)
    begin = 0
    for end, line in enumerate(rest):
        if end == begin:
            first = _status_line(line, is_plain)
        elif line.startswith(_ENDS):
            headers = head.read_fields(rest[begin + 1 : end], first.status)
            head.is_end(line)
            if first.status >= 200 or first.status == 101:
                return Head(first.status, headers, rest[begin].startswith(_MULTIPLEXED))
            begin = end + 1
    if begin < len(rest):
        head.read_fields(rest[begin + 1 :], first.status)
    if len(rest) < len(lines):
        raise head.too_large(most_bytes)
    return None


def is_first_line(lines: Sequence[bytes]) -> bool:
    """Say whether the line after these is the first of a head."""
    return not lines or lines[-1].startswith(_ENDS)


def _within_limit(lines: Sequence[bytes], most_bytes: int) -> Sequence[bytes]:
    """Return those of the lines that a head may have."""
    if sum(map(len, lines)) <= most_bytes:
        return lines
    sizes = accumulate(map(len, lines))
    return lines[: next(count for count, size in enumerate(sizes) if size > most_bytes)]


def _status_line(line: bytes, is_plain: bool) -> head.StatusLine:
    """Read the first line of a head. HTTP/2 has none: libcurl writes one."""
    is_made = not is_plain and line.startswith(_MULTIPLEXED)
    return head.read_status_line(b"HTTP/1.1 " + line[7:] if is_made else line)
