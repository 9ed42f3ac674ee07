"""The object `page.fleet` of a hook: locks and numbers that the whole fleet shares, by name.

    with page.fleet.lock("login"):
        ...
    page.fleet.value("seen").add(1)

Waiting is done here: no call blocks at the coordinator, so a lock is requested repeatedly, with growing pauses. The
owner of a lock is a thread of this session; the locks of a lost session are freed. None of this is part of the
exactly-once promise: a page that is fetched twice may count twice.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import structlog

from crawlfleet.shared.errors import Unreachable

FIRST_PAUSE_S = 0.005
LAST_PAUSE_S = 0.25
AWAY_PAUSE_S = 0.5
AWAY_PATIENCE_S = 60.0

Number = int | float
T = TypeVar("T")

_logger = structlog.get_logger(__name__)


class LockPort(Protocol):
    """A lock at the coordinator for one owner; `acquire` returns its fencing number, 0 if the lock is taken."""

    def acquire(self) -> int: ...
    def release(self) -> None: ...


class ValuePort(Protocol):
    """A number at the coordinator."""

    def get(self) -> Number: ...
    def set(self, number: Number) -> None: ...
    def add(self, number: Number) -> Number: ...


class PrimitivesPort(Protocol):
    """The source of primitives: a `FleetManager`, which gives each thread its own connection."""

    def Lock(self, name: str, owner: str) -> LockPort: ...
    def Value(self, name: str) -> ValuePort: ...


class FleetPrimitives:
    """The fleet as a hook sees it; any parse thread may use it."""

    def __init__(self, manager: PrimitivesPort, session: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._manager = manager
        self._session = session
        self._sleep = sleep
        self._held: set[tuple[str, str]] = set()

    @contextmanager
    def lock(self, name: str) -> Iterator[int]:
        """Hold the fleet's lock of that name; wait until it is free. The value is its fencing number.

        Raises `RuntimeError` if this thread holds it already, `Unreachable` if the coordinator is away for a minute.
        """
        owner = f"{self._session}/{os.getpid()}/{threading.get_ident()}"
        if (name, owner) in self._held:
            raise RuntimeError(f"this thread holds the lock {name!r} already: it would wait for itself")
        lock = self.patiently(lambda: self._manager.Lock(name, owner))
        fence = self._acquire(lock)
        self._held.add((name, owner))
        try:
            yield fence
        finally:
            self._held.discard((name, owner))
            self._release(lock, name)

    def value(self, name: str) -> FleetValue:
        """Return the fleet's number of that name; it starts at 0."""
        return FleetValue(self.patiently(lambda: self._manager.Value(name)), self)

    def patiently(self, call: Callable[[], T]) -> T:
        """Make a call that may be repeated; repeat it while the coordinator is away."""
        for _ in range(round(AWAY_PATIENCE_S / AWAY_PAUSE_S)):
            try:
                return call()
            except Unreachable:
                self._sleep(AWAY_PAUSE_S)
        return call()

    def _acquire(self, lock: LockPort) -> int:
        pause_s = FIRST_PAUSE_S
        while not (fence := self.patiently(lock.acquire)):
            self._sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)
        return fence

    def _release(self, lock: LockPort, name: str) -> None:
        """Free a lock. If it was lost already, only log that: the work under it is done."""
        try:
            self.patiently(lock.release)
        except ValueError as error:
            _logger.warning("a lock was lost while it was held", lock=name, reason=str(error))


class FleetValue:
    """A number that the whole fleet shares."""

    def __init__(self, value: ValuePort, fleet: FleetPrimitives) -> None:
        self._value = value
        self._fleet = fleet

    def get(self) -> Number:
        """Return the number."""
        return self._fleet.patiently(self._value.get)

    def set(self, number: Number) -> None:
        """Set the number."""
        self._fleet.patiently(lambda: self._value.set(number))

    def add(self, number: Number) -> Number:
        """Add to the number and return the sum. Never retried: after `Unreachable` the sum is unknown."""
        return self._value.add(number)
