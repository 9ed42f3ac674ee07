"""The facts: what a store remembers, one frozen row each.

`version` counts the changes of a row: a rule that changes a row hands back its successor with the next version, and a
store refuses the successor of a row that has meanwhile changed. Times (`_at`, `not_before`) are crawl time in seconds.
Encoded, a row is an array of its fields in order: a new field goes last and has a default.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from shared.messages import Kind, Outcome, Row


class TaskState(StrEnum):
    """Where a task is in its life; DONE, FAILED and DROPPED are final."""

    PENDING = "pending"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"


FINAL = frozenset({TaskState.DONE, TaskState.FAILED, TaskState.DROPPED})

ALONE_QUEUE = "alone"


class Gate(StrEnum):
    """What is known of an origin's robots.txt."""

    WAITING = "waiting"
    RULES = "rules"
    ALLOW = "allow"
    DISALLOW = "disallow"


class Fact(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Base of all rows."""

    version: int = 1


class TaskRow(Fact, frozen=True, kw_only=True):
    """One URL to fetch, and what became of it.

    `queue` is where it waits: its origin (pages), its host (robots.txt, which no gate holds back, and lost pages, which
    have passed it) or the queue of suspects. `lease` is the current lease: after a loss it stays current until the next
    grant. `settled` are the leases whose report was accepted. `reserved` says that a place of the page budget is kept
    for it. `outlinks` are kept only in a crawl with a depth limit, to pass on a depth that turns out smaller.
    """

    ref: bytes
    kind: Kind
    url: str
    origin: str
    host: str
    queue: str
    depth: int
    order: int
    state: TaskState
    reason: str = ""
    outcome: Outcome | None = None
    status: int = 0
    attempt: int = 0
    losses: int = 0
    deaths: int = 0
    not_before: float = 0.0
    found_on: bytes = b""
    hops: tuple[str, ...] = ()
    lease: int = 0
    settled: tuple[int, ...] = ()
    reserved: bool = False
    alone: bool = False
    seed: bool = False
    outlinks: tuple[bytes, ...] = ()

    @property
    def verdict(self) -> str:
        """What a final task is counted under: the reason, or else the outcome."""
        return self.reason or (self.outcome.value if self.outcome is not None else "")


def queue_of(task: TaskRow) -> str:
    """Return where a task waits that was never granted, or has given back what it was granted."""
    if task.alone:
        return ALONE_QUEUE
    return task.origin if task.kind is Kind.PAGE else task.host


class LeaseRow(Fact, frozen=True, kw_only=True):
    """A grant: `refs` are the tasks that no accepted report has settled yet, `starts` the earliest starts of all that
    were granted. It lives as long as its session does."""

    id: int
    session: str
    host: str
    refs: tuple[bytes, ...]
    starts: tuple[tuple[bytes, float], ...] = ()
    spacing_s: float = 0.0
    slots: int = 1
    alone: bool = False


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """A session that holds leases on a host: for each, oldest first, its id and how many fetches at once it stands for.

    All together they allow the largest of these numbers.
    """

    session: str
    leases: tuple[tuple[int, int], ...]

    @property
    def slots(self) -> int:
        return max(slots for _, slots in self.leases)


class HostRow(Fact, frozen=True, kw_only=True):
    """A host, the unit of politeness.

    `next_start_at` is the earliest start that may be granted next; `last_start_at` the last one known to have been.
    `ready_at` is when a grant may succeed (None: not before something else happens to the host). Leases up to number
    `slowed_under` were granted when the delay was shorter.
    """

    key: str
    delay_s: float
    next_start_at: float = 0.0
    last_start_at: float | None = None
    hold_until: float = 0.0
    ready_at: float | None = None
    holders: tuple[Holder, ...] = ()
    origins: tuple[str, ...] = ()
    slowed_under: int = 0


class OriginRow(Fact, frozen=True, kw_only=True):
    """An origin, the unit of robots.txt: its gate and, behind RULES, the file's text."""

    origin: str
    host: str
    gate: Gate = Gate.WAITING
    robots: bytes = b""


class LedgerRow(Fact, frozen=True, kw_only=True):
    """The crawl's own numbers: the next lease id and admission order, the page budget, hosts that joined the scope, and
    what is told at the end: rows, seeds that gave a page, retries, leases lost."""

    next_lease: int = 1
    next_order: int = 1
    pages_reserved: int = 0
    pages_fetched: int = 0
    scope_hosts: tuple[str, ...] = ()
    rows: int = 0
    seeds_fetched: int = 0
    retries: int = 0
    leases_lost: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What is recorded, once, for a fetched page."""

    ref: bytes
    url: str
    status: int
    depth: int
    content_type: str
    size_bytes: int
    elapsed_s: float
    at: float
    hops: tuple[str, ...]
    rows: tuple[Row, ...]


F = TypeVar("F", bound=Fact)


def succeed(row: F, **changed: Any) -> F:
    """Return the successor of a row."""
    return msgspec.structs.replace(row, version=row.version + 1, **changed)
