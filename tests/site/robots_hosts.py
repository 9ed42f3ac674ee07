"""Hosts of loopback that differ by their robots.txt alone: each is an address of its own, and one rule of RFC 9309.

Every host has three pages: `/`, which links to `/open` and `/private/x`.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.site.served import served

RULES = b"User-agent: *\nDisallow: /private/\n"
HALF_MIB = 512 * 1024
HOME = b"<!doctype html><title>home</title><a href=/open>open</a><a href=/private/x>private</a>"

ALL = frozenset({"/", "/open", "/private/x"})
RULED = ALL - {"/private/x"}
NOTHING: frozenset[str] = frozenset()


class RobotsHost(ThreadingHTTPServer):
    """One host. `asked` are the paths that it was asked for, `pages` those that are none of robots.txt."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, answer: Answer, port: int = 0) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.stopped = threading.Event()
        super().__init__((address, port), _Handler)
        self.base = f"http://{address}:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients go away here."""


class _Handler(BaseHTTPRequestHandler):
    server: RobotsHost

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path in ALL:
            self.tell(200, HOME if self.path == "/" else b"<title>page</title>", "Content-Type: text/html")
        else:
            with suppress(OSError):
                self.server.answer(self)

    def tell(self, status: int, body: bytes = b"", *fields: str) -> None:
        """Answer whole."""
        self.send_response(status)
        for field in (*fields, f"Content-Length: {len(body)}"):
            self.send_header(*field.split(": ", 1))
        self.end_headers()
        self.wfile.write(body)

    @property
    def looks(self) -> int:
        """How often robots.txt was asked for so far."""
        return self.server.asked.count("/robots.txt")

    def log_message(self, *_: object) -> None:
        """Stay silent."""


Answer = Callable[[_Handler], None]


def status(number: int, *fields: str) -> Answer:
    """Answer with a status and rules that must not count."""
    return lambda visitor: visitor.tell(number, RULES if number >= 400 else b"", *fields)


def answered(number: int, *fields: str) -> Answer:
    """Answer with a status and rules."""
    return lambda visitor: visitor.tell(number, RULES, *fields)


def text(body: bytes, *fields: str) -> Answer:
    """Answer with a file."""
    return lambda visitor: visitor.tell(200, body, *fields)


def hops(number: int) -> Answer:
    """Redirect so many times, then answer with rules."""

    def answer(visitor: _Handler) -> None:
        place = int(visitor.path.rpartition("-")[2]) if "-" in visitor.path else 0
        if place < number:
            visitor.tell(302, b"", f"Location: /hop-{place + 1}")
        else:
            visitor.tell(200, RULES)

    return answer


def late(looks: int, failure: Answer, then: Answer) -> Answer:
    """Fail for the first looks."""
    return lambda visitor: (failure if visitor.looks <= looks else then)(visitor)


def _loop(visitor: _Handler) -> None:
    visitor.tell(301, b"", "Location: /hop-1" if visitor.path == "/robots.txt" else "Location: /robots.txt")


def _silent(visitor: _Handler) -> None:
    visitor.server.stopped.wait(30)


def _cut(visitor: _Handler) -> None:
    visitor.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + RULES)


def _endless(visitor: _Handler) -> None:
    visitor.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + RULES)
    while not visitor.server.stopped.is_set():
        visitor.wfile.write(b"# on and on\n" * 5_000)


def _drip(visitor: _Handler) -> None:
    visitor.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + RULES)
    while not visitor.server.stopped.wait(0.05):
        visitor.wfile.write(b"#")


_NUL = b"\0".join(RULES[place : place + 1] for place in range(len(RULES)))
_LONG = b"User-agent: *\n" + b"# filler\n" * 70_000
_BOMB = gzip.compress(RULES + b"#" * (64 * 1024 * 1024), 1)

