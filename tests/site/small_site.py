"""A site of a few pages, of HTML or JSON, from a dict, that notes when it was asked for what."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.site.served import served


class Moved(NamedTuple):
    """What stands for a page that is elsewhere."""

    to: str


Page = str | bytes | Moved


class SmallSite(ThreadingHTTPServer):
    """Pages by path. `requests` are (path, monotonic time) in order of arrival; robots.txt is a page like any other."""

    daemon_threads = True

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self.pages: dict[str, Page] = dict(pages)
        self.requests: list[tuple[str, float]] = []
        self._held: set[str] = set()
        self._asked = threading.Event()
        self._released = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def base(self) -> str:
        """The address of the root, without its slash."""
        return f"http://127.0.0.1:{self.server_port}"

    def hold(self, path: str) -> None:
        """Let the next request for a path wait for `release`."""
        self._held.add(path)

    def await_held(self) -> None:
        """Wait until somebody waits for a held page."""
        assert self._asked.wait(30), "nobody asked for the held page"

    def release(self) -> None:
        """Answer who waits for a held page."""
        self._released.set()

    def note(self, path: str) -> None:
        """Note a request; wait if its page is held."""
        self.requests.append((path, time.monotonic()))
        if path in self._held:
            self._held.remove(path)
            self._asked.set()
            self._released.wait(60)

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients are killed here."""

    def starts(self) -> list[float]:
        """When each request came, in order."""
        return sorted(at for _, at in self.requests)

    def hits(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(asked == path for asked, _ in self.requests)


class _Handler(BaseHTTPRequestHandler):
    server: SmallSite
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.note(self.path)
        page = self.server.pages.get(self.path)
        if isinstance(page, Moved):
            self.send_response(302)
            self.send_header("Location", page.to)
            page = ""
        else:
            self.send_response(200 if page is not None else 404)
        given = page if page is not None else "nothing here"
        body = given if isinstance(given, bytes) else given.encode()
        is_json = body.startswith((b"{", b"["))
        self.send_header("Content-Type", "application/json" if is_json else "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


def page(title: str, *links: str) -> str:
    """Make a page with a title and links."""
    anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
    return f"<!doctype html><title>{title}</title>{anchors}"


@contextmanager
def serving(pages: Mapping[str, Page], kind: type[SmallSite] = SmallSite) -> Iterator[SmallSite]:
    """Serve a site while the block runs."""
    site = kind(pages)
    with served(site, site.release):
        yield site
