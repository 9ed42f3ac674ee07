"""The port to the frontier's store: it stores, orders and is atomic; it decides nothing.

All that `apply` took since the last `commit` becomes durable together. Reads see what was applied. One thread owns a
store, except for `results` and `result`, which any thread may call and which see only what is committed.

A store may lie behind a network. The calls that it answers from memory say so; any other may cost a round trip, so
those that the crawl waits for take many keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.rows import LedgerRow, Result, TaskRow, TaskState
from crawlfleet.coordinator.core.turn import Reader
from crawlfleet.coordinator.frontier.story import StoryLine
from crawlfleet.shared.messages import Kind


class Conflict(Exception):
    """A batch was decided on rows that have changed since; nothing of it was applied."""


class Frontier(Reader, Protocol):
    """Store rows and queues: what turns read, and what they decide. Its owner's thread alone may call it.

    `ledger`, `leases_of` and `due` of the reader are answered from memory.
    """

    def holders(self) -> frozenset[str]:
        """Return the sessions that have leases, from memory."""
        ...

    def next_due_at(self) -> float | None:
        """Return the earliest `ready_at` of any host, from memory."""
        ...

    def waiting(self, limit: int) -> tuple[TaskRow, ...]:
        """Return some PENDING tasks, whatever they wait for."""
        ...

    def walk(self, after: int, limit: int) -> tuple[TaskRow, ...]:
        """Return some tasks, whatever their state, in the order of their admission, from order `after` + 1 on."""
        ...

    def counts(self) -> dict[tuple[Kind, TaskState], int]:
        """Return how many tasks of each kind are in each state, from memory."""
        ...

    def verdicts(self) -> dict[tuple[TaskState, str], int]:
        """Return how many pages are in each state, by the reason or the outcome that led there, from memory."""
        ...

    def apply(self, changes: Sequence[Change]) -> None:
        """Take changes in order, all or none; raise `Conflict` if a row is not the predecessor of its change."""
        ...

    def commit(self, now: float) -> None:
        """Make durable all that was applied, and that crawl time has come to `now`; acks may leave then."""
        ...

    def close(self) -> None:
        """Let go of what is open; what was not committed is gone."""
        ...


class ResultLog(Protocol):
    """The committed results in the order of their commit, for any thread."""

    def results(self, cursor: int, limit: int) -> Sequence[Result]:
        """Return committed results from place `cursor` on, in the order of their commit."""
        ...

    def result(self, ref: bytes) -> Result | None:
        """Return the committed result of a task."""
        ...

    def result_count(self) -> int:
        """Return how many results are committed, from memory."""
        ...


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A sink that has the first `results` of the log in its first `size_bytes`.

    `block_hash` is BLAKE2b (16 bytes) of what was written last, from `block_at` on.
    """

    results: int = 0
    size_bytes: int = 0
    block_at: int = 0
    block_hash: bytes = b""


class Marks(Protocol):
    """How far each sink is, by its name. One thread at a time calls it. Raises `CrawlFailed` if it cannot be used."""

    def get(self, sink: str) -> Mark | None:
        """Return a sink's mark, None if it never wrote."""
        ...

    def set(self, sink: str, mark: Mark) -> None:
        """Commit a sink's mark, at once."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class Keeping(Protocol):
    """What a store keeps of a crawl beside its rows."""

    @property
    def epoch(self) -> int:
        """The number of this opening of the store: larger than that of any opening before."""
        ...

    @property
    def opened_at(self) -> float:
        """Crawl time at which the store was opened."""
        ...

    def kept(self, key: str) -> bytes | None:
        """Return a value that was kept, None if there is none."""
        ...

    def keep(self, key: str, value: bytes) -> None:
        """Keep a value: with the next commit if changes were applied since the last one, else at once."""
        ...

    def open_marks(self) -> Marks:
        """Open the marks of the crawl's sinks, to be closed by the caller."""
        ...


class Store(Frontier, ResultLog, Keeping, Protocol):
    """What a backend implements, and the conformance suite checks."""


class StoreReader(Protocol):
    """One consistent snapshot of a crawl that was stored, read from outside, during the crawl too. Writes nothing.

    Raises `UsageError` if the store is damaged.
    """

    @property
    def job(self) -> dict[str, Any]:
        """The job that the crawl was run with last, as plain data."""
        ...

    @property
    def ledger(self) -> LedgerRow:
        """The crawl's own numbers."""
        ...

    def tasks(self) -> Iterator[tuple[int, bytes, TaskRow]]:
        """Yield the number and the fingerprint that each task is stored under, and its row."""
        ...

    def name_of(self, number: int) -> str:
        """Return the URL of a task, or what else it can be called by."""
        ...

    def story(self) -> Iterator[StoryLine]:
        """Yield the log of changes in order."""
        ...

    def results(self) -> Iterator[tuple[int, Result]]:
        """Yield the number of each result's task, and the result, in the order of their commit."""
        ...

    def known(self, refs: Collection[bytes]) -> set[bytes]:
        """Return those fingerprints that are tasks of the crawl."""
        ...

    def close(self) -> None:
        """Let the snapshot go."""
        ...
