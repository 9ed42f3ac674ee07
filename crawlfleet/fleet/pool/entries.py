"""One page that is asked for, the pool that it belongs to, and who gets the answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from crawlfleet.fleet.pool.results import Outcome
from crawlfleet.fleet.pool.waiters import Waiters
from crawlfleet.shared.pools import Ask


class Owner(Protocol):
    """Whoever asked: it gets each of its entries with the outcome, once, or again after an interruption."""

    def take(self, answers: Sequence[tuple[Entry, Outcome]]) -> None: ...


class Feeder(Protocol):
    """An owner that will ask for more pages, until it is told to stop: by which error, given a URL."""

    def abort(self, error_of: Callable[[str], BaseException]) -> None: ...


class Entry:
    """One ask. `place` and `is_told` are its owner's; the other attributes below belong to the open asks."""

    __slots__ = (
        "asked_at",
        "book",
        "follow",
        "is_queued",
        "is_told",
        "owner",
        "place",
        "pool",
        "priority",
        "sendings",
        "ticket",
        "url",
    )

    def __init__(self, owner: Owner, place: int, url: str, priority: int | None, follow: bool) -> None:
        self.owner = owner
        self.place = place
        self.url = url
        self.priority = priority
        self.follow = follow
        self.ticket = 0
        self.is_queued = True
        # How often it was sent, without the times at which the coordinator has said that it took it not.
        self.sendings = 0
        self.is_told = False
        # The book in which the coordinator wrote it, as far as is known.
        self.book = ""

    pool: OpenPool
    asked_at: float

    @property
    def was_sent(self) -> bool:
        """Whether the coordinator may have it."""
        return self.sendings > 0

    def ask(self) -> Ask:
        """Return the message."""
        return Ask(self.ticket, self.url, self.priority, self.follow)


class OpenPool:
    """What is open of a pool. Guarded by the lock of the open asks."""

    def __init__(self, number: int, waiters: Waiters) -> None:
        self.number = number
        self.joiners = waiters
        self.queue: deque[Entry] = deque()
        self.is_in_line = False
        # Entries that are not answered; feeders that are not done; pages whose rows were thrown away.
        self.asked: set[Entry] = set()
        self.feeders: set[Feeder] = set()
        self.spilled = 0
        self.is_closed = False
        self.is_terminated = False
        # Whether the coordinator knows it, or has to be told (again).
        self.is_known = False
        self.must_open = False
        self.is_over = False

    @property
    def is_answered(self) -> bool:
        """Whether everything that was asked is answered, and no more will be."""
        return not self.asked and not self.feeders
