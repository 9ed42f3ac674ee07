"""Resolves host names: one resolver for each process, over c-ares, apart from any exchange.

One thread owns all look-ups; c-ares answers in a thread of its own. A name is looked up once at a time, however many
wait for it. Only so many look-ups are *young* at once, so that a name server is not flooded; one that takes longer
makes room for others, so that names that are slow, or never answered, hold up no other name. Answers are kept for a
while. Names in /etc/hosts, `localhost`, and the options of resolv.conf are handled by c-ares.
"""

from __future__ import annotations

import math
import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import pycares
import pycares.errno as ares

from crawlfleet.shared import descriptors
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch.port import Name, is_address

TIMEOUT_S = 10.0
# How long answers are kept, and how many at most. Before that c-ares may have kept them, as long as a channel is used.
ADDRESSES_KEPT_S = 50.0
FAILURES_KEPT_S = 5.0
ANSWERS_KEPT = 20_000
# So many look-ups may be younger than this at once, and so many may run in all.
YOUNG_AT_ONCE = 128
YOUNG_S = 0.25
AT_ONCE = 8192
# c-ares keeps what it was told, and cannot be told to give up one name: one takes over after so many, or a while.
LOOKUPS_OF_A_CHANNEL = 10_000
CHANNEL_USED_S = 10.0
# Servers for tests, as addresses with ports; otherwise those of resolv.conf.
SERVERS_VARIABLE = "CRAWLFLEET_TEST_NAME_SERVERS"

# The first time that c-ares may wait for a server that mostly answers quickly; it doubles with each try.
_LEAST_TRY_S = 0.25
_TEXTS = {
    ares.ARES_ENOTFOUND: "there is no such name",
    ares.ARES_ENODATA: "the name has no address",
    ares.ARES_EBADNAME: "it is no valid name",
    ares.ARES_ESERVFAIL: "the name server failed (SERVFAIL)",
    ares.ARES_EREFUSED: "the name server refused the question (REFUSED)",
    ares.ARES_ECONNREFUSED: "no name server can be reached",
}

# What says that the name has no address. Anything else is a failure of name servers, and says nothing about the name.
_NO_ADDRESS = frozenset({ares.ARES_ENOTFOUND, ares.ARES_ENODATA, ares.ARES_EBADNAME})

OnName = Callable[[str, Name], None]


class _Lookup:
    """One name that is looked up, and who waits for it."""

    __slots__ = ("began_at", "channel", "ended", "host", "waiting")

    def __init__(self, host: str) -> None:
        self.host = host
        self.waiting: list[OnName] = []
        self.began_at = 0.0
        self.channel: _Channel | None = None
        self.ended = False


class _Channel:
    """A channel of c-ares, how many look-ups it was given, and how many of them still count."""

    def __init__(self, timeout_s: float, servers: tuple[str, ...]) -> None:
        tries = max(3, 1 + math.ceil(math.log2(max(1.0, timeout_s / _LEAST_TRY_S))))
        self.ares = _opened(tries, servers, pycares.ARES_FLAG_EDNS)
        if len(self.ares.servers) == 1:
            # What it says about its failure is the answer: there is no other to ask.
            self.ares.close()
            self.ares = _opened(tries, servers, pycares.ARES_FLAG_EDNS | pycares.ARES_FLAG_NOCHECKRESP)
        self.opened_at = time.monotonic()
        self.given = 0
        self.open = 0

    @property
    def is_used_up(self) -> bool:
        """Whether another one has to take over."""
        return self.given >= LOOKUPS_OF_A_CHANNEL or self.opened_at + CHANNEL_USED_S <= time.monotonic()


class _Ask(NamedTuple):
    host: str
    on_name: OnName


class _Answer(NamedTuple):
    lookup: _Lookup
    result: Any
    error: int | None


