"""A site of large pages that all come at once: none is sent whole before all of them have been asked for."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.site.served import served

BEGINNING_BYTES = 1_000
BLOCK = b"x" * 65_536
PATIENCE_S = 10.0
# Of the film, so that what was sent is not much more than what was read.
SEND_BUFFER_BYTES = 64 * 1024


class LargePages(ThreadingHTTPServer):
    """So many pages of so many bytes, `/0`, `/1`, ..., to which `/` leads. `/film` is a large file of another type.

    `hits` says how often each path was asked for, `film_bytes` how much of the film went out.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, pages: int, size_bytes: int, film_bytes: int = 0) -> None:
        self.pages = pages
        self.size_bytes = size_bytes
        self.film_size_bytes = film_bytes
        self.film_bytes = 0
        self.hits: Counter[str] = Counter()
        self._noting = threading.Lock()
        self._all_asked = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def base(self) -> str:
        """The address of the root, without its slash."""
        return f"http://127.0.0.1:{self.server_port}"

    def note(self, path: str) -> None:
        """Note a request; let the pages come once each has been asked for."""
        with self._noting:
            self.hits[path] += 1
            if len(self.hits.keys() - {"/", "/robots.txt", "/film"}) == self.pages:
                self._all_asked.set()

    def wait_for_all(self) -> None:
        """Wait until each page has been asked for, or for a while."""
        self._all_asked.wait(PATIENCE_S)

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients break bodies off."""


class _Handler(BaseHTTPRequestHandler):
    server: LargePages
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.note(self.path)
        if self.path == "/":
            links = "".join(f'<a href="/{number}">x</a>' for number in range(self.server.pages))
            self._send(f'<title>all</title>{links}<a href="/film">film</a>'.encode())
        elif self.path == "/film":
            self._send_film()
        elif self.path == "/robots.txt":
            self.send_error(404)
        else:
            self._send_large()

    def _begin(self, size: int, kind: str = "text/html") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _send(self, body: bytes) -> None:
        self._begin(len(body))
        self.wfile.write(body)

    def _send_large(self) -> None:
        self._begin(self.server.size_bytes)
        beginning = f"<title>{self.path}</title><!--".encode().ljust(BEGINNING_BYTES, b"x")
        self.wfile.write(beginning)
        self.server.wait_for_all()
        left = self.server.size_bytes - BEGINNING_BYTES
        while left > 0:
            self.wfile.write(BLOCK[:left])
            left -= len(BLOCK)

    def _send_film(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._begin(self.server.film_size_bytes, "video/mp4")
        with suppress(OSError):
            while self.server.film_bytes < self.server.film_size_bytes:
                self.server.film_bytes += self.wfile.write(BLOCK)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serving(pages: int, size_bytes: int, film_bytes: int = 0) -> Iterator[LargePages]:
    """Serve such a site on a free port of 127.0.0.1."""
    with served(LargePages(pages, size_bytes, film_bytes)) as site:
        yield site
