"""How hosts share what a worker has: its fetch slots, and the bytes and pages between fetching and parsing.

One host alone may have nearly all, and none may hold up another:

- Part of the slots, half of them at most, is kept for hosts whose last exchange was quick. Exchanges with other hosts,
  and those that have taken long, have the rest; of that, slow hosts have half while hosts wait that are new here.
- A host begins no fetch while it has more pages, or bytes, waiting for a parse thread than there is room left. So room
  is left for the next host, however many pages of how many hosts cannot be parsed in time.

How large a page will be is not known before it is fetched: it counts as what the host's pages were like. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from crawlfleet.shared.messages import TaskKey
from crawlfleet.worker.bodies import NO_LIMIT

# An exchange that takes less is quick.
QUICK_S = 1.0
# What a page of an unknown host counts as; so much is small. The last quarter of the room is for small pages.
SMALL_BYTES = 64 * 1024
# What any page takes in addition to its body.
PAGE_BYTES = 4096
# A host that lacked room tries again when there is room for this part more of pages than it has. So the thread that
# fetches is not woken for each page that is taken.
ROOM_PART = 4
# How many times the room that is left a host may have of large pages.
LARGE_SHARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many fetches run at once, how many fetched pages may wait, and the bytes of all pages from fetch to parse.

    All `bodies` that are in memory may take so many bytes: see `worker.bodies`.
    """

    slots: int
    pages: int
    bytes_between: int
    bodies: int = NO_LIMIT


class Speed(IntEnum):
    """Whether the last exchange with a host was quick, or slow; or none is remembered."""

    QUICK = 0
    NEW = 1
    SLOW = 2


@dataclass(slots=True, eq=False)
class Load:
    """What one host has here: fetches, and fetched pages that wait; what its exchanges and its pages were like."""

    host: str
    slots: int = 1
    running: int = 0
    pages: int = 0
    bytes_waiting: int = 0
    typical_bytes: int = SMALL_BYTES
    quick_exchanges: int = 0
    speed: Speed = Speed.NEW

    @property
    def bytes(self) -> int:
        """The bytes that its fetches and its waiting pages take."""
        return self.running * self.typical_bytes + self.bytes_waiting


class _Young(NamedTuple):
    """An exchange that has not taken long yet; `is_quick`: its host was, when it began."""

    started_at: float
    load: Load
    is_quick: bool


class Shares:
    """The sums over all hosts, and what may begin. Without limits all may, unless there are many bodies."""

    def __init__(self) -> None:
        self.limits: Limits | None = None
        self.are_bodies_many: Callable[[], bool] = lambda: False
        self._pages = 0
        self._bytes = 0
        # Exchanges with hosts that are not quick, and of them those with slow hosts; both with what has taken long.
        self._others_running = 0
        self._slow_running: set[TaskKey] = set()
        self._quick_slots = 0
        # Exchanges that have not taken long yet, by their start, with hosts that are not slow.
        self._young: dict[TaskKey, _Young] = {}

    def age(self, now: float) -> list[str]:
        """Regard hosts as slow of which an exchange has taken long; return those that were not slow until now."""
        turned: list[str] = []
        while self._young:
            key, young = next(iter(self._young.items()))
            if young.started_at + QUICK_S > now:
                break
            del self._young[key]
            self._others_running += young.is_quick
            self._slow_running.add(key)
            if young.load.speed is not Speed.SLOW:
                turned.append(young.load.host)
            self._regard(young.load, Speed.SLOW, 0)
        return turned

    def held(self, new_ones_wait: bool) -> tuple[Speed, ...]:
        """Return of which speeds no host may begin another exchange."""
        if self.limits is None:
            return ()
        rest = self.limits.slots - min(self.limits.slots // 2, self._quick_slots)
        if self._others_running >= rest:
            return Speed.NEW, Speed.SLOW
        return (Speed.SLOW,) if new_ones_wait and len(self._slow_running) >= max(1, rest // 2) else ()

    def has_room(self, load: Load) -> bool:
        """Say whether a host may begin one more fetch."""
        if self.limits is None or not self._bytes:
            return True
        left = self.limits.pages - self._pages
        if (load.running or load.pages) and load.pages >= left:
            return False
        if load.typical_bytes <= SMALL_BYTES:
            return self._bytes + load.typical_bytes <= self.limits.bytes_between
        room = self.limits.bytes_between * 3 // 4 - self._bytes
        return load.typical_bytes <= room and load.bytes < LARGE_SHARE * room

    def may_try_again(self, load: Load) -> bool:
        """Say whether a host that lacked room may have it again: for several fetches, if many of its pages wait."""
        waiting = load.pages + load.pages // ROOM_PART
        return self.limits is None or not load.pages or waiting < self.limits.pages - self._pages

    @property
    def slow_running(self) -> int:
        """How many exchanges are under way that have taken long, or whose hosts are slow."""
        return len(self._slow_running)

    @property
    def is_relaxed(self) -> bool:
        """Whether at least half of all room is free."""
        return self.limits is None or (
            self._pages <= self.limits.pages // 2 and self._bytes <= self.limits.bytes_between // 2
        )

    def begin(self, key: TaskKey, load: Load, now: float) -> None:
        """Record that a fetch begins."""
        load.running += 1
        self._bytes += load.typical_bytes
        is_quick = load.speed is Speed.QUICK
        self._others_running += not is_quick
        if load.speed is Speed.SLOW:
            self._slow_running.add(key)
        else:
            self._young[key] = _Young(now, load, is_quick)

    def end(self, key: TaskKey, load: Load, took_s: float | None) -> None:
        """Record that a fetch ended; `took_s` is None if that says nothing about the host."""
        load.running -= 1
        self._bytes -= load.typical_bytes
        young = self._young.pop(key, None)
        self._others_running -= young is None or not young.is_quick
        self._slow_running.discard(key)
        if took_s is not None:
            if took_s < QUICK_S:
                self._regard(load, Speed.QUICK, load.quick_exchanges + 1)
            else:
                self._regard(load, Speed.SLOW, 0)

    def learn(self, load: Load, size: int) -> None:
        """Record that a page of a host has more bytes than so many."""
        self._regard_as(load, max(size, load.typical_bytes))

    def land(self, load: Load, size: int) -> None:
        """Record that a fetched page waits for a parse thread."""
        self._regard_as(load, max(size, (3 * load.typical_bytes + size) // 4))
        self._bytes += size + PAGE_BYTES
        load.pages += 1
        load.bytes_waiting += size + PAGE_BYTES
        self._pages += 1

    def take(self, load: Load, size: int) -> None:
        """Record that a parse thread took a page."""
        load.pages -= 1
        load.bytes_waiting -= size + PAGE_BYTES
        self._pages -= 1
        self._bytes -= size + PAGE_BYTES

    def set_slots(self, load: Load, slots: int) -> None:
        """Set how many fetches a host may run at once."""
        if load.speed is Speed.QUICK:
            self._quick_slots += slots - load.slots
        load.slots = slots

    def forget(self, load: Load) -> None:
        """Forget a host with nothing here."""
        self._regard(load, Speed.NEW, 0)

    def _regard_as(self, load: Load, typical_bytes: int) -> None:
        self._bytes += load.running * (typical_bytes - load.typical_bytes)
        load.typical_bytes = typical_bytes

    def _regard(self, load: Load, speed: Speed, quick_exchanges: int) -> None:
        load.quick_exchanges = quick_exchanges
        if speed is not load.speed:
            self._quick_slots += load.slots * ((speed is Speed.QUICK) - (load.speed is Speed.QUICK))
            load.speed = speed