class Names:
    """The resolver. Any thread may call it; `on_name` functions are called in its own thread."""

    def __init__(self, timeout_s: float = TIMEOUT_S, servers: Iterable[str] = ()) -> None:
        """A look-up ends after `timeout_s`. `servers` stand in for those of resolv.conf."""
        self._timeout_s = timeout_s
        self._servers = tuple(servers)
        self._kept: dict[str, Name] = {}
        self._inbox: queue.SimpleQueue[_Ask | _Answer | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._channel: _Channel | None = None
        self._lookups: dict[str, _Lookup] = {}
        self._queued: deque[_Lookup] = deque()
        self._young: deque[_Lookup] = deque()
        self._begun: deque[_Lookup] = deque()

    def known(self, host: str) -> Name | None:
        """Return what is known about a name now; of an address, itself."""
        if is_address(host):
            return Name((host,))
        name = self._kept.get(host)
        return name if name is not None and name.kept_until > time.monotonic() else None

    def ask(self, host: str, on_name: OnName) -> None:
        """Look a name up, and pass the answer on; it comes at the end of the time at the latest."""
        if self._thread is None:
            self._start()
        self._inbox.put(_Ask(host, on_name))

    def resolve(self, host: str) -> Name:
        """Return what is known about a name, or wait until it is."""
        name = self.known(host)
        if name is None:
            answers: queue.SimpleQueue[Name] = queue.SimpleQueue()
            self.ask(host, lambda _, answer: answers.put(answer))
            name = answers.get()
        return name

    def usable(self, host: str) -> Name:
        """Return the addresses that a name had last, even if that is long ago; if there are none, `resolve` it."""
        name = self._kept.get(host)
        return name if name is not None and name.addresses else self.resolve(host)

    def close(self) -> None:
        """End the thread; names that are still being looked up get no answer."""
        with self._starting:
            if self._thread is not None:
                self._inbox.put(None)
                self._thread.join()
                self._thread = None

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="names", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        going = True
        while going:
            with suppress(queue.Empty):
                going = self._take(self._inbox.get(timeout=self._patience_s()))
            self._end_late(time.monotonic())
            self._begin_queued()
        if self._channel is not None:
            self._channel.ares.close()
            self._channel = None

    def _take(self, event: _Ask | _Answer | None) -> bool:
        if event is None:
            return False
        if isinstance(event, _Answer):
            if not event.lookup.ended:
                self._end(event.lookup, self._read(event))
        elif (name := self.known(event.host)) is not None:
            event.on_name(event.host, name)
        else:
            lookup = self._lookups.get(event.host)
            if lookup is None:
                lookup = self._lookups[event.host] = _Lookup(event.host)
                self._queued.append(lookup)
            lookup.waiting.append(event.on_name)
        return True

    def _patience_s(self) -> float | None:
        """How long the thread may sleep: until a look-up is over time, or old enough to make room for another."""
        while self._begun and self._begun[0].ended:
            self._begun.popleft()
        times = [self._begun[0].began_at + self._timeout_s] if self._begun else []
        if self._queued and self._young:
            times.append(self._young[0].began_at + YOUNG_S)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _end_late(self, now: float) -> None:
        while self._begun and (self._begun[0].ended or self._begun[0].began_at + self._timeout_s <= now):
            lookup = self._begun.popleft()
            if not lookup.ended:
                text = f"no name server answered within {self._timeout_s:g} s"
                self._end(lookup, Name((), Reason.DNS_TIMEOUT, text))

    def _begin_queued(self) -> None:
        while self._queued:
            now = time.monotonic()
            while self._young and (self._young[0].ended or self._young[0].began_at + YOUNG_S <= now):
                self._young.popleft()
            if len(self._young) >= YOUNG_AT_ONCE or len(self._lookups) - len(self._queued) >= AT_ONCE:
                return
            self._begin(self._queued.popleft(), now)

    def _begin(self, lookup: _Lookup, now: float) -> None:
        lookup.began_at = now
        try:
            channel = lookup.channel = self._open_channel()
            channel.given += 1
            channel.open += 1
            channel.ares.getaddrinfo(
                lookup.host,
                None,
                type=socket.SOCK_STREAM,
                callback=lambda result, error: self._inbox.put(_Answer(lookup, result, error)),
            )
        except (pycares.AresError, OSError, ValueError) as error:
            code = ares.ARES_EBADNAME if isinstance(error, ValueError) else ares.ARES_ENOTINITIALIZED
            self._end(lookup, _failed(code, f"it cannot be looked up: {error}"))
            return
        self._young.append(lookup)
        self._begun.append(lookup)

    def _open_channel(self) -> _Channel:
        if self._channel is not None and self._channel.is_used_up:
            self._retire(self._channel)
            self._channel = None
        if self._channel is None:
            self._channel = _Channel(self._timeout_s, self._servers)
        return self._channel

    def _retire(self, channel: _Channel) -> None:
        """Close a channel that is no longer used, once none of its look-ups counts."""
        if not channel.open:
            channel.ares.close()

    def _end(self, lookup: _Lookup, name: Name) -> None:
        lookup.ended = True
        del self._lookups[lookup.host]
        if lookup.channel is not None:
            lookup.channel.open -= 1
            if lookup.channel is not self._channel:
                self._retire(lookup.channel)
        if name.reason != Reason.DESCRIPTORS:
            kept_s = FAILURES_KEPT_S if name.reason else ADDRESSES_KEPT_S
            name = name._replace(kept_until=time.monotonic() + kept_s)
            self._kept.pop(lookup.host, None)
            self._kept[lookup.host] = name
            if len(self._kept) > ANSWERS_KEPT:
                del self._kept[next(iter(self._kept))]
        for on_name in lookup.waiting:
            on_name(lookup.host, name)

    def _read(self, answer: _Answer) -> Name:
        if answer.error == ares.ARES_ETIMEOUT:
            return Name((), Reason.DNS_TIMEOUT, "no name server answered in time")
        if answer.error is not None:
            return _failed(answer.error)
        addresses = tuple(dict.fromkeys(node.addr[0].decode() for node in answer.result.nodes))
        return Name(addresses) if addresses else _failed(ares.ARES_ENODATA)


def of_process(timeout_s: float = TIMEOUT_S) -> Names:
    """Return the resolver of this process for this time: a child process has one of its own."""
    servers = os.environ.get(SERVERS_VARIABLE, "")
    key = (os.getpid(), timeout_s, servers)
    with _made_lock:
        if key not in _made:
            _made[key] = Names(timeout_s, servers.split(",") if servers else ())
        return _made[key]


_made: dict[tuple[int, float, str], Names] = {}
_made_lock = threading.Lock()


def _opened(tries: int, servers: tuple[str, ...], flags: int) -> pycares.Channel:
    return pycares.Channel(tries=tries, servers=servers or None, flags=flags)


def _failed(error: int, text: str = "") -> Name:
    """Return a failure; for want of descriptors c-ares says all kinds of things, and the name is not to blame."""
    reason = Reason.DNS_FAILED if error in _NO_ADDRESS else Reason.DNS_UNAVAILABLE
    text = text or _TEXTS.get(error) or str(ares.strerror(error))
    return Name((), Reason.DESCRIPTORS if descriptors.are_exhausted() else reason, text)
