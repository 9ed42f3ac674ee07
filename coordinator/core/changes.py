"""What the rules hand back: changes, which the shell stores, journals, logs and counts as they are."""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.core.rows import (
    HostRow,
    LeaseRow,
    LedgerRow,
    OriginRow,
    Result,
    TaskRow,
    TaskState,
    TrapRow,
)


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all changes."""


class TaskMoved(Change, frozen=True, kw_only=True):
    """An event happened to a task (`before` None: it is new). `event` is a `transitions.TaskEvent`."""

    event: str
    before: TaskState | None
    task: TaskRow


class LeaseSet(Change, frozen=True, kw_only=True):
    """A lease is granted, or fewer of its tasks are open."""

    lease: LeaseRow


class LeaseEnded(Change, frozen=True, kw_only=True):
    """A lease is over: `settled`, `released` or `lost`. `lease` is its last row."""

    lease: LeaseRow
    why: str


class HostSet(Change, frozen=True, kw_only=True):
    """A host is new or changed."""

    host: HostRow


class OriginSet(Change, frozen=True, kw_only=True):
    """An origin is new, or its gate is decided."""

    origin: OriginRow


class TrapSet(Change, frozen=True, kw_only=True):
    """More is counted of a host or a domain."""

    trap: TrapRow


class LedgerSet(Change, frozen=True, kw_only=True):
    """The crawl's own numbers changed."""

    ledger: LedgerRow


class Start(msgspec.Struct, frozen=True, array_like=True):
    """A request to a host that has a delay, as the log keeps it.

    `at` is when it began at the latest, in crawl time. `spacing_s` is how long after the last one it was allowed to: 0
    if that is not known any more, or there was no delay when it was granted. `gap_s` is what its sender measured since
    its own last start there. `sender` is a number for the session.
    """

    host: str
    at: float
    spacing_s: float
    gap_s: float | None
    sender: int


class Accepted(Change, frozen=True, kw_only=True):
    """A report counted: under which lease, the fingerprints, one after another, of every outlink of its page that is a
    task of the crawl, and when its host was asked, if that has a delay."""

    ref: bytes
    lease: int
    outlinks: bytes
    start: Start | None = None


class Recorded(Change, frozen=True, kw_only=True):
    """A page's result is recorded."""

    result: Result
