"""Hosts of one loopback address each, all at one port, that note when they were asked for what."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

from tests.site.served import served

PAGES = 16


@dataclass(kw_only=True)
class LoopbackHost:
    """One host: `/` links to its pages. It refuses the `busy_at`-th page request once, for `busy_s`."""

    address: str
    crawl_delay_s: float = 0.0
    busy_at: int = 0
    busy_s: int = 0
    requests: list[tuple[float, str, int]] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, str, Mapping[str, str]]:
        """Note a request; return status, body and further header fields."""
        at, pages_asked = time.monotonic(), sum(asked != "/robots.txt" for _, asked, _ in self.requests)
        status, body, fields = self._page(path, pages_asked + 1)
        self.requests.append((at, path, status))
        return status, body, fields

    def gaps(self) -> list[float]:
        """Return the time between each request and the next."""
        return [after - before for before, after in pairwise(sorted(at for at, _, _ in self.requests))]

    def gap_after(self, status: int) -> float:
        """Return how long the host was left alone after an answer."""
        at = next(at for at, _, content in self.requests if content == status)
        return min(later for later, _, _ in self.requests if later > at) - at

    def _page(self, path: str, number: int) -> tuple[int, str, Mapping[str, str]]:
        if path == "/robots.txt":
            content = f"User-agent: *\nCrawl-delay: {self.crawl_delay_s}\n" if self.crawl_delay_s else ""
            return 200, content, {"Content-Type": "text/plain"}
        if number == self.busy_at:
            return 429, "", {"Retry-After": str(self.busy_s)}
        links = "".join(f'<a href="/{page}">{page}</a>' for page in range(PAGES)) if path == "/" else ""
        return 200, f"<!doctype html><title>{path}</title>{links}", {"Content-Type": "text/html; charset=utf-8"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: LoopbackHost, port: int) -> None:
        self.host = host
        super().__init__((host.address, port), _Handler)

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients are killed here."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        status, body, fields = self.server.host.answer(self.path)
        self.send_response(status)
        for name, value in {**fields, "Content-Length": str(len(body.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Lateness:
    """How late the threads of this process were at worst: by so much it may note a request too late."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Watch no longer."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        at = time.monotonic()
        while not self._over.wait(0.005):
            now = time.monotonic()
            self.worst_s = max(self.worst_s, now - at - 0.005)
            at = now


@contextmanager
def serving_hosts(hosts: list[LoopbackHost], port: int) -> Iterator[Lateness]:
    """Serve hosts while the block runs."""
    with ExitStack() as stack:
        lateness = Lateness()
        stack.callback(lateness.end)
        for host in hosts:
            stack.enter_context(served(_Server(host, port)))
        yield lateness
