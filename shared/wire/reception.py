"""Places at the control port: how many connections it has in each stage, and who makes room for whom.

Theory of operation. A connection is *silent* until its client has said hello, that is, until its first TLS record is
there as a whole. So far it has cost a descriptor and little more. Then it is *ready*, and waits for one of few places
to be *greeted*: by a thread of its own, with handshake and challenge. Whoever has proved the secret is *inside*. Each
stage has a bound of its own: strangers who say nothing keep nobody from being greeted, and nobody out who is inside.

Where a stage is full, the network that has the most connections in it loses one: in it the sender that has the most (an
IPv4 address, or an IPv6 network of 64 bits), and of these the oldest. So a flood harms its own sender or, if it has as
many senders as it wants, its own network. A client of the same sender gets in, too, as long as the others do less than
it does: who says hello is not among the silent, and who is greeted has `GRACE_S` for the rest.

Owns the bookkeeping. It has no clock, and neither reads, writes nor closes a connection.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from crawlfleet.shared import descriptors
from crawlfleet.shared.wire.binding import Source

SILENT_LIMIT = 1024
READY_LIMIT = 512
GREETING_LIMIT = 64
CONNECTION_LIMIT = 4096
# How long a connection may be greeted before its place may be given to another of the same source: enough for three
# round trips to the other side of the earth.
GRACE_S = 1.0
# The silent have this part of all descriptors at most.
DESCRIPTORS_PART = 4

#: Why a stranger was refused. Other reasons concern clients that may be honest.
OF_STRANGERS = frozenset({"evicted", "deadline", "garbage", "handshake", "secret", "gone"})


class Connection(Protocol):
    """What has a place: a connection, and where it comes from."""

    source: Source


C = TypeVar("C", bound=Connection)
K = TypeVar("K")


class Crowd(NamedTuple):
    """How many connections are in a stage of a network, and how many of them of one sender."""

    of_network: int
    of_sender: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Connections accepted so far, refused so far by reason, and open now (authenticated or not).

    `last_stranger` is the sender of the last that was refused without having proved the secret; empty if there is none.
    """

    accepted: int
    refused: Mapping[str, int]
    open: int
    last_stranger: str = ""

    @property
    def of_strangers(self) -> Mapping[str, int]:
        """Those refused that had not proved the secret, by reason."""
        return {reason: number for reason, number in self.refused.items() if reason in OF_STRANGERS}

    @property
    def strangers(self) -> int:
        """How many were refused that had not proved the secret."""
        return sum(self.of_strangers.values())


class Ranking(Generic[K]):
    """How many there are of each key. It knows at once a key of which there are the most: it costs no search.

    Of several such keys it is the one of which there have been so many for longest.
    """

    def __init__(self) -> None:
        self._numbers: dict[K, int] = {}
        self._keys: dict[int, dict[K, None]] = {}
        self._most = 0

    def __getitem__(self, key: K) -> int:
        return self._numbers.get(key, 0)

    def __iter__(self) -> Iterator[K]:
        return iter(self._numbers)

    def first(self) -> K:
        """Return a key of which there are the most; there must be one."""
        return next(iter(self._keys[self._most]))

    def add(self, key: K, change: int) -> None:
        """Count one more of a key, or one less if the change is -1."""
        before = self._numbers.pop(key, 0)
        now = before + change
        if before:
            del self._keys[before][key]
            if not self._keys[before]:
                del self._keys[before]
        if now:
            self._numbers[key] = now
            self._keys.setdefault(now, {})[key] = None
        if now > self._most or self._most not in self._keys:
            self._most = now


class Stage(Generic[C]):
    """The connections in one stage by source, each with the time since which it is here; the oldest come first."""

    def __init__(self) -> None:
        self._by_source: dict[Source, dict[C, float]] = {}
        self._networks: Ranking[str] = Ranking()
        self._senders: dict[str, Ranking[Source]] = {}
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[C]:
        return (connection for group in self._by_source.values() for connection in group)

    def put(self, connection: C, now: float) -> None:
        """Add a connection."""
        self._by_source.setdefault(connection.source, {})[connection] = now
        self._count(connection.source, 1)

    def remove(self, connection: C) -> bool:
        """Remove a connection; say whether it was here."""
        group = self._by_source.get(connection.source, {})
        if connection not in group:
            return False
        del group[connection]
        if not group:
            del self._by_source[connection.source]
        self._count(connection.source, -1)
        return True

    def crowd(self, source: Source) -> Crowd:
        """Return how many connections are here of the network of a source, and of its sender."""
        return Crowd(self._networks[source.network], len(self._by_source.get(source, ())))

    def sources(self) -> Iterator[Source]:
        """Return the sources of which connections are here."""
        return iter(self._by_source)

    def largest(self) -> Source:
        """Return the source with the most connections of the network with the most; there must be one."""
        return self._senders[self._networks.first()].first()

    def fewest_of(self, other: Stage[C]) -> Source:
        """Return the source here of whose network the fewest are in another stage, and in it of whose sender."""
        network = min(self._networks, key=other._networks.__getitem__)
        return min(self._senders[network], key=lambda source: other.crowd(source).of_sender)

    def oldest(self, source: Source) -> tuple[C, float]:
        """Return the oldest connection of a source that has any, and since when it is here."""
        return next(iter(self._by_source[source].items()))

    def _count(self, source: Source, change: int) -> None:
        self._number += change
        self._networks.add(source.network, change)
        self._senders.setdefault(source.network, Ranking()).add(source, change)
        if not self._networks[source.network]:
            del self._senders[source.network]


