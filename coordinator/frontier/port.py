"""The port to the frontier's store. A store stores and orders rows atomically; it decides nothing.

All changes that were applied since the last `commit` become durable together. Reads see applied changes. One thread
owns a store, except for `results` and `result`: any thread may call these, and they see committed changes only.

A store may be across a network. Calls that are answered from memory say so; any other may cost a round trip, so those
that the crawl waits for take many keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.later_rows import LeadOnRow
from crawlfleet.coordinator.core.rows import HostRow, LedgerRow, Result, TaskRow, TaskState
from crawlfleet.coordinator.core.turn import F, Reader
from crawlfleet.coordinator.frontier.story import Block, StoryLine
from crawlfleet.shared.messages import Kind

#: The kinds of tasks whose verdicts are counted.
WITH_VERDICTS = (Kind.PAGE, Kind.CHECK)


class Conflict(Exception):
    """A batch was decided on rows that have changed in the meantime; none of it was applied."""


class Frontier(Reader, Protocol):
    """Store rows and queues: what turns read and change. Only its owner's thread may call it.

    `Reader.ledger`, `leases_of`, `family`, `due` and `hosts_of` are answered from memory, and so are `rows` of resident
    kinds.
    """

    def resident(self, kind: type[F]) -> Collection[F]:
        """Return all rows of a resident kind, from memory."""
        ...

    def next_due_at(self) -> float | None:
        """Return the earliest `ready_at` of any unit, or host that is in none, from memory."""
        ...

    def queues(self, after: str, limit: int) -> tuple[str, ...]:
        """Return up to `limit` names of queues with PENDING tasks, in order, from the first one after `after` on."""
        ...

    def waiting(self, limit: int) -> tuple[TaskRow, ...]:
        """Return up to `limit` PENDING tasks of any queue."""
        ...

    def walk(self, after: int, limit: int) -> tuple[TaskRow, ...]:
        """Return up to `limit` tasks of any state in the order of admission, from `after` + 1 on."""
        ...

    def counts(self) -> dict[tuple[Kind, TaskState], int]:
        """Return how many tasks of each kind are in each state, from memory."""
        ...

    def verdicts(self, kind: Kind = Kind.PAGE) -> dict[tuple[TaskState, str], int]:
        """Return how many pages, or checks, are in each state, by reason or outcome, from memory."""
        ...

    def apply(self, changes: Sequence[Change]) -> None:
        """Apply changes in order, all or none; raise `Conflict` if a row does not precede its change."""
        ...

    def commit(self, now: float) -> None:
        """Make applied changes and the crawl time `now` durable; acks may be sent afterwards."""
        ...

    def close(self) -> None:
        """Close the store; uncommitted changes are lost."""
        ...


class ResultLog(Protocol):
    """The committed results in the order of commit, for any thread."""

    def results(self, cursor: int, limit: int) -> Sequence[Result]:
        """Return up to `limit` committed results from place `cursor` on, in the order of commit; fewer, but at least
        one if there is one, if they are large."""
        ...

    def result(self, ref: bytes) -> Result | None:
        """Return the committed result of a task."""
        ...

    def result_count(self) -> int:
        """Return how many results are committed, from memory."""
        ...


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a sink is: its first `size_bytes` hold the first `results` results of the log.

    `block_hash` is the BLAKE2b (16 bytes) of the last written block, from `block_at` on.
    """

    results: int = 0
    size_bytes: int = 0
    block_at: int = 0
    block_hash: bytes = b""


class Marks(Protocol):
    """The marks of sinks by name. One thread at a time calls it. Raises `CrawlFailed` if it cannot be used."""

    def get(self, sink: str) -> Mark | None:
        """Return a sink's mark; None if it never wrote."""
        ...

    def set(self, sink: str, mark: Mark) -> None:
        """Commit a sink's mark, at once."""
        ...

    def close(self) -> None:
        """Close the marks."""
        ...


class Keeping(Protocol):
    """What a store keeps of a crawl besides its rows."""

    @property
    def epoch(self) -> int:
        """The number of this opening of the store: larger than that of any opening before."""
        ...

    @property
    def opened_at(self) -> float:
        """Crawl time at which the store was opened."""
        ...

    def kept(self, key: str) -> bytes | None:
        """Return a kept value; None if there is none."""
        ...

    def keep(self, key: str, value: bytes) -> None:
        """Keep a value: durable with the next commit if changes were applied since the last one, else at once."""
        ...

    def open_marks(self) -> Marks:
        """Open the marks of the crawl's sinks; the caller closes them."""
        ...


class Store(Frontier, ResultLog, Keeping, Protocol):
    """What a backend implements and the conformance suite checks."""


class StoreReader(Protocol):
    """A stored crawl, read from outside, also while it runs, as far as it was when it was opened.

    If the crawl runs, the rows of tasks and hosts may be later ones.

    Raises `UsageError` if the store is damaged.
    """

    @property
    def job(self) -> dict[str, Any]:
        """The job of the crawl's last run, as plain data."""
        ...

    @property
    def ledger(self) -> LedgerRow:
        """The crawl's own numbers."""
        ...

    def kept(self, key: str) -> bytes | None:
        """Return a kept value; None if there is none."""
        ...

    def tasks(self) -> Iterator[tuple[int, bytes, TaskRow]]:
        """Yield each task: the number and the fingerprint under which it is stored, and its row."""
        ...

    def tasks_of(self, refs: Collection[bytes]) -> dict[bytes, TaskRow]:
        """Return the tasks with these fingerprints; one that is under a lease may be PENDING."""
        ...

    def name_of(self, number: int) -> str:
        """Return the URL of a task, or another name for a task without a row."""
        ...

    def story(self) -> Iterator[StoryLine]:
        """Yield the log of changes in order."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Yield the log of changes by commits, in order."""
        ...

    def results(self) -> Iterator[tuple[int, Result]]:
        """Yield each result with the number of its task, in the order of commit."""
        ...

    def links(self) -> Iterator[tuple[int, bytes]]:
        """Yield the links of each page that has some, packed, with the number of its task, in the order of commit."""
        ...

    def hosts(self) -> Iterator[HostRow]:
        """Yield each host, or unit of hosts."""
        ...

    def leading_on(self) -> Iterator[LeadOnRow]:
        """Yield the tasks with links that wait to be admitted."""
        ...

    def known(self, refs: Collection[bytes]) -> set[bytes]:
        """Return the fingerprints that are tasks of the crawl."""
        ...

    def close(self) -> None:
        """Close the snapshot."""
        ...
