"""What a turn decides: changes, which the shell stores, journals, logs and counts as they are.

`Put` and `Gone` say how rows are afterwards, the others what happened.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from crawlfleet.coordinator.core.rows import LeaseRow, Result, StoreRow, TaskRow, TaskState


class TaskEvent(StrEnum):
    """What may happen to a task: see `transitions`."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    GRANTED = "granted"
    LOST = "lost"
    RELEASED = "released"
    RETRIED = "retried"
    FETCHED = "fetched"
    NOT_MODIFIED = "not_modified"
    REDIRECTED = "redirected"
    JUDGED = "judged"
    GAVE_UP = "gave_up"
    POISONED = "poisoned"
    REVIVED = "revived"
    LOWERED = "lowered"
    UNWANTED = "unwanted"
    PART = "part"
    RECHECKED = "rechecked"


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all changes."""


class TaskMoved(Change, frozen=True, kw_only=True):
    """An event happened to a task (`before` None: it is new)."""

    event: TaskEvent
    before: TaskState | None
    task: TaskRow


class Put(Change, frozen=True, kw_only=True):
    """A row of any kind but a task's is new or changed."""

    row: StoreRow


class Gone(Change, frozen=True, kw_only=True):
    """A lease is over: `settled`, `released` or `lost`. `row` is its last one."""

    row: LeaseRow
    why: str


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
