"""A site made from a seed, whose graph is known, and which notes every request: the truth that a crawl is held against.

All pages can be reached from the root. Beside pages there are redirects, links to nowhere, and pages that answer 503
before they answer at all.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import NamedTuple

from tests.site.served import served

ROOT = "/"
REDIRECTS = 5
MISSING = 4
FLAKY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What a site holds: the links of each page, where redirects lead, what is not there, and how often each flaky
    page refuses before it answers."""

    links: dict[str, tuple[str, ...]]
    redirects: dict[str, str]
    missing: frozenset[str]
    refusals: dict[str, int] = field(default_factory=dict)

    @property
    def pages(self) -> frozenset[str]:
        """The paths that give a page in the end."""
        return frozenset(self.links)


class Hit(NamedTuple):
    """One request as the site saw it: when it came (monotonic), what for, who asked, what it got, from which port."""

    at: float
    path: str
    agent: str
    status: int
    client: int


def make_graph(seed: int, size: int | None = None) -> Graph:
    """Grow a random tree of 60 to 100 pages with cross links, some of its edges through redirects."""
    rng = Random(seed)
    paths = [ROOT, *(f"/page/{number}" for number in range(1, size or rng.randint(60, 100)))]
    links: dict[str, list[str]] = {path: [] for path in paths}
    redirected = set(rng.sample(paths[1:], min(REDIRECTS, len(paths) - 1)))
    redirects = {f"/moved{path}": path for path in paths[1:] if path in redirected}
    for place, path in enumerate(paths[1:], start=1):
        parent = paths[rng.randrange(max(0, place - 12), place)]
        links[parent].append(f"/moved{path}" if path in redirected else path)
    for path in paths:
        links[path] += rng.sample([other for other in paths if other not in redirected], min(4, len(paths) // 2))
    missing = frozenset(f"/missing/{number}" for number in range(MISSING))
    for path in missing:
        links[rng.choice(paths)].append(path)
    flaky = rng.sample(paths[1:], min(FLAKY, len(paths) - 1))
    return Graph(
        links={path: tuple(found) for path, found in links.items()},
        redirects=redirects,
        missing=missing,
        refusals=dict.fromkeys(flaky, 1),
    )


class GeneratedSite(ThreadingHTTPServer):
    """Serves a graph; each answer takes `pause_s`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, graph: Graph, pause_s: float = 0.0, host: str = "127.0.0.1") -> None:
        self.graph = graph
        self.pause_s = pause_s
        self.hits: list[Hit] = []
        self.closing = threading.Event()
        self._asked: Counter[str] = Counter()
        self._changed = threading.Condition()
        super().__init__((host, 0), _Handler)

    @property
    def base(self) -> str:
        """The address of the root, without its slash."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"

    def receive(self, path: str, agent: str, client: int) -> int:
        """Note a request; return the status of its answer."""
        with self._changed:
            self._asked[path] += 1
            status = self._status(path)
            self.hits.append(Hit(time.monotonic(), path, agent, status, client))
            self._changed.notify_all()
        return status

    def await_hits(self, count: int, timeout_s: float) -> bool:
        """Wait until so many requests have come; False if they do not come in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.hits) >= count, timeout_s)

    def repeats(self) -> int:
        """Count the requests for what had been answered, or was being answered, for good."""
        answered = Counter(hit.path for hit in self.hits if hit.status != 503)
        return answered.total() - len(answered)

    def starts(self, path: str | None = None) -> list[float]:
        """When requests (for a path) came, in order."""
        return sorted(hit.at for hit in self.hits if path in (None, hit.path))

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients are killed here."""

    def _status(self, path: str) -> int:
        if path in self.graph.redirects:
            return 302
        if path not in self.graph.links:
            return 404
        return 503 if self._asked[path] <= self.graph.refusals.get(path, 0) else 200


class _Handler(BaseHTTPRequestHandler):
    server: GeneratedSite
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        status = self.server.receive(self.path, self.headers.get("User-Agent", ""), self.client_address[1])
        self.server.closing.wait(self.server.pause_s)
        body = _body(self.path, self.server.graph).encode() if status == 200 else b""
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.graph.redirects[self.path])
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


def _body(path: str, graph: Graph) -> str:
    anchors = "".join(f'<a href="{link}">{link}</a>' for link in graph.links[path])
    return f"<!doctype html><title>{path}</title>{anchors}"


@contextmanager
def serving_graph(graph: Graph, pause_s: float = 0.0, host: str = "127.0.0.1") -> Iterator[GeneratedSite]:
    """Serve a graph while the block runs."""
    site = GeneratedSite(graph, pause_s, host)
    with served(site, site.closing.set):
        yield site
