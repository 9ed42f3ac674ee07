"""A web whose every part is one rule of HTTP, HTML or URLs, on hosts of loopback. It notes every request.

Its root links to the first page of each rule, but for rules that have a host of their own.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import NamedTuple

from tests.site.hostile_site import Visitor
from tests.site.rules import addresses, answers, pages, redirects, wishes
from tests.site.rules.rule import HERE, PLAIN, Answer, Rule, anchors, whole
from tests.site.served import served

RULES = [*redirects.RULES, *answers.RULES, *pages.RULES, *wishes.RULES, *addresses.RULES]
_BY_NAME = {rule.name: rule for rule in RULES}
assert len(_BY_NAME) == len(RULES), "two rules have one name"
ALONE = {rule.name: f"127.0.78.{number}" for number, rule in enumerate((r for r in RULES if r.alone), start=1)}
ADDRESSES = ("127.0.0.1", *ALONE.values())

_ROOT = anchors(*(rule.path("") for rule in RULES if not rule.alone))


class Request(NamedTuple):
    """A request: when it came (monotonic), to which address, for what, and its head."""

    at: float
    address: str
    target: str
    head: bytes


def home(rule: Rule) -> str:
    """Return the origin that a rule lives on."""
    return f"http://{ALONE[rule.name]}:@PORT" if rule.alone else HERE


class RuleSite:
    """What is asked, and what is answered."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.stopped = threading.Event()
        self.port = 0
        self._asked: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def answer(self, address: str, head: bytes) -> Answer:
        """Note a request; return its answer."""
        target = head.split(b" ", 2)[1].decode("latin-1")
        with self._lock:
            self.requests.append(Request(time.monotonic(), address, target, head))
            number = self._asked[address, target]
            self._asked[address, target] += 1
        if target == "/robots.txt":
            return whole(b"200 OK", b"Content-Type: text/plain", body=wishes.ROBOTS_TXT)
        name, _, relative = target.removeprefix("/").partition("/")
        rule = _BY_NAME.get(name)
        return rule.answer(relative, number) if rule is not None else _ROOT if target == "/" else PLAIN

    def seeds(self) -> list[str]:
        """Return where a crawl begins, as lines of YAML."""
        lines = ["/", *(f"{home(rule)}{rule.path('')}" for rule in RULES if rule.alone)]
        lines[0] = f"{HERE}/"
        lines += [f"sitemap: {home(rule)}{rule.path(rule.sitemap)}" for rule in RULES if rule.sitemap]
        return [line.replace("@PORT", str(self.port)) for line in lines]


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, address: str, site: RuleSite) -> None:
        self.site = site
        super().__init__((address, site.port), _Handler)

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients go away here."""


class _Handler(BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            block = self.request.recv(65536)
            if not block:
                return
            head += block
        site = self.server.site
        answer = site.answer(str(self.server.server_address[0]), head)
        with suppress(OSError):
            if isinstance(answer, bytes):
                self.request.sendall(answer.replace(b"@PORT", str(site.port).encode()))
            else:
                answer(Visitor(self.request, site.stopped), head)
            # What was not read of the client would turn the end into a reset.
            self.request.shutdown(socket.SHUT_WR)
            self.request.recv(4096)


@contextmanager
def serving_rules() -> Iterator[RuleSite]:
    """Serve the rules while the block runs, at one port of all their addresses."""
    site = RuleSite()
    with ExitStack() as stack:
        for address in ADDRESSES:
            server = stack.enter_context(served(_Server(address, site)))
            site.port = server.server_address[1]
        assert len(str(site.port)) == len("@PORT"), "lengths are told before the port is known"
        stack.callback(site.stopped.set)
        yield site
