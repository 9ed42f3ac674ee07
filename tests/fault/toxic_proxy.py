"""A TCP proxy that hinders what passes through it, in the seven ways of Shopify's toxiproxy, and by a partition.

A toxic may be put on and taken off while connections are open; it acts on both directions. Each direction of each
connection is a thread, and so slow as its toxic lets it be.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

CHUNK = 16 * 1024
TICK_S = 0.01


class Pump:
    """One direction of one connection, as a toxic sees it. Its `own` toxic goes before the proxy's."""

    def __init__(self, source: socket.socket, target: socket.socket, proxy: ToxicProxy) -> None:
        self.opened_at = time.monotonic()
        self.sent_bytes = 0
        self.own: Toxic | None = None
        self.ended = threading.Event()
        self._source = source
        self._target = target
        self._proxy = proxy

    @property
    def _toxic(self) -> Toxic:
        return self.own or self._proxy.toxic

    def run(self) -> None:
        """Pass on what comes until one end is closed."""
        with suppress(OSError, ValueError):  # a socket that the other direction closed has no descriptor
            while chunk := self._read():
                self._toxic.pass_on(chunk, self)
        if not self.ended.is_set():
            self._toxic.close(self)
            self.close()

    def send(self, data: bytes) -> None:
        """Pass bytes on."""
        if not self.ended.is_set():
            self._target.sendall(data)
            self.sent_bytes += len(data)

    def wait(self, duration_s: float) -> None:
        """Let time pass, unless the connection ends before."""
        self.ended.wait(duration_s)

    def close(self) -> None:
        """End the connection in both directions."""
        self.ended.set()
        for end in (self._source, self._target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End the connection by RST at both ends."""
        for end in (self._source, self._target):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.ended.set()
        for end in (self._source, self._target):
            end.close()

    def _read(self) -> bytes:
        while not self.ended.is_set():
            self._toxic.look(self)
            if select.select([self._source], [], [], TICK_S)[0]:
                return self._source.recv(CHUNK)
        return b""


class Toxic(Protocol):
    """What happens to a chunk, between chunks, and at the end of a direction."""

    def pass_on(self, chunk: bytes, pump: Pump) -> None: ...
    def look(self, pump: Pump) -> None: ...
    def close(self, pump: Pump) -> None: ...


@dataclass(frozen=True, slots=True)
class Clean:
    """No hindrance; the base of all others."""

    def pass_on(self, chunk: bytes, pump: Pump) -> None:
        """Let a chunk through."""
        pump.send(chunk)

    def look(self, pump: Pump) -> None:
        """Do nothing between two chunks."""

    def close(self, pump: Pump) -> None:
        """Do nothing at the end."""


@dataclass(frozen=True, slots=True)
class Latency(Clean):
    """Every chunk comes late, by a time that varies."""

    latency_s: float
    jitter_s: float = 0.0
    rng: Random = field(default_factory=lambda: Random(1))

    def pass_on(self, chunk: bytes, pump: Pump) -> None:
        pump.wait(max(0.0, self.latency_s + self.rng.uniform(-self.jitter_s, self.jitter_s)))
        pump.send(chunk)


@dataclass(frozen=True, slots=True)
class Bandwidth(Clean):
    """Only so many bytes a second get through."""

    bytes_per_s: int

    def pass_on(self, chunk: bytes, pump: Pump) -> None:
        step = max(1, self.bytes_per_s // 20)
        for start in range(0, len(chunk), step):
            part = chunk[start : start + step]
            pump.wait(len(part) / self.bytes_per_s)
            pump.send(part)


@dataclass(frozen=True, slots=True)
class SlowClose(Clean):
    """The other end hears late that a connection was closed."""

    delay_s: float

    def close(self, pump: Pump) -> None:
        pump.wait(self.delay_s)


@dataclass(frozen=True, slots=True)
class Timeout(Clean):
    """A black hole: nothing gets through; the connection is closed `after_s` after its opening (0: never)."""

    after_s: float = 0.0

    def pass_on(self, chunk: bytes, pump: Pump) -> None:
        """Swallow it."""

    def look(self, pump: Pump) -> None:
        if self.after_s and time.monotonic() >= pump.opened_at + self.after_s:
            pump.close()


@dataclass(frozen=True, slots=True)
class ResetPeer(Clean):
    """Each connection is reset `after_s` after its opening, in the middle of whatever it carries."""

    after_s: float

    def look(self, pump: Pump) -> None:
        if time.monotonic() >= pump.opened_at + self.after_s:
            pump.reset()


@dataclass(frozen=True, slots=True)
class Slicer(Clean):
    """What is sent arrives in small pieces."""

    size: int
    delay_s: float = 0.0

    def pass_on(self, chunk: bytes, pump: Pump) -> None:
        for start in range(0, len(chunk), self.size):
            pump.send(chunk[start : start + self.size])
            if self.delay_s:
                pump.wait(self.delay_s)


@dataclass(frozen=True, slots=True)
class LimitData(Clean):
    """Each connection is closed after so many bytes in one direction, in the middle of a frame if need be."""

    limit_bytes: int

    def pass_on(self, chunk: bytes, pump: Pump) -> None:
        room = self.limit_bytes - pump.sent_bytes
        pump.send(chunk[: max(0, room)])
        if len(chunk) >= room:
            pump.close()


@dataclass(frozen=True, slots=True)
class Partition(Clean):
    """Nothing gets through until it is healed; then all of it does, as TCP sends again what was not acknowledged."""

    healed: threading.Event = field(default_factory=threading.Event)

    def pass_on(self, chunk: bytes, pump: Pump) -> None:
        while not self.healed.is_set() and not pump.ended.is_set():
            self.healed.wait(TICK_S)
        pump.send(chunk)


class ToxicProxy:
    """Listens on a port of its own, and passes on to `target_port` of this machine. `toxic` may be set at any time."""

    def __init__(self, target_port: int, toxic: Toxic | None = None) -> None:
        self.toxic: Toxic = toxic or Clean()
        self.connections = 0
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pumps: list[Pump] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._closed = threading.Event()
        self._threads[0].start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def open_pumps(self) -> list[Pump]:
        """Return the directions that are open now, two for a connection, the oldest first."""
        return [pump for pump in self._pumps if not pump.ended.is_set()]

    def close(self) -> None:
        """End all connections and all threads."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pump in self._pumps:
            pump.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port), 5)
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        self._open(client, server)

    def _open(self, client: socket.socket, server: socket.socket) -> None:
        up, down = Pump(client, server, self), Pump(server, client, self)
        down.ended = up.ended
        self._pumps += (up, down)
        threads = [threading.Thread(target=pump.run, daemon=True) for pump in (up, down)]
        for thread in threads:
            thread.start()
        closer = threading.Thread(target=_close_after, args=(threads, (client, server)), daemon=True)
        closer.start()
        self._threads += (*threads, closer)


def _close_after(threads: list[threading.Thread], ends: tuple[socket.socket, socket.socket]) -> None:
    """Close the sockets when nobody uses them any more."""
    for thread in threads:
        thread.join()
    for end in ends:
        end.close()


@contextmanager
def hindering(target_port: int, toxic: Toxic | None = None) -> Iterator[ToxicProxy]:
    """Run a proxy while the block runs."""
    proxy = ToxicProxy(target_port, toxic)
    try:
        yield proxy
    finally:
        proxy.close()
