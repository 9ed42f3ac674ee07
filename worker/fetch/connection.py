"""Connections of the requests engine: urllib3's, with one deadline over a whole exchange and a strict head.

Stock urllib3 and http.client time out per `recv`, take the end of the stream for the end of the head, and skip
any number of interim answers. Here every `recv` gets only what is left of the exchange's time, a head ends with
an empty line or is an error, and all of it, interim answers included, fits in `MAX_HEAD_BYTES`.

It must not decide anything about URLs, redirects or retries.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

MAX_HEAD_BYTES = 256 * 1024
MAX_CHUNK_LINE_BYTES = 4096
BUFFER_BYTES = 16 * 1024

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9])[ \t]+([1-9][0-9][0-9])(?:[ \t]([^\r\n]*))?\r?\n")
_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_DIGITS = re.compile(r"[0-9]+")
_BODYLESS = frozenset({101, 204, 304})


class BrokenAnswer(Exception):
    """The server broke HTTP. `reason` is one of the reasons that `worker.fetch` lists."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Watch:
    """The time limit of the exchange that a connection is in, and whether any of its answer has arrived."""

    __slots__ = ("deadline", "heard")

    def __init__(self, timeout_s: float) -> None:
        self.start(timeout_s)

    def start(self, timeout_s: float) -> None:
        """Begin an exchange of at most this many seconds."""
        self.deadline = time.monotonic() + timeout_s
        self.heard = False

    def left_s(self) -> float:
        """Return the time left; raise `TimeoutError` if there is none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole exchange is over")
        return left


class WatchedReader(io.RawIOBase):
    """A socket's incoming bytes, each `recv` bounded by the exchange's deadline."""

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._watch = watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._watch.left_s())
        count = self._raw.readinto(buffer)
        if count:
            self._watch.heard = True
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class StrictResponse(http.client.HTTPResponse):
    """An answer whose head is read whole, or not at all; else `begin` raises `BrokenAnswer` or `OSError`."""

    fp: io.BufferedReader
    # What the type stubs leave out of http.client.
    _method: str | None
    _check_close: Callable[[], bool]

    def __init__(self, sock: socket.socket, *, watch: Watch, method: str | None = None) -> None:
        super().__init__(sock, method=method)
        self.fp.close()
        self.fp = io.BufferedReader(WatchedReader(sock, watch), BUFFER_BYTES)
        self._head_left = MAX_HEAD_BYTES

    def begin(self) -> None:
        """Read the head of the final answer, past any interim ones (RFC 9110, 15.2)."""
        status = 100
        while 100 <= status < 200 and status != 101:
            minor, status, reason = self._read_status_line()
            fields = self._read_fields()
        self.code = self.status = status
        self.reason = reason
        self.version = 11 if minor else 10
        self.headers = self.msg = fields
        self._frame(fields)

    def _frame(self, fields: http.client.HTTPMessage) -> None:
        """Decide where the body ends (RFC 9112, 6.3)."""
        self.chunked = _is_chunked(fields)
        self.chunk_left = None
        self.length = None if self.chunked else _content_length(fields)
        if self.chunked:
            del fields["content-length"]  # it counts for nothing (RFC 9112, 6.3), and urllib3 would log it
        if self.status in _BODYLESS or self._method == "HEAD":
            self.chunked, self.length = False, 0
        self.will_close = self._check_close() or (self.length is None and not self.chunked) or self.status == 101

    def _read_next_chunk_size(self) -> int:
        """Read a chunk's size (RFC 9112, 7.1); the standard library would take signs and underscores too."""
        line = self.fp.readline(MAX_CHUNK_LINE_BYTES)
        if not line.endswith(b"\n") and len(line) < MAX_CHUNK_LINE_BYTES:
            raise http.client.IncompleteRead(b"")
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise BrokenAnswer("bad_framing", f"a chunk's size is no number: {line[:60]!r}")
        return int(match[1], 16)

    def _read_status_line(self) -> tuple[int, int, str]:
        line = self._read_line()
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise BrokenAnswer("bad_status_line", f"the answer does not start with HTTP/1.x: {line[:60]!r}")
        return int(match[1]), int(match[2]), (match[3] or b"").decode("iso-8859-1").strip()

    def _read_fields(self) -> http.client.HTTPMessage:
        fields = http.client.HTTPMessage()
        for name, value in _unfold(self._field_lines()):
            fields[name] = value
        return fields

    def _field_lines(self) -> Iterator[str]:
        while (line := self._read_line()) not in (b"\r\n", b"\n"):
            yield _decoded(line)

    def _read_line(self) -> bytes:
        line = self.fp.readline(self._head_left + 1)
        self._head_left -= len(line)
        if self._head_left < 0:
            raise BrokenAnswer("head_too_large", f"the head of the answer passes {MAX_HEAD_BYTES} bytes")
        if not line.endswith(b"\n"):
            if not line and self._head_left == MAX_HEAD_BYTES:
                raise ConnectionResetError("the server closed the connection without an answer")
            raise BrokenAnswer("head_truncated", "the connection ended inside the head of the answer")
        return line


