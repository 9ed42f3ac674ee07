"""A server on a raw socket that breaks HTTP in every way the tests ask for: each route is one behaviour.

It parses no more than the request's first line, so that what a client sent can be looked at byte by byte.
"""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

TICK_S = 0.02


class Visitor:
    """One connection as a route sees it."""

    def __init__(self, sock: socket.socket, stopped: threading.Event) -> None:
        self._sock = sock
        self._stopped = stopped

    def say(self, *parts: bytes) -> None:
        """Send bytes."""
        self._sock.sendall(b"".join(parts))

    def drip(self, byte: bytes) -> None:
        """Send the same bytes again and again, slowly, until the client has gone."""
        while not self._stopped.wait(TICK_S):
            self.say(byte)

    def flood(self, block: bytes) -> None:
        """Send the same bytes again and again, as fast as they go, until the client has gone."""
        while not self._stopped.is_set():
            self.say(block)

    def wait_for_end(self) -> None:
        """Say nothing until the client has gone."""
        while self._sock.recv(4096):
            pass

    def reset(self) -> None:
        """End the connection by RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


Route = Callable[[Visitor], None]


def reply(status: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """Build a whole answer with its length."""
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"HTTP/1.1 " + status, *fields, length, b"", body))


def saying(*parts: bytes) -> Route:
    """Make a route that sends bytes, then ends the connection."""
    return lambda visitor: visitor.say(*parts)


def _drip_head(visitor: Visitor) -> None:
    visitor.say(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    visitor.drip(b"x")


def _drip_body(visitor: Visitor) -> None:
    visitor.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    visitor.drip(b"x")


def _drip_redirect(visitor: Visitor) -> None:
    visitor.say(b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 1000\r\n\r\n")
    visitor.drip(b"x")


def _hold_after_length(visitor: Visitor) -> None:
    visitor.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 17\r\n\r\n", _TEXT)
    visitor.wait_for_end()


def _endless_body(visitor: Visitor) -> None:
    visitor.say(b"HTTP/1.1 200 OK\r\n\r\n")
    visitor.flood(b"x" * 65536)


def _endless_redirect(visitor: Visitor) -> None:
    visitor.say(b"HTTP/1.1 302 Found\r\nLocation: /ok\r\n\r\n")
    visitor.flood(b"x" * 65536)


def _flood_head(visitor: Visitor) -> None:
    visitor.say(b"HTTP/1.1 200 OK\r\n")
    visitor.flood(b"X-More: " + b"y" * 4000 + b"\r\n")


def _reset_in_body(visitor: Visitor) -> None:
    visitor.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    visitor.reset()


def _encoded(coding: bytes, body: bytes) -> bytes:
    return reply(b"200 OK", b"Content-Encoding: " + coding, body=body)


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_TEXT = b"hello hello hello"
BOMB_BYTES = 8 * 1024 * 1024

ROUTES: dict[bytes, Route] = {
    b"/ok": saying(reply(b"200 OK", b"Content-Type: text/plain", b"X-Two: a", b"x-two: b", body=_TEXT)),
    b"/gzip": saying(_encoded(b"gzip", gzip.compress(_TEXT))),
    b"/x-gzip": saying(_encoded(b"X-GZIP", gzip.compress(_TEXT))),
    b"/deflate": saying(_encoded(b"deflate", zlib.compress(_TEXT))),
    b"/two-codings": saying(_encoded(b"deflate, gzip", gzip.compress(zlib.compress(_TEXT)))),
    b"/six-codings": saying(_encoded(b", ".join([b"gzip"] * 6), gzip.compress(_TEXT))),
    b"/gzip-lie": saying(_encoded(b"gzip", b"this is no gzip at all")),
    b"/unknown-coding": saying(_encoded(b"brrr", _TEXT)),
    b"/bomb": saying(_encoded(b"gzip", gzip.compress(bytes(BOMB_BYTES)))),
    b"/big": saying(reply(b"200 OK", body=bytes(BOMB_BYTES))),
    b"/endless-body": _endless_body,
    b"/chunked": saying(_CHUNKED, b"5;x=y\r\nhello\r\n6\r\n hello\r\n0\r\nX-Trailer: t\r\n\r\n"),
    b"/chunked-with-length": saying(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    ),
    b"/chunk-size-bad": saying(_CHUNKED, b"zz\r\nhello\r\n0\r\n\r\n"),
    b"/chunk-size-negative": saying(_CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n"),
    b"/chunk-size-endless": saying(_CHUNKED, b"0" * 100_000),
    b"/chunk-cut": saying(_CHUNKED, b"5\r\nhello\r\n"),
    b"/chunk-cut-inside": saying(_CHUNKED, b"ff\r\nhello"),
    b"/length-short": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"),
    b"/gzip-short": saying(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n", gzip.compress(_TEXT)
    ),
    b"/length-short-big": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n", b"x" * (1024 * 1024)),
    b"/length-twice-same": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nfour"),
    b"/length-twice": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfours"),
    b"/length-negative": saying(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nfour"),
    b"/length-word": saying(b"HTTP/1.1 200 OK\r\nContent-Length: thousand\r\n\r\nfour"),
    b"/coding-strange": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    b"/until-close": saying(b"HTTP/1.0 200 OK\r\n\r\n", _TEXT),
    b"/head-cut": saying(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Len"),
    b"/head-cut-at-line": saying(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"),
    b"/head-cut-in-status": saying(b"HTTP/1.1 20"),
    b"/head-flood": _flood_head,
    b"/head-folded": saying(b"HTTP/1.1 200 OK\r\nX-Fold: one\r\n two\r\nContent-Length: 0\r\n\r\n"),
    b"/head-8bit": saying(b"HTTP/1.1 200 OK\r\nX-Odd: \xe9\xff\r\nContent-Length: 0\r\n\r\n"),
    b"/head-nul": saying(reply(b"200 OK", b"X-Odd: a\0b", body=_TEXT)),
    b"/head-return": saying(reply(b"200 OK", b"X-Odd: a\rb", body=_TEXT)),
    b"/head-nonsense": saying(reply(b"200 OK", b"nonsense", body=_TEXT)),
    b"/head-line-long": saying(reply(b"200 OK", b"X-Long: " + b"x" * 110_000, body=_TEXT)),
    b"/head-fields-many": saying(reply(b"200 OK", *[b"X-Many: x"] * 5_100, body=_TEXT)),
    b"/http-one-two": saying(b"HTTP/1.2 200 OK\r\nContent-Length: 4\r\n\r\nfour"),
    b"/http-two": saying(b"HTTP/2 200 OK\r\nContent-Length: 4\r\n\r\nfour"),
    b"/status-glued": saying(b"HTTP/1.1 200OK\r\nContent-Length: 4\r\n\r\nfour"),
    b"/status-099": saying(b"HTTP/1.1 099 OK\r\nContent-Length: 4\r\n\r\nfour"),
    b"/status-2000": saying(b"HTTP/1.1 2000 OK\r\nContent-Length: 4\r\n\r\nfour"),
    b"/status-small": saying(b"http/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour"),
    b"/empty-line-first": saying(b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour"),
    b"/length-plus": saying(b"HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nfour"),
    b"/length-empty": saying(b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nfour"),
    b"/length-huge": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nfour"),
    b"/length-listed": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 17, 17\r\n\r\n", _TEXT),
    b"/coding-twice": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    b"/coding-none": saying(_encoded(b"none", _TEXT)),
    b"/three-codings": saying(_encoded(b"gzip, gzip, gzip", _TEXT)),
    b"/chunk-end-bad": saying(_CHUNKED, b"5\r\nhelloXX0\r\n\r\n"),
    b"/chunk-last-cut": saying(_CHUNKED, b"5\r\nhello\r\n0\r\n"),
    b"/chunk-line-feeds": saying(_CHUNKED, b"11\n", _TEXT, b"\n0\n\n"),
    b"/chunk-zeros": saying(_CHUNKED, b"0000000000000011\r\n", _TEXT, b"\r\n0\r\n\r\n"),
    b"/line-feeds": saying(b"HTTP/1.1 200 OK\nContent-Length: 17\n\n", _TEXT),
    b"/no-phrase-long": saying(b"HTTP/1.1 200\r\nContent-Length: 90000\r\n\r\n", b"x" * 90_000),
    b"/interim-long": saying(
        b"HTTP/1.1 103 Early Hints\r\nHTTP/odd: 404 field\r\n\r\n", reply(b"200 OK", body=b"x" * 90_000)
    ),
    b"/no-phrase": saying(b"HTTP/1.1 200\r\nContent-Length: 17\r\n\r\n", _TEXT),
    b"/drip-head": _drip_head,
    b"/drip-body": _drip_body,
    b"/drip-redirect": _drip_redirect,
    b"/interim": saying(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3, reply(b"200 OK", body=_TEXT)),
    b"/interim-drip": lambda visitor: visitor.drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    b"/interim-flood": lambda visitor: visitor.flood(b"HTTP/1.1 102 Processing\r\n\r\n" * 100),
    b"/no-status-line": saying(b"<html>hello</html>\r\n\r\n"),
    b"/icy": saying(b"ICY 200 OK\r\n\r\n"),
    b"/http-nine": saying(b"HTTP/9.9 200 OK\r\n\r\n"),
    b"/status-words": saying(b"HTTP/1.1 two OK\r\n\r\n"),
    b"/status-999": saying(reply(b"999 Denied")),
    b"/no-content": saying(b"HTTP/1.1 204 No Content\r\nContent-Length: 100\r\n\r\n"),
    b"/not-found": saying(reply(b"404 Not Found", body=b"gone")),
    b"/redirect": saying(reply(b"301 Moved", b"Location: http://[::1", body=b"moved")),
    b"/redirect-two": saying(reply(b"302 Found", b"Location: /ok", b"Location: /gzip")),
    b"/redirect-same-twice": saying(reply(b"302 Found", b"Location: /ok", b"Location: /ok")),
    b"/redirect-utf8": saying(reply(b"302 Found", b"Location: /caf\xc3\xa9")),
    b"/redirect-endless": _endless_redirect,
    b"/busy-cut": saying(b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 1000\r\n\r\nhalf"),
    b"/missing-big": saying(reply(b"404 Not Found", body=bytes(BOMB_BYTES))),
    b"/cookie": saying(reply(b"200 OK", b"Set-Cookie: a=b")),
    b"/silent": Visitor.wait_for_end,
    b"/held-after-length": _hold_after_length,
    b"/end": saying(),
    b"/reset": Visitor.reset,
    b"/reset-in-body": _reset_in_body,
}
_ENDS = frozenset({b"/redirect", b"/not-found", b"/ok", b"/cookie", b"/gzip", b"/chunked", b"/interim"})


class HostileSite:
    """The server, as a context manager on a free port of 127.0.0.1. `requests` is what was answered, whole heads.

    A connection whose route gave a whole answer stays open, for `keep_alive` requests at most: one more is read, and
    answered by the end of the connection.
    """

    def __init__(self, keep_alive: int = 1_000_000) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._keep_alive = keep_alive
        self._stopped = threading.Event()
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> HostileSite:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for sock in (self._listener, *self._socks):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._socks.append(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            for _ in range(self._keep_alive):
                head = _receive_head(sock)
                if not head:
                    return
                self.requests.append(head)
                path = head.split(b" ", 2)[1]
                ROUTES.get(path, ROUTES[b"/ok"])(Visitor(sock, self._stopped))
                if path in ROUTES and path not in _ENDS:
                    # What was not read of the client would turn the end into a reset.
                    sock.shutdown(socket.SHUT_WR)
                    sock.recv(4096)
                    return
            _receive_head(sock)


def _receive_head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        block = sock.recv(65536)
        if not block:
            return b""
        head += block
    return head
