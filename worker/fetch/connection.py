"""Connections of the requests engine: urllib3's, with one deadline for a whole exchange and a strict head.

urllib3 and http.client apply a timeout to each `recv`, accept the end of the stream as the end of the head, and skip
any number of interim answers. Here every `recv` gets only the remaining time of the exchange, a head ends with an empty
line or is an error, and with all interim answers it is limited in size. `worker.fetch.head` judges heads.

It decides nothing about URLs, redirects or retries.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.urls import host_key, port
from crawlfleet.worker.fetch import authorities, head
from crawlfleet.worker.fetch.port import Headers

BUFFER_BYTES = 16 * 1024
# How much of a line at once is read that is passed over.
LINE_BYTES = 4096
# libcurl's limit of one line.
MAX_TRAILER_BYTES = 4096
MOST_CHUNK_BYTES = 2**63 - 1

# Returns the addresses that a connection may lead to; raises `Unresolved` or `KeptOut`.
Addresses = Callable[[], Sequence[str]]

_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,17}(?![0-9a-fA-F])")


class Limits(NamedTuple):
    """Seconds from the start of an exchange until it must be connected, must be answered, and must be over; the size
    of the head of an answer, with interim ones."""

    connect_s: float
    first_byte_s: float
    total_s: float
    head_bytes: int


class Watch:
    """The limits of a connection's current exchange, and its phase."""

    __slots__ = ("_limits", "_started_at", "answered", "connected", "cut", "head_bytes", "heard")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.head_bytes = limits.head_bytes
        self.start()

    def start(self, *, connected: bool = False) -> None:
        """Begin an exchange."""
        self._started_at = time.monotonic()
        self.connected = connected
        self.heard = False
        self.answered = False
        self.cut = False

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
    """A socket's incoming bytes; the exchange's deadline bounds each `recv`.

    A TLS connection that ends without a farewell ends all the same, and the watch notes it.
    """

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        super().__init__()
        self._sock = sock
        if isinstance(sock, ssl.SSLSocket):
            sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # the type stubs lack it
        self._raw = sock.makefile("rb", buffering=0)
        self._watch = watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._watch.left_s())
        try:
            count = self._raw.readinto(buffer)
        except ssl.SSLEOFError:
            self._watch.cut = True
            return 0
        if count:
            self._watch.heard = True
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class StrictResponse(http.client.HTTPResponse):
    """An answer with a complete head; otherwise `begin` raises `BrokenAnswer` or `OSError`."""

    fp: io.BufferedReader
    #: The header fields as they arrived.
    fields: Headers
    # Attributes of http.client that the type stubs lack.
    _method: str | None
    chunk_left: int | None
    _check_close: Callable[[], bool]
    _close_conn: Callable[[], None]

    def __init__(self, sock: socket.socket, *, watch: Watch, method: str | None = None) -> None:
        super().__init__(sock, method=method)
        self.fp.close()
        self.fp = io.BufferedReader(WatchedReader(sock, watch), BUFFER_BYTES)
        self.watch = watch
        self._head_left = watch.head_bytes
        self._fields_left = head.MAX_FIELDS
        self._cut_line = b""

    def begin(self) -> None:
        """Read the head of the final answer, past any interim ones (RFC 9110, 15.2)."""
        status = 100
        while 100 <= status < 200 and status != 101:
            status, reason, minor = head.read_status_line(self._read_line())
            self.watch.answered = True
            fields = self._read_fields(status)
        self.fields = fields
        self.code = self.status = status
        self.reason = reason
        self.version = 11 if minor else 10
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in fields.pairs:
            self.headers[name] = value
        self._frame(fields)

    def _read_fields(self, status: int) -> Headers:
        """Read the fields of a head; of one that ends early, what is broken in it counts first."""
        lines: list[bytes] = []
        try:
            for line in self._field_lines():
                lines.append(line)
        except (head.BrokenAnswer, OSError):
            head.read_fields(head.known_fields(lines, self._cut_line), status)
            raise
        return head.read_fields(lines, status)

    def _frame(self, fields: Headers) -> None:
        """Decide where the body ends (RFC 9112, 6.3)."""
        self.chunked = head.is_chunked(fields)
        self.chunk_left = None
        self.length = None if self.chunked else head.content_length(fields)
        if self.chunked:
            del self.headers["content-length"]  # it must be ignored (RFC 9112, 6.3), and urllib3 would log it
        if self.status in head.BODILESS or self._method == "HEAD":
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
                self._pass_trailers()
                self._close_conn()
                self.chunk_left = None
        return self.chunk_left

    def _end_chunk(self) -> None:
        end = b"\r"
        while end == b"\r":
            end = self.fp.read(1)
        if not end:
            raise http.client.IncompleteRead(b"")
        if end != b"\n":
            raise head.BrokenAnswer(Reason.BAD_FRAMING, f"a chunk does not end where its size says: {end!r}")

    def _read_next_chunk_size(self) -> int:
        """Read a chunk's size (RFC 9112, 7.1), and pass over what follows it, as libcurl does."""
        line = self.fp.readline(LINE_BYTES)
        match = _CHUNK_SIZE.match(line)
        if not line or (match is not None and match.end() == len(line)):
            raise http.client.IncompleteRead(b"")
        size = int(match[0], 16) if match is not None else MOST_CHUNK_BYTES + 1
        if size > MOST_CHUNK_BYTES:
            raise head.BrokenAnswer(Reason.BAD_FRAMING, f"a chunk's size is no number, or too large: {line[:60]!r}")
        while not line.endswith(b"\n"):
            line = self.fp.readline(LINE_BYTES)
            if not line:
                raise http.client.IncompleteRead(b"")
        return size

    def _pass_trailers(self) -> None:
        """Read past trailer fields (RFC 9112, 7.1.2), whatever they are, as far as libcurl can, and not the job."""
        self._head_left += head.MAX_HEAD_BYTES - self.watch.head_bytes
        while (line := self._read_line(MAX_TRAILER_BYTES)) not in (b"\r\n", b"\n"):
            self._count_field()
            if line.count(b"\r") != line.endswith(b"\r\n"):
                raise head.BrokenAnswer(Reason.BAD_FRAMING, f"a trailer field holds a carriage return: {line[:60]!r}")

    def _field_lines(self) -> Iterator[bytes]:
        while not head.is_end(line := self._read_line()):
            self._count_field()
            yield line

    def _count_field(self) -> None:
        self._fields_left -= 1
        if self._fields_left < 0:
            raise head.BrokenAnswer(Reason.HEAD_TOO_LARGE, f"the head of the answer passes {head.MAX_FIELDS} fields")

    def _read_line(self, limit: int = head.MAX_LINE_BYTES) -> bytes:
        line = self.fp.readline(min(self._head_left, limit) + 1)
        self._head_left -= len(line)
        self._cut_line = line
        if self._head_left < 0:
            raise head.too_large(self.watch.head_bytes)
        if len(line) > limit:
            raise head.BrokenAnswer(Reason.HEAD_TOO_LARGE, f"a line of the head passes {limit} bytes")
        if not line.endswith(b"\n"):
            if not self.watch.answered:
                if not head.may_begin(line):
                    head.read_status_line(line)
                raise ConnectionResetError("the server closed the connection without an answer")
            if self.headers is not None:
                raise http.client.IncompleteRead(b"")
            raise head.BrokenAnswer(Reason.HEAD_TRUNCATED, "the connection ended inside the head of the answer")
        return line


