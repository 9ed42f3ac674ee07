"""The port to the database of a durable store: it stores, orders and is atomic; it knows no caches.

Rows are bytes, as `Batch` has them. A database reads what is committed: a commit under way is seen or not, as it comes,
and what waits for the next one is not. `DurableStore` knows what neither has.

The owner's thread makes all calls but `results`, `result`, `standing_by`, `is_surely_owned` and `hurry`, which any
thread may make.
Each call may cost a round trip; those that the crawl waits for take many keys. An error that is neither a lost owner
nor a lost connection, such as a full disk, raises `CrawlFailed`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from crawlfleet.coordinator.core.rows import StoreRow
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.port import Conclusion, Marks


class Loaded(NamedTuple):
    """What a store begins with."""

    #: The number of this opening, larger than that of any before, and the crawl time now. Both survive a power cut from
    #: here on under any durability: workers may still hold leases of lost commits, and must not confuse them with new
    #: ones.
    epoch: int
    opened_at: float
    #: The number of the last commit; 0 if there is none.
    commit_number: int
    #: How many results are committed, and how many tasks wait for a time.
    results: int
    later: int
    #: What batches had in `meta`, apart from kept values.
    meta: Mapping[str, bytes]
    #: All rows of the resident kinds, and of hosts those that are active.
    rows: Mapping[type[StoreRow], Iterable[bytes]]


class ReadyPage(NamedTuple):
    """Entries of a queue by rank and order: up to `limit` that come after `rank` and `order`."""

    rank: int
    order: int
    limit: int


class LaterPage(NamedTuple):
    """Entries of a queue by time and order: up to `limit` that come after `not_before` and `order`."""

    not_before: float
    order: int
    limit: int


class ReadyEntry(NamedTuple):
    """A task that waits, and its row."""

    rank: int
    order: int
    row: bytes


class LaterEntry(NamedTuple):
    """A task that waits for a time, and its row."""

    not_before: float
    order: int
    row: bytes


#: Before all entries of a queue: ranks have 64 bits, orders count from 1.
LOWEST_RANK = -(2**63)


class Database(Protocol):
    """See the module's docstring."""

    def load(self) -> Loaded:
        """Begin this opening of the crawl. Called once, before anything else."""
        ...

    def rows(self, kind: type[StoreRow], keys: Collection[Any]) -> Iterable[bytes]:
        """Return the rows under these keys, those that are there, in any order. A task's key is its fingerprint."""
        ...

    def tasks(self, orders: Collection[int]) -> Iterable[bytes]:
        """Return the rows of the tasks with these orders, in any order."""
        ...

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        """Return the depths of the tasks with these fingerprints, those that are there."""
        ...

    def heads(
        self, ready: Mapping[str, ReadyPage], later: Mapping[str, LaterPage]
    ) -> tuple[Mapping[str, Sequence[ReadyEntry]], Mapping[str, Sequence[LaterEntry]]]:
        """Return a page of each queue of both tables, in order. One without entries may be left out.

        One call for all of them: every grant that finds something cold waits for it.
        """
        ...

    def queues(self, after: str, limit: int) -> Sequence[str]:
        """Return up to `limit` names of queues with any entry, in order, from the first one after `after` on.

        Names are ordered by code points.
        """
        ...

    def waiting(self, limit: int) -> Iterable[bytes]:
        """Return the rows of up to `limit` tasks that are in any queue."""
        ...

    def walk(self, after: int, limit: int) -> Iterable[bytes]:
        """Return the rows of up to `limit` tasks by their order, from `after` + 1 on."""
        ...

    def begin(self, batch: Batch, ended: Callable[[], None]) -> None:
        """Begin to commit a batch; `ended` is called once when that is over, by any thread, maybe before this returns.

        An empty one, which has the number of the last commit, only asks whether the crawl is still this owner's.

        Called only when no other commit is under way.
        """
        ...

    def conclude(self) -> Conclusion | None:
        """Return how the commit has ended; None while it is under way. Asked once after its end."""
        ...

    def is_surely_owned(self) -> bool:
        """Say, from memory, whether no other owner can have the crawl yet; see `port.Frontier`."""
        ...

    def kept(self, key: str) -> bytes | None:
        """Return the committed value of `kept_key(key)` in `meta`."""
        ...

    def keep(self, key: str, value: bytes) -> None:
        """Commit a value of `kept_key(key)` at once. Called only when no commit is under way."""
        ...

    def open_marks(self) -> Marks:
        """Open the marks of the crawl's sinks, which are committed independently; the caller closes them."""
        ...

    def results(self, cursor: int, limit: int) -> Sequence[bytes]:
        """Return up to `limit` committed results from place `cursor` on, in order; fewer, but at least one if there is
        one, if they are large."""
        ...

    def result(self, ref: bytes) -> bytes | None:
        """Return the committed result of a task."""
        ...

    def standing_by(self) -> tuple[str, ...]:
        """Return the addresses of coordinators that wait for the crawl; see `port.Company`."""
        ...

    def hurry(self) -> None:
        """Wait for a silent database for some seconds only from now on; see `port.Company`."""
        ...

    def close(self) -> None:
        """Close the database. A commit under way ends first, or is lost."""
        ...
