"""The port to the frontier's store. A store stores and orders rows atomically; it decides nothing.

All changes that were applied since the last `commit` become durable together. Reads see applied changes, committed or
not. One thread owns a store, except for `results` and `result`: any thread may call these, and they see committed
changes only.

A commit begins with `commit` and ends with `conclude`. At most one is under way; what is applied meanwhile belongs to
the next. `apply` never waits for a database.

A store may be across a network. Calls that are answered from memory say so; any other may cost a round trip, so those
that the crawl waits for take many keys.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.later_rows import LeadOnRow, SeedLineRow
from crawlfleet.coordinator.core.rows import HostRow, LedgerRow, Result, TaskRow, TaskState
from crawlfleet.coordinator.core.turn import F, Reader
from crawlfleet.coordinator.frontier.story import Block, StoryLine
from crawlfleet.shared.errors import CrawlLost
from crawlfleet.shared.messages import Kind

#: The kinds of tasks whose verdicts are counted.
WITH_VERDICTS = (Kind.PAGE, Kind.CHECK)


class Conflict(Exception):
    """A batch was decided on rows that have changed in the meantime; none of it was applied."""


class StoreUnreachable(CrawlLost):
    """The database of a store does not answer, the connection to it was lost, or it refuses what it may take later: it
    has no room, say. The store may only be closed."""


class CrawlTaken(CrawlLost):
    """Another owner has the crawl. The store may only be closed."""


class Owner(NamedTuple):
    """Who had a crawl last, as its database knows: the number of its opening, how long its heartbeat has stood still by
    the database's clock, how it names itself, since when it has the crawl, and where it serves that (or empty)."""

    epoch: int
    silent_s: float
    name: str
    since: datetime
    address: str = ""

    @property
    def told_since(self) -> str:
        """Since when it has the crawl, as sentences say it."""
        return f"since {self.since:%Y-%m-%d %H:%M:%S %Z}"


class Claim(Protocol):
    """A process that waits for a crawl in a database. Raises `StoreUnreachable` if the connection is lost."""

    def owner(self) -> Owner | None:
        """Return who had the crawl last; None if nobody ever had."""
        ...

    def say_waiting(self, address: str) -> None:
        """Let the owner know for some seconds that a coordinator waits, which is at this address."""
        ...

    def terminate_owner(self) -> bool:
        """End the session of who has the crawl; say whether there is one."""
        ...


class Candidate(NamedTuple):
    """A coordinator that wants to own a crawl: where it serves it, its lease time, and what it does while another one
    has the crawl: it is called again and again, pauses, and raises to give up. Without that, it does not wait."""

    address: str = ""
    lease_s: float = 15.0
    while_owned: Callable[[Claim], None] | None = None


#: Who does not wait, and serves nothing.
ANYBODY = Candidate()


class Conclusion(StrEnum):
    """How a commit has ended."""

    DONE = "done"
    #: Another owner has the crawl. Nothing was written. The store may only be closed.
    FENCED = "fenced"
    #: The connection was lost: the commit is in or not, as a whole. The store may only be closed.
    UNKNOWN = "unknown"


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

    def commit(self, now: float, ended: Callable[[], None]) -> None:
        """Begin to make applied changes and the crawl time `now` durable. Called only when no commit is under way.

        `ended` is called once when the commit is over, by any thread, maybe before this returns; at once if nothing was
        applied and the crawl is surely owned. Then the owner calls `conclude`. Raises `CrawlFailed` if the store cannot
        be written.
        """
        ...

    def conclude(self) -> Conclusion | None:
        """Conclude the commit that was begun; return how it has ended, None while it is under way.

        After DONE acks may be sent, and the results that it had are seen. Raises `CrawlFailed` if the store cannot be
        written.
        """
        ...

    def is_surely_owned(self) -> bool:
        """Say, from memory, whether no other owner can have the crawl yet. Any thread may call this.

        If one can, a commit is FENCED if one has, even if nothing was applied.
        """
        ...

    @property
    def commit_number(self) -> int:
        """The number of the last commit that is DONE, from memory. It grows by one with each that wrote something."""
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


class FollowedLog(ResultLog, Protocol):
    """The committed log of a crawl that another process writes: its results, as far as there are any at each call.

    Raises `StoreUnreachable` if its database does not answer just now.
    """

    def close(self) -> None:
        """Close the log; no thread may read any more."""
        ...

    def tidy(self) -> None:
        """Close it, and finish what its writer has left to its last reader."""
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
        """Keep a value: durable at once, or with the next commit if one is under way or changes wait for it."""
        ...

    def open_marks(self) -> Marks:
        """Open the marks of the crawl's sinks; the caller closes them."""
        ...


class Company(Protocol):
    """The coordinators around a crawl's owner."""

    def standing_by(self) -> tuple[str, ...]:
        """Return the addresses of the coordinators that wait for the crawl. Any thread may call this.

        Raises `CrawlTaken` if another owner has the crawl, `StoreUnreachable` if the database does not answer.
        """
        ...

    def hurry(self) -> None:
        """Wait for a database that is silent for some seconds only from now on: then it is lost, for whoever waits.

        Any thread, and a signal handler, may call this.
        """
        ...


class Store(Frontier, ResultLog, Keeping, Company, Protocol):
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

    @property
    def commit_number(self) -> int:
        """The number of the last commit."""
        ...

    @property
    def result_count(self) -> int:
        """How many results there are."""
        ...

    def kept(self, key: str) -> bytes | None:
        """Return a kept value; None if there is none."""
        ...

    def mark(self, sink: str) -> Mark | None:
        """Return how far a sink is; None if it never wrote."""
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

    def seed_lines(self, numbers: Collection[int]) -> dict[int, SeedLineRow]:
        """Return the lines of seeds files with these numbers."""
        ...

    def close(self) -> None:
        """Close the snapshot."""
        ...


class Schemas(Protocol):
    """The schemas of crawls in a database, for whoever has none of them open.

    Each call connects on its own. Raises `StoreUnreachable` if that fails, `UsageError` if the database is unfit.
    """

    def has(self, schema: str) -> bool:
        """Say whether a schema holds a crawl. Raises `UsageError` if it holds something else."""
        ...

    def owner_of(self, schema: str) -> str:
        """Return what is known of the coordinator that has a crawl open; empty if none has."""
        ...

    def replication(self, schema: str) -> str:
        """Return what a user must know of how the database is replicated, as a sentence; empty if that is nothing."""
        ...

    def rename(self, schema: str, to: str) -> None:
        """Give a schema another name. Raises `UsageError` if a coordinator has it open, or the name is taken."""
        ...