class WatchedHTTP(HTTPConnection):
    """A connection with a watch, a strict response and bounded dialling."""

    def __init__(self, host: str, port: int, watch: Watch, addresses: Addresses, **tls: Any) -> None:
        super().__init__(host.strip("[]"), port=port, **tls)
        self.watch = watch
        self._addresses = addresses
        self._dial_to = port
        self.remote_address = ""
        self.response_class = partial(StrictResponse, watch=watch)  # type: ignore[assignment]  # called, never subclassed

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, all within the watch; `connect` of urllib3 calls this.

        The watch begins again once the name is resolved, which has a time limit of its own.
        """
        addresses = self._addresses()
        problem = OSError("the host has no address")
        self.watch.start()
        for address in addresses:
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            try:
                sock.settimeout(self.watch.left_s())
                sock.connect((address, self._dial_to))
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


def open_connection(origin: str, watch: Watch, addresses: Addresses, ca_pem: str = "") -> WatchedHTTP:
    """Create a connection, not yet dialled, to a canonical origin: `scheme://host[:port]`."""
    host, at = host_key(f"{origin}/"), port(f"{origin}/")
    if origin.startswith("https:"):
        return WatchedHTTPS(host, at, watch, addresses, ssl_context=tls_context(ca_pem))
    return WatchedHTTP(host, at, watch, addresses)
