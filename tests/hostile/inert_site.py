"""A site that puts control characters, a formula, quotes and `../` into every place where a site can say something."""

from __future__ import annotations

import json
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from urllib.parse import quote

from tests.site.served import served

#: Sets the title and the colours of a terminal, in seven and in eight bits; turns the direction of writing.
CONTROLS = "\x1b]0;owned\x07\x1b[5;41m\x9b7m\u202eevil\u2066\u2028\x85\x08\x7f"
FORMULA = "=cmd|'/c calc'!A1"
TEXT = f"{FORMULA}{CONTROLS}\"'`;DROP TABLE page;--/../../escaped"
#: As it may stand in the head of an answer, which ends at the end of a line.
_HEAD = TEXT.replace("\x85", "").encode()
_MARKUP = escape(TEXT)
_PATHS = ("reason", "version", "script", "nowhere", "length", "coding", "transfer", "type", "raise", "cut", "item.json")


class InertSite(socketserver.ThreadingTCPServer):
    """Answers each path with a fault of its own."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def base(self) -> str:
        """The address of the root, without its slash."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str) -> bytes:
        """Return the whole answer to a request."""
        return self._answers().get(path.partition("?")[0], self._page())

    def _answers(self) -> dict[str, bytes]:
        data = {"@type": TEXT, "name": TEXT, TEXT: {TEXT: [TEXT]}}
        found = f"<urlset><url><loc>{self.base}/{_MARKUP}</loc></url><{TEXT}>"
        return {
            "/robots.txt": _answered(self._robots(), "text/plain"),
            "/map.xml": _answered(found.encode(), "text/xml"),
            "/item.json": _answered(json.dumps(data).encode(), "application/json"),
            "/reason": b"HTTP/1.1 404 " + _HEAD + b"\r\nContent-Length: 0\r\n\r\n",
            "/version": b"HTTP/" + _HEAD + b" 200 OK\r\n\r\n",
            "/script": _redirect(b"javascript:" + _HEAD),
            "/nowhere": _redirect(b"http://[" + _HEAD + b"]/"),
            "/length": b"HTTP/1.1 200 OK\r\nContent-Length: " + _HEAD + b"\r\n\r\n",
            "/transfer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + _HEAD + b"\r\n\r\n",
            "/coding": _answered(b"x", "text/html", b"Content-Encoding: gzip, gzip, " + _HEAD),
            "/type": _answered(b"x", f"image/png; {TEXT}={TEXT}"),
            "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + _HEAD,
        }

    def _robots(self) -> bytes:
        lines = ("User-agent: *", f"Disallow: /no{TEXT}", f"Crawl-delay: {TEXT}", f"Sitemap: {self.base}/map.xml", TEXT)
        return "\n".join(lines).encode()

    def _page(self) -> bytes:
        links = "".join(f'<a href="/{path}" title="{_MARKUP}">{_MARKUP}</a>' for path in _PATHS)
        strange = f'<a href="/{_MARKUP}">a</a><a href="{_MARKUP}:b">b</a><a href="http://{_MARKUP}/">c</a>'
        data = json.dumps({"@type": TEXT, "name": TEXT, TEXT: TEXT}).replace("<", "\\u003c")
        page = (
            f'<!doctype html><html lang="{_MARKUP}"><meta charset="{_MARKUP}"><title>{_MARKUP}</title>'
            f'<meta name="description" content="{_MARKUP}"><script type="application/ld+json">{data}</script>'
            f'<h1 class="{_MARKUP}">{_MARKUP}</h1><a href="/?{quote(TEXT)}">q</a>{links}{strange}'
        )
        cookie = b"Set-Cookie: " + _HEAD + b"; Path=" + _HEAD
        return _answered(page.encode(), f'text/html; charset="{TEXT}"', cookie)


class _Handler(socketserver.StreamRequestHandler):
    server: InertSite

    def handle(self) -> None:
        path = self.rfile.readline(65_536).split(b" ")[1].decode("latin-1")
        while self.rfile.readline(65_536).strip():
            pass
        self.wfile.write(self.server.answer(path))


def _answered(body: bytes, content_type: str, more: bytes = b"X-Text: " + _HEAD) -> bytes:
    fields = b"Content-Type: " + content_type.replace("\x85", "").encode() + b"\r\n" + more
    head = b"HTTP/1.1 200 " + _HEAD + b"\r\n" + fields + b"\r\nConnection: close\r\n"
    return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def _redirect(location: bytes) -> bytes:
    return b"HTTP/1.1 302 " + _HEAD + b"\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"


@contextmanager
def serving_inert_site() -> Iterator[InertSite]:
    """Serve the site while the block runs."""
    with served(InertSite()) as site:
        yield site
