"""The bundled demo site: the bookshop of `crawlfleet.demo.shop` over HTTP/1.1.

Owns the server, the one slow page, the page that fails before it answers, and the command line
`python -m crawlfleet.demo`. Must not decide what a page says.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

from crawlfleet.demo import shop as demo_shop
from crawlfleet.demo.shop import Truth

DEFAULT_PORT = 8765
SHOWN_ROWS = 3
SHOWN_CHARS = 150
_CONTENT_TYPES = {demo_shop.ROBOTS_PATH: "text/plain", demo_shop.STYLE_PATH: "text/css"}


class DemoSite(ThreadingHTTPServer):
    """The shop as a listening server. `hits` counts the requests for each known path, whatever the answers."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, slow_s: float = 1.0) -> None:
        self.pages = {path: text.encode() for path, text in demo_shop.pages().items()}
        self.pages[demo_shop.ROBOTS_PATH] = demo_shop.ROBOTS.encode()
        self.pages[demo_shop.STYLE_PATH] = demo_shop.STYLE.encode()
        self.slow_s = slow_s
        self.hits: Counter[str] = Counter()
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    @property
    def base(self) -> str:
        """The URL of the home page, as the server itself writes it."""
        return f"http://{self.server_address[0]!s}:{self.server_port}/"

    def expected(self) -> Truth:
        """Return how every URL of this server must end in a crawl."""
        return demo_shop.expected(self.base)

    def count(self, path: str) -> int:
        """Count a request; return how many there were for this path, including this one."""
        if path not in self.pages and path not in demo_shop.REDIRECTS and path not in demo_shop.MISSING:
            return 0
        with self._lock:
            self.hits[path] += 1
            return self.hits[path]


class _Handler(BaseHTTPRequestHandler):
    server: DemoSite
    protocol_version = "HTTP/1.1"
    server_version = "demo-site"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body are sent in one packet
    timeout = 60

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        count = self.server.count(path)
        if path == demo_shop.SLOW_PATH:
            time.sleep(self.server.slow_s)
        if path == demo_shop.SHAKY_PATH and count <= demo_shop.SHAKY_FAILURES:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "The lights went out. Please come again.")
        elif path in demo_shop.REDIRECTS:
            status, target = demo_shop.REDIRECTS[path]
            self._answer(status, b"", location=target)
        elif path in self.server.pages:
            self._answer(HTTPStatus.OK, self.server.pages[path])
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "We have no such page.")

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        """Log nothing: the crawl that runs at the same time uses the terminal."""

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        self._answer(status, demo_shop.error_page(status, words).encode())

    def _answer(self, status: int, body: bytes, location: str = "") -> None:
        kind = _CONTENT_TYPES.get(self.path, "text/html")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def serve(host: str = "127.0.0.1", port: int = 0, slow_s: float = 1.0) -> DemoSite:
    """Serve the shop in a thread, until `shutdown()` and `server_close()`; raise `OSError` if the address is in use."""
    site = DemoSite(host, port, slow_s)
    threading.Thread(target=site.serve_forever, args=(0.05,), name="demo-site", daemon=True).start()
    return site


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes, or while a command runs; then return the command's exit code."""
    args = _parser().parse_args(argv)
    try:
        site = serve(args.host, args.port)
    except OSError as error:
        # With a command the port is fixed: the command, such as the crawl of a job, uses it.
        advice = "choose another --port"
        if args.command:
            advice = f"stop what listens there, or choose another port (make run DEMO_PORT={args.port + 1})"
        print(f"demo site: cannot listen on {args.host}:{args.port}: {error.strerror}; {advice}", file=sys.stderr)
        return 2
    try:
        if not args.command:
            return _until_signal(site)
        code = _run_beside(args.command)
        if args.show is not None and not code:
            _show(args.show)
        return code
    finally:
        site.shutdown()
        site.server_close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crawlfleet.demo", description="Serve the demo bookshop.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port to listen on (default: %(default)s)")
    parser.add_argument("--show", metavar="FILE", type=Path, help="print some lines of this file after the command")
    parser.add_argument("command", nargs="*", help="after --: a command to run while the site is served")
    return parser


def _show(path: Path) -> None:
    """Print how many rows a file has, and some of them."""
    with path.open(encoding="utf-8") as file:
        some = [line.strip() for line in islice(file, SHOWN_ROWS)]
        number = len(some) + sum(1 for _ in file)
    print(f"{path} has {number:,} rows, such as:")
    for row in some:
        print(f"  {row if len(row) <= SHOWN_CHARS else f'{row[:SHOWN_CHARS]}...'}")
    sys.stdout.flush()


def _until_signal(site: DemoSite) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(f"demo site: {site.base}", flush=True)
    stop.wait()
    return 0


def _run_beside(command: Sequence[str]) -> int:
    """Run a command and return its exit code (128 + n after signal n); SIGTERM is forwarded to it.

    A Ctrl-C reaches the command from the terminal; here it must only not end the site first. It is caught,
    not ignored, since the command would inherit that.
    """
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        print(f"demo site: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        return 2

    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
    code = child.wait()
    return code if code >= 0 else 128 - code
