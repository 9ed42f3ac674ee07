"""Connections of the requests engine: urllib3's, with one deadline for a whole exchange and a strict head.

urllib3 and http.client apply a timeout to each `recv`, accept the end of the stream as the end of the head, and skip
any number of interim answers. Here every `recv` gets only the remaining time of the exchange, a head ends with an empty
line or is an error, and with all interim answers it must fit in `MAX_HEAD_BYTES`. `worker.fetch.head` judges heads.

It decides nothing about URLs, redirects or retries.
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
from typing import Any, NamedTuple

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch import authorities, head
from crawlfleet.worker.fetch.names import Names
from crawlfleet.worker.fetch.port import Headers, Name

MAX_CHUNK_LINE_BYTES = 4096
BUFFER_BYTES = 16 * 1024

_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
_BODYLESS = frozenset({101, 204, 304})


class Limits(NamedTuple):
    """Seconds from the start of an exchange until it must be connected, must be answered, and must be over."""

    connect_s: float
    first_byte_s: float
    total_s: float


class Watch:
    """The time limits of a connection's current exchange, and its phase."""

    __slots__ = ("_limits", "_started_at", "answered", "connected", "heard")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.start()

    def start(self, *, connected: bool = False) -> None:
        """Begin an exchange."""
        self._started_at = time.monotonic()
        self.connected = connected
        self.heard = False
        self.answered = False

    def left_s(self) -> float:
        """Return the time left in the current phase; raise `TimeoutError` if there is none."""
        allowed = self._limits.total_s
        if not self.answered:
            allowed = min(allowed, self._limits.first_byte_s)
            if not self.connected:
                allowed = min(allowed, self._limits.connect_s)
        left = self._started_at + allowed - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left


class WatchedReader(io.RawIOBase):
    """A socket's incoming bytes; the exchange's deadline bounds each `recv`."""

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
    """An answer with a complete head; otherwise `begin` raises `BrokenAnswer` or `OSError`."""

    fp: io.BufferedReader
    # Attributes of http.client that the type stubs lack.
    _method: str | None
    _check_close: Callable[[], bool]
    _close_conn: Callable[[], None]

    def __init__(self, sock: socket.socket, *, watch: Watch, method: str | None = None) -> None:
        super().__init__(sock, method=method)
        self.fp.close()
        self.fp = io.BufferedReader(WatchedReader(sock, watch), BUFFER_BYTES)
        self.watch = watch
        self._head_left = head.MAX_HEAD_BYTES
        self._fields_left = head.MAX_FIELDS

    def begin(self) -> None:
        """Read the head of the final answer, past any interim ones (RFC 9110, 15.2)."""
        status = 100
        while 100 <= status < 200 and status != 101:
            status, reason, minor = head.read_status_line(self._read_line())
            self.watch.answered = True
            fields = head.read_fields(list(self._field_lines()))
        head.refuse_two_locations(status, fields)
        self.code = self.status = status
        self.reason = reason
        self.version = 11 if minor else 10
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in fields.pairs:
            self.headers[name] = value
        self._frame(fields)

    def _frame(self, fields: Headers) -> None:
        """Decide where the body ends (RFC 9112, 6.3)."""
        self.chunked = head.is_chunked(fields)
        self.chunk_left = None
        self.length = None if self.chunked else head.content_length(fields)
        if self.chunked:
            del self.headers["content-length"]  # it must be ignored (RFC 9112, 6.3), and urllib3 would log it
        if self.status in _BODYLESS or self._method == "HEAD":
            self.chunked, self.length = False, 0
        self.will_close = self._check_close() or (self.length is None and not self.chunked) or self.status == 101

    def _get_chunk_left(self) -> int | None:
        """Return the bytes left of the current or next chunk; None after the last one.

        As in the standard library, but every line that it would skip must be present and valid.
        """
        if not self.chunk_left:
            if self.chunk_left is not None:
                self._end_chunk()
            self.chunk_left = self._read_next_chunk_size()
            if self.chunk_left == 0:
                for _ in self._field_lines():
                    pass
                self._close_conn()
                self.chunk_left = None
        return self.chunk_left

    def _end_chunk(self) -> None:
        end = self.fp.readline(2)
        if end not in (b"\r\n", b"\n"):
            if len(end) < 2:
                raise http.client.IncompleteRead(b"")
            raise head.BrokenAnswer(Reason.BAD_FRAMING, f"a chunk does not end where its size says: {end!r}")

    def _read_next_chunk_size(self) -> int:
        """Read a chunk's size (RFC 9112, 7.1); the standard library would accept signs and underscores too."""
        line = self.fp.readline(MAX_CHUNK_LINE_BYTES)
        if not line.endswith(b"\n") and len(line) < MAX_CHUNK_LINE_BYTES:
            raise http.client.IncompleteRead(b"")
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise head.BrokenAnswer(Reason.BAD_FRAMING, f"a chunk's size is no number: {line[:60]!r}")
        return int(match[1], 16)

    def _field_lines(self) -> Iterator[bytes]:
        while (line := self._read_line()) not in (b"\r\n", b"\n"):
            self._fields_left -= 1
            if self._fields_left < 0:
                raise head.BrokenAnswer(
                    Reason.HEAD_TOO_LARGE, f"the head of the answer passes {head.MAX_FIELDS} fields"
                )
            yield line

    def _read_line(self) -> bytes:
        line = self.fp.readline(min(self._head_left, head.MAX_LINE_BYTES) + 1)
        self._head_left -= len(line)
        if self._head_left < 0 or len(line) > head.MAX_LINE_BYTES:
            raise head.BrokenAnswer(Reason.HEAD_TOO_LARGE, f"the head of the answer passes {head.MAX_HEAD_BYTES} bytes")
        if not line.endswith(b"\n"):
            if not self.watch.answered:
                raise ConnectionResetError("the server closed the connection without an answer")
            if self.headers is not None:
                raise http.client.IncompleteRead(b"")
            raise head.BrokenAnswer(Reason.HEAD_TRUNCATED, "the connection ended inside the head of the answer")
        return line


