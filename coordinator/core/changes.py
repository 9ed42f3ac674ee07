"""What the rules hand back: changes, which the shell stores, journals, logs and counts as they are."""

from __future__ import annotations

import msgspec

from coordinator.core.rows import HostRow, LeaseRow, LedgerRow, OriginRow, Result, TaskRow, TaskState


class Change(msgspec.Struct, frozen=True, kw_only=True):
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


class LedgerSet(Change, frozen=True, kw_only=True):
    """The crawl's own numbers changed."""

    ledger: LedgerRow


class Accepted(Change, frozen=True, kw_only=True):
    """A report counted: under which lease, and every outlink of its page that is a task of the crawl."""

    ref: bytes
    lease: int
    outlinks: tuple[bytes, ...]


class Recorded(Change, frozen=True, kw_only=True):
    """A page's result is recorded."""

    result: Result
