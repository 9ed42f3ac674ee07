"""A small site at an address of its own, which notes the header fields that it is sent, and may ask for some."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.site.served import served


class HeaderSite(ThreadingHTTPServer):
    """Pages by path; one that begins with `->` is a redirect. `seen` are pairs of path and header fields.

    Without the `wanted` field, of this value, every answer is 401. With a certificate it speaks https.
    """

    daemon_threads = True

    def __init__(self, address: str, wanted: tuple[str, str] | None = None, certificate: Path | None = None) -> None:
        self.pages: dict[str, str] = {}
        self.wanted = wanted
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.rows: list[bytes] = []
        super().__init__((address, 0), _Handler)
        self._scheme = "http"
        if certificate is not None:
            self._scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The thread that accepts does not wait for the handshake of one client.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients are killed here."""

    @property
    def base(self) -> str:
        """The address of the root, without its slash."""
        return f"{self._scheme}://{self.server_address[0]!s}:{self.server_port}"

    def fields(self, path: str) -> list[dict[str, str]]:
        """Return the header fields of the requests for a path."""
        return [fields for asked, fields in self.seen if asked == path]


class _Handler(BaseHTTPRequestHandler):
    server: HeaderSite
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers.items())))
        page = self.server.pages.get(self.path)
        if self.server.wanted is not None and self.headers.get(self.server.wanted[0]) != self.server.wanted[1]:
            self._answer(401, "who are you?")
        elif page is not None and page.startswith("->"):
            self._answer(302, "", page.removeprefix("->"))
        else:
            self._answer(404 if page is None else 200, page or "nothing here")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.server.seen.append((self.path, dict(self.headers.items())))
        self.server.rows.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, "taken")

    def _answer(self, status: int, text: str, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/html")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@contextmanager
def header_site(
    pages: Mapping[str, str],
    address: str = "127.0.0.1",
    wanted: tuple[str, str] | None = None,
    certificate: Path | None = None,
) -> Iterator[HeaderSite]:
    """Serve a site while the block runs."""
    site = HeaderSite(address, wanted, certificate)
    site.pages.update(pages)
    with served(site):
        yield site