class Reception(Generic[C]):
    """All connections by stage, and the counts. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silent: Stage[C] = Stage()
        self._ready: Stage[C] = Stage()
        self._greeting: Stage[C] = Stage()
        self._inside: Stage[C] = Stage()
        self._accepted = 0
        self._refused: Counter[str] = Counter()
        self._last_stranger = ""
        most = descriptors.limit()
        self._descriptors = SILENT_LIMIT if most is None else most // DESCRIPTORS_PART

    @property
    def has_silent(self) -> bool:
        """Whether anybody has not said hello yet."""
        return len(self._silent) > 0

    @property
    def has_ready(self) -> bool:
        """Whether anybody waits to be greeted."""
        return len(self._ready) > 0

    def arrive(self, connection: C, now: float) -> C | None:
        """Take a new connection, which is silent; return the one that makes room for it, which may be itself.

        If as many are inside as may be, all new ones are refused.
        """
        with self._lock:
            if len(self._inside) >= CONNECTION_LIMIT:
                self._refused["full"] += 1
                return connection
            self._silent.put(connection, now)
            most = min(SILENT_LIMIT, self._descriptors)
            return self._evicted(self._silent) if len(self._silent) > most else None

    def make_room(self) -> C | None:
        """Take the place of a silent connection away because a descriptor is needed; None if there is none."""
        with self._lock:
            return self._evicted(self._silent) if self._silent else None

    def silent_of(self, connection: C) -> Crowd:
        """Return how many of a connection's network and of its sender are silent."""
        return self._silent.crowd(connection.source)

    def said_hello(self, connection: C, now: float) -> C | None:
        """Note that a silent connection is ready; return the one that makes room for it."""
        with self._lock:
            self._silent.remove(connection)
            self._ready.put(connection, now)
            return self._evicted(self._ready) if len(self._ready) > READY_LIMIT else None

    def next_to_greet(self, now: float) -> tuple[C, C | None] | None:
        """Return whom to greet now, and who loses a place for that, if any; None if all have to wait.

        The network of which the fewest are greeted is next, and in it the sender. A place is taken from a network or a
        sender that has more of them, or else from who has had it for `GRACE_S`.
        """
        with self._lock:
            if not self._ready:
                return None
            source = self._ready.fewest_of(self._greeting)
            victim = None
            if len(self._greeting) >= GREETING_LIMIT:
                largest = self._greeting.largest()
                _, since = self._greeting.oldest(largest)
                if not self._has_more(largest, source) and now < since + GRACE_S:
                    return None
                victim = self._evicted(self._greeting)
            connection, _ = self._ready.oldest(source)
            self._ready.remove(connection)
            self._greeting.put(connection, now)
            return connection, victim

    def let_in(self, connection: C, now: float) -> None:
        """Note that a connection has proved the secret."""
        with self._lock:
            self._greeting.remove(connection)
            self._inside.put(connection, now)
            self._accepted += 1

    def turn_away(self, connection: C, reason: str) -> None:
        """Take a connection out that has not proved the secret, and count it, unless it had lost its place before."""
        with self._lock:
            if any(stage.remove(connection) for stage in (self._silent, self._ready, self._greeting)):
                self._count(connection, reason)

    def leave(self, connection: C) -> None:
        """Note that a connection that was inside has ended."""
        with self._lock:
            self._inside.remove(connection)

    def count_refused(self, reason: str) -> None:
        """Count a refusal of what has no place."""
        with self._lock:
            self._refused[reason] += 1

    def oldest_waiting(self) -> list[C]:
        """Return the oldest connection of each sender among the silent and the ready."""
        with self._lock:
            return [stage.oldest(each)[0] for stage in (self._silent, self._ready) for each in stage.sources()]

    def waiting(self) -> list[C]:
        """Return all that are silent or ready."""
        with self._lock:
            return [*self._silent, *self._ready]

    def counters(self) -> Counters:
        """Return the counts."""
        with self._lock:
            return Counters(
                accepted=self._accepted,
                refused=dict(self._refused),
                open=sum(map(len, (self._silent, self._ready, self._greeting, self._inside))),
                last_stranger=self._last_stranger,
            )

    def _has_more(self, largest: Source, source: Source) -> bool:
        """Say whether a source that has the most places has more than another one would have with one more."""
        theirs, ours = self._greeting.crowd(largest), self._greeting.crowd(source)
        if largest.network == source.network:
            return theirs.of_sender > ours.of_sender + 1
        return theirs.of_network > ours.of_network + 1

    def _evicted(self, stage: Stage[C]) -> C:
        """Take the place of the oldest connection of the sender that has the most, and count it."""
        connection, _ = stage.oldest(stage.largest())
        stage.remove(connection)
        self._count(connection, "evicted")
        return connection

    def _count(self, connection: C, reason: str) -> None:
        self._refused[reason] += 1
        if reason in OF_STRANGERS:
            self._last_stranger = connection.source.sender
