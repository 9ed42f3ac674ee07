"""A site of traps: every one of its parts goes on for ever. It notes every request, with its host."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.site.served import served

PARTS = ("calendar", "session", "list", "grow", "deep", "subdomain")


class TrapSite(ThreadingHTTPServer):
    """`hits` counts requests by part; `hosts` are the names that it was asked for by."""

    daemon_threads = True

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.hosts: set[str] = set()
        self._numbers = itertools.count()
        super().__init__(("127.0.0.1", 0), _Handler)

    def links(self, host: str, path: str) -> list[str]:
        """Return where a page leads: always on."""
        part, _, rest = path.removeprefix("/").partition("/")
        self.hosts.add(host.partition(":")[0])
        match part.partition("?")[0]:
            case "":
                return ["calendar/2024/1", "session/0", "list?n=0", "grow/", "deep/", "subdomain/"]
            case "calendar":
                year, month = map(int, rest.split("/"))
                near = [(year + (month + step - 1) // 12, (month + step - 1) % 12 + 1) for step in (-1, 1, 2)]
                return [f"/calendar/{year}/{month}" for year, month in near]
            case "session":
                return [f"/session/{number % 50};jsessionid={number:08X}" for number in self._some(3)]
            case "list":
                return [f"/list?n={number}" for number in self._some(3)]
            case "grow":
                return ["more/"]
            case "deep":
                return [f"{number}{'x' * 50}/" for number in self._some(1)]
            case "subdomain":
                domain = ".".join(host.split(".")[-2:])
                return [f"http://s{number}.{domain}/subdomain/" for number in self._some(3)]
        return []

    def note(self, path: str) -> None:
        """Count a request."""
        part = path.removeprefix("/").partition("?")[0].partition("/")[0]
        self.hits[part] += 1

    def handle_error(self, *_: object) -> None:
        """Stay silent."""

    def _some(self, number: int) -> list[int]:
        return [next(self._numbers) for _ in range(number)]


class _Handler(BaseHTTPRequestHandler):
    server: TrapSite
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        is_page = self.path != "/robots.txt"
        self.server.note(self.path)
        links = self.server.links(self.headers["Host"], self.path) if is_page else []
        body = "".join(f'<a href="{link}">on</a>' for link in links).encode()
        self.send_response(200 if is_page else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@contextmanager
def trapping() -> Iterator[TrapSite]:
    """Serve a site of traps while the block runs."""
    with served(TrapSite()) as site:
        yield site