# What a host answers, and which pages a crawl fetches there.
HOSTS: dict[str, tuple[Answer, frozenset[str]]] = {
    "rules": (text(RULES), RULED),
    "closed": (text(b"User-agent: *\nDisallow: /\n"), NOTHING),
    "empty": (text(b""), ALL),
    "400": (status(400), ALL),
    "401": (status(401), ALL),
    "403": (status(403), ALL),
    "404": (status(404), ALL),
    "410": (status(410), ALL),
    "429": (status(429), NOTHING),
    "500": (status(500), NOTHING),
    "501": (status(501), NOTHING),
    "503": (status(503), NOTHING),
    "503 at first": (late(2, status(503), text(RULES)), RULED),
    "silent": (_silent, NOTHING),
    "silent at first": (late(1, _silent, text(RULES)), RULED),
    "cut": (_cut, NOTHING),
    "drip": (_drip, NOTHING),
    "five hops": (hops(5), RULED),
    "six hops": (hops(6), ALL),
    "loop": (_loop, ALL),
    "redirect nowhere": (status(302), ALL),
    "redirect to no address": (status(301, "Location: http://[::1"), ALL),
    "redirect to another scheme": (status(302, "Location: ftp://127.0.0.1/robots.txt"), ALL),
    "300": (status(300), ALL),
    "304": (status(304), ALL),
    "305": (status(305), ALL),
    "399": (status(399), ALL),
    "499": (status(499), ALL),
    "599": (status(599), NOTHING),
    "600": (status(600), NOTHING),
    "999": (status(999), NOTHING),
    "203": (answered(203), RULED),
    "299": (answered(299), RULED),
    "206 with all of it": (answered(206, f"Content-Range: bytes 0-{len(RULES) - 1}/{len(RULES)}"), RULED),
    "206 with a part": (answered(206, f"Content-Range: bytes 0-{len(RULES) - 1}/{len(RULES) + 1}"), NOTHING),
    "206 with who knows what": (answered(206), NOTHING),
    "html": (text(b"<!doctype html><title>404</title><p>nothing here", "Content-Type: text/html"), ALL),
    "html with rules": (text(b"<html>\n" + RULES + b"</html>", "Content-Type: text/html"), RULED),
    "utf-16": (text(RULES.decode().encode("utf-16")), RULED),
    "bom": (text(b"\xef\xbb\xbf" + RULES), RULED),
    "nul": (text(_NUL), RULED),
    "cr": (text(RULES.replace(b"\n", b"\r")), RULED),
    "binary": (text(bytes(range(256)) * 100), ALL),
    "1 MB": (text(RULES + b"# filler\n" * 120_000), RULED),
    "rule behind the limit": (text(_LONG + b"Disallow: /\n"), ALL),
    "rule cut by the limit": (text(b"User-agent: *\n#".ljust(HALF_MIB - 12, b"#") + b"\nDisallow: /private/"), ALL),
    "endless": (_endless, RULED),
    "gzip": (text(gzip.compress(RULES), "Content-Encoding: gzip"), RULED),
    "gzip and more": (text(gzip.compress(RULES) + b"\n", "Content-Encoding: gzip"), RULED),
    "gzip members": (text(gzip.compress(RULES[:20]) + gzip.compress(RULES[20:]), "Content-Encoding: gzip"), RULED),
    "no coding": (text(RULES, "Content-Encoding: UTF-8"), RULED),
    "gzip bomb": (text(_BOMB, "Content-Encoding: gzip"), RULED),
    "gzip lie": (text(RULES, "Content-Encoding: gzip"), NOTHING),
}


@contextmanager
def robots_hosts(*names: str, first: int = 1) -> Iterator[dict[str, RobotsHost]]:
    """Serve hosts by name while the block runs, from 127.0.9.`first` on."""
    hosts = {name: RobotsHost(f"127.0.9.{first + place}", HOSTS[name][0]) for place, name in enumerate(names)}
    with serving(*hosts.values()):
        yield hosts


@contextmanager
def serving(*hosts: RobotsHost) -> Iterator[None]:
    """Serve hosts while the block runs."""
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(served(host, host.stopped.set))
        yield


def until(holds: Callable[[], bool], patience_s: float = 30.0) -> None:
    """Wait until something holds."""
    give_up_at = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < give_up_at, "it never came to that"
        time.sleep(0.05)
