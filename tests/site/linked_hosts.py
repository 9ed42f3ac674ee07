"""Hosts that link to one another: each is a loopback address of its own, answers as told, and notes what it was asked.

A host answers HEAD as GET, without the body, unless an answer is given for HEAD alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.site.served import served


class Answer(NamedTuple):
    """What a host answers: a status, header fields, a body."""

    status: int = 200
    body: str = ""
    fields: tuple[tuple[str, str], ...] = ()


class LinkedHost(ThreadingHTTPServer):
    """One host. `answers` are by path, or by method and path, and so is what gives an answer when it is asked for
    (`answering`). `asked` is what it was asked for, `headers` the fields of each request."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str) -> None:
        self.answers: dict[str, Answer] = {}
        self.answering: dict[str, Callable[[], Answer]] = {}
        self.asked: list[str] = []
        self.headers: list[str] = []
        super().__init__((address, 0), _Handler)
        self.base = f"http://{address}:{self.server_port}"

    def pages(self) -> set[str]:
        """Return what it was asked for besides robots.txt."""
        return set(self.asked) - {"GET /robots.txt"}

    def has(self, path: str, *links: str) -> None:
        """Put a page with links at a path."""
        anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
        fields = (("Content-Type", "text/html; charset=utf-8"),)
        self.answers[path] = Answer(200, f"<!doctype html><title>{path}</title>{anchors}", fields)

    def moves(self, path: str, to: str) -> None:
        """Redirect a path."""
        self.answers[path] = Answer(302, "", (("Location", to),))

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients go away here."""


class _Handler(BaseHTTPRequestHandler):
    server: LinkedHost
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        asked = f"{self.command} {self.path}"
        self.server.asked.append(asked)
        self.server.headers.append(str(self.headers))
        answers, answering = self.server.answers, self.server.answering.get(self.path)
        given = answering() if answering is not None else answers.get(asked, answers.get(self.path, Answer(404)))
        status, text, fields = given
        body = text.encode()
        self.send_response(status)
        for name, value in (*fields, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def linked_hosts(number: int) -> Iterator[list[LinkedHost]]:
    """Serve hosts at 127.0.8.1 and so on while the block runs."""
    with ExitStack() as stack:
        yield [stack.enter_context(served(LinkedHost(f"127.0.8.{place + 1}"))) for place in range(number)]
