"""Hosts of loopback that do to a visitor whatever a table says, on raw sockets, and note what they were asked for.

Every address has a listener of its own, all at one port; every connection is served once, by a thread of its own.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

from tests.site.hostile_site import Route, Visitor

HEAD_PATIENCE_S = 10.0
HELD_S = 30.0


class Stay(NamedTuple):
    """How long a visitor stayed, from its request on."""

    address: str
    target: str
    seconds: float


class HostileHosts:
    """The hosts, as a context manager. `route_of` names what is done for a host and a target.

    `asked` counts requests by host and target, `methods` are their methods in order, `stays` are those that are over.
    Targets that begin with `passing` come and go all the time: they have no part in whether it is quiet.
    """

    def __init__(self, addresses: Iterable[str], route_of: Callable[[str, str], Route], passing: str = " ") -> None:
        self._route_of = route_of
        self._passing = passing
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._socks: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listeners: list[socket.socket] = []
        self.asked: Counter[tuple[str, str]] = Counter()
        self.methods: dict[tuple[str, str], list[str]] = {}
        self.stays: list[Stay] = []
        self._open: Counter[tuple[str, str]] = Counter()
        self._last_at = time.monotonic()
        self.port = 0
        for address in addresses:
            self._listeners.append(socket.create_server((address, self.port), backlog=256))
            self.port = self._listeners[-1].getsockname()[1]

    def __enter__(self) -> HostileHosts:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        with self._lock:
            socks = list(self._socks)
        for sock in socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(HELD_S)
        for listener in self._listeners:
            listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            for listener in self._listeners:
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ)
            while not self._stopped.is_set():
                for key, _ in selector.select(0.05):
                    with suppress(OSError):
                        sock, _ = key.fileobj.accept()  # type: ignore[union-attr]  # a listener
                        sock.settimeout(HEAD_PATIENCE_S)
                        self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with self._lock:
            self._socks.add(sock)
        with sock, suppress(OSError):
            self._answer(sock)
        with self._lock:
            self._socks.discard(sock)

    def _answer(self, sock: socket.socket) -> None:
        address = sock.getsockname()[0]
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            block = sock.recv(65536)
            if not block:
                return
            head += block
        method, target = head.decode("latin-1").split(" ", 2)[:2]
        counts = not target.startswith(self._passing)
        started = time.monotonic()
        with self._lock:
            self.asked[address, target] += 1
            self.methods.setdefault((address, target), []).append(method)
            self._open[address, target] += counts
        try:
            with suppress(OSError):
                self._route_of(address, target)(Visitor(sock, self._stopped))
                # What was not read of the client would turn the end into a reset.
                sock.shutdown(socket.SHUT_WR)
                sock.recv(4096)
        finally:
            ended = time.monotonic()
            with self._lock:
                self._open[address, target] -= counts
                self._last_at = ended if counts else self._last_at
                self.stays.append(Stay(address, target, ended - started))

    def open_now(self) -> set[tuple[str, str]]:
        """Return what is being answered, by host and target."""
        with self._lock:
            return {asked for asked, number in self._open.items() if number}

    def is_quiet(self, seconds: float) -> bool:
        """Say whether no request is open, and none has ended for some time."""
        return not self.open_now() and time.monotonic() - self._last_at >= seconds


class Meeting:
    """Visitors wait for one another: `most` is how many were there at once. Whoever waits too long goes on alone."""

    def __init__(self, size: int, patience_s: float) -> None:
        self._size = size
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._there = 0
        self.most = 0

    def join(self) -> None:
        """Wait until `size` visitors are there, or the patience is at its end."""
        with self._changed:
            self._there += 1
            self.most = max(self.most, self._there)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._size, self._patience_s)
            self._there -= 1
