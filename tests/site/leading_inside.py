"""A site whose links, redirects, sitemap and robots.txt files lead to inner addresses, in every spelling."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.site.served import served

#: What ends the host of a spelling that goes on behind it.
_TAILS = ("\\@", "#@", "?@")
SITEMAP = "/sitemap.xml"


def inner_url(spelling: str, port: int, path: str) -> str:
    """Write a URL as a hostile page does: a spelling of a host, with a port, and a path."""
    at = min((spelling.index(tail) for tail in _TAILS if tail in spelling), default=len(spelling))
    host = spelling[:at].removesuffix(":8080")
    return f"http://{host}:{port}{spelling[at:]}{path}"


def origin_name(number: int) -> str:
    """Return the name of the site by which its robots.txt leads to the target of this number."""
    return f"robots.leads{number}.test"


class LeadingInside(ThreadingHTTPServer):
    """The site. `/` links to `links`, and to `/moved/0` and so on, which redirect to `moved`; its sitemap has `listed`.

    Its robots.txt names `sitemaps`; at the host `origin_name(0)` it redirects to the first of `robots`, and so on; at
    hosts that are `busy` it is not to be had.
    `asked` are the hosts and paths of requests. Connections are closed after each.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.links: list[str] = []
        self.moved: list[str] = []
        self.listed: list[str] = []
        self.robots: list[str] = []
        self.sitemaps: list[str] = []
        self.busy: set[str] = set()
        self.asked: list[str] = []
        super().__init__((address, port), _Handler)
        self.port = self.server_port
        self.base = self.base_of(address)

    def base_of(self, host: str) -> str:
        """Return the address of the root by one of its host names, without its slash."""
        return f"http://{host}" if self.port == 80 else f"http://{host}:{self.port}"

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients go away here."""


class _Handler(BaseHTTPRequestHandler):
    server: LeadingInside
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        site = self.server
        site.asked.append(f"{self.headers['Host']}{self.path}")
        if self.path == "/robots.txt":
            by_name = {origin_name(number): target for number, target in enumerate(site.robots)}
            host = self.headers["Host"].partition(":")[0]
            target = by_name.get(host)
            if host in site.busy:
                self.send_error(503)
            elif target is None:
                self._tell("text/plain", "".join(f"Sitemap: {url}\n" for url in site.sitemaps))
            else:
                self._move(target)
        elif self.path.startswith("/moved/"):
            self._move(site.moved[int(self.path.removeprefix("/moved/"))])
        elif self.path == SITEMAP:
            entries = "".join(f"<url><loc>{html.escape(url)}</loc></url>" for url in site.listed)
            self._tell("application/xml", f"<urlset>{entries}</urlset>")
        else:
            links = [*site.links, *(f"/moved/{number}" for number in range(len(site.moved)))]
            anchors = "".join(f'<a href="{html.escape(link)}">inside</a>' for link in links)
            self._tell("text/html; charset=utf-8", f"<!doctype html><title>leading inside</title>{anchors}")

    def _move(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target.encode().decode("latin-1"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _tell(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def leading_inside(address: str, port: int = 0) -> Iterator[LeadingInside]:
    """Serve the site while the block runs."""
    with served(LeadingInside(address, port)) as site:
        yield site


def in_line(spellings: Iterable[str]) -> list[str]:
    """Return those spellings that fit in a line, as in a header field."""
    return [each for each in spellings if "\n" not in each and "\r" not in each]