class Unresolved(OSError):
    """The name of a host has no address."""

    def __init__(self, name: Name) -> None:
        super().__init__(name.detail)
        self.reason = name.reason


class WatchedHTTP(HTTPConnection):
    """A connection with a watch, a strict response and bounded dialling."""

    def __init__(self, host: str, port: int, watch: Watch, names: Names, **tls: Any) -> None:
        super().__init__(host.strip("[]"), port=port, **tls)
        self.watch = watch
        self._names = names
        self.remote_address = ""
        self._dial_to = (host.strip("[]"), port)
        self.response_class = partial(StrictResponse, watch=watch)  # type: ignore[assignment]  # called, never subclassed

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, all within the watch; `connect` of urllib3 calls this.

        The watch begins again once the name is resolved, which has a time limit of its own.
        """
        host, port = self._dial_to
        name = self._names.resolve(host)
        problem: OSError = Unresolved(name)
        self.watch.start()
        for address in name.addresses:
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            try:
                sock.settimeout(self.watch.left_s())
                sock.connect((address, port))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # The TLS handshake that may follow runs under this timeout as a whole.
                sock.settimeout(self.watch.left_s())
                self.remote_address = address
                return sock
            except OSError as error:
                sock.close()
                problem = error
        raise problem


class WatchedHTTPS(WatchedHTTP, HTTPSConnection):
    """The same over TLS; the certificate is verified against the trusted authorities."""


@cache
def tls_context(ca_pem: str) -> ssl.SSLContext:
    """Return the process's TLS context, created once: loading the authorities takes milliseconds.

    `ca_pem` holds certificates of authorities that are trusted in addition to the usual ones.
    """
    # As libcurl judges, on every Python: from 3.13 on urllib3 refuses authorities that lack a key usage.
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED, verify_flags=ssl.VERIFY_DEFAULT)
    context.load_verify_locations(authorities.usual_file())
    if ca_pem:
        context.load_verify_locations(cadata=ca_pem)
    return context


def open_connection(origin: str, watch: Watch, names: Names, ca_pem: str = "") -> WatchedHTTP:
    """Create a connection, not yet dialled, to a canonical origin: `scheme://host[:port]`."""
    scheme, _, authority = origin.partition("://")
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, ""
    if scheme == "https":
        return WatchedHTTPS(host, int(port or 443), watch, names, ssl_context=tls_context(ca_pem))
    return WatchedHTTP(host, int(port or 80), watch, names)