def _decoded(line: bytes) -> str:
    """Decode a field line: ASCII by the standard, UTF-8 in the addresses of many servers, else bytes as they are."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("iso-8859-1")


def _unfold(lines: Iterator[str]) -> list[tuple[str, str]]:
    """Split field lines; one that starts with a blank continues the last; one without a colon is no field."""
    fields: list[tuple[str, str]] = []
    for line in lines:
        if line[0] in " \t":
            if fields:
                fields[-1] = (fields[-1][0], f"{fields[-1][1]} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon and name.strip():
            fields.append((name.strip(), value.strip(" \t\r\n")))
    return fields


def _is_chunked(fields: http.client.HTTPMessage) -> bool:
    coding = ",".join(fields.get_all("transfer-encoding", [])).strip().lower()
    if coding not in ("", "chunked", "identity"):
        raise BrokenAnswer("bad_framing", f"Transfer-Encoding is {coding[:60]!r}, and only chunked is known")
    return coding == "chunked"


def _content_length(fields: http.client.HTTPMessage) -> int | None:
    told = {length.strip() for field in fields.get_all("content-length", []) for length in field.split(",")}
    if not told:
        return None
    length = told.pop()
    if told or not _DIGITS.fullmatch(length) or len(length) > 18:
        raise BrokenAnswer("bad_framing", f"Content-Length is not one number of bytes: {length[:60]!r}")
    return int(length)


class _Watched(HTTPConnection):
    """What both kinds of connection share: the watch, the strict response, the bounded dialling."""

    def __init__(self, host: str, port: int, watch: Watch, **tls: Any) -> None:
        super().__init__(host.strip("[]"), port=port, **tls)
        self.watch = watch
        self._dial_to = (host.strip("[]"), port)
        self.response_class = partial(StrictResponse, watch=watch)  # type: ignore[assignment]  # called, never subclassed

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, all within the watch; `connect` of urllib3 calls this."""
        problem: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(*self._dial_to, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self.watch.left_s())
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # The TLS handshake that may follow runs under this timeout as a whole.
                sock.settimeout(self.watch.left_s())
                return sock
            except OSError as error:
                sock.close()
                problem = error
        raise problem


class WatchedHTTP(_Watched):
    """A connection without TLS."""


class WatchedHTTPS(_Watched, HTTPSConnection):
    """A connection with TLS, the certificate verified against certifi's authorities."""


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's TLS context; loading the authorities takes milliseconds, so it is made once."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


def open_connection(origin: str, watch: Watch) -> _Watched:
    """Make the connection (not yet dialled) to a canonical origin: `scheme://host[:port]`."""
    scheme, _, authority = origin.partition("://")
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, ""
    if scheme == "https":
        return WatchedHTTPS(host, int(port or 443), watch, ssl_context=tls_context())
    return WatchedHTTP(host, int(port or 80), watch)
