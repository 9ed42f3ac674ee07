"""What a turn decides: changes, which the shell stores, journals, logs and counts unmodified.

`Put` and `Gone` hold the resulting rows; the others are events.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from crawlfleet.coordinator.core.rows import RemovableRow, Result, StoreRow, TaskRow, TaskState
from crawlfleet.shared.messages import Kind, Outcome, Unconverted


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
    ASKED = "asked"
    UNASKED = "unasked"
    ADOPTED = "adopted"
    LISTED = "listed"


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all changes."""


class TaskMoved(Change, frozen=True, kw_only=True):
    """An event happened to a task. `before` is None for a new task."""

    event: TaskEvent
    before: TaskState | None
    task: TaskRow


class Put(Change, frozen=True, kw_only=True):
    """A row of any kind but tasks is new or changed."""

    row: StoreRow


class Gone(Change, frozen=True, kw_only=True):
    """A row is removed; `row` is its last version. `why`, of a lease: `settled`, `released` or `lost`."""

    row: RemovableRow
    why: str = ""


class Start(msgspec.Struct, frozen=True, array_like=True):
    """A request to a host with a delay, as the log keeps it.

    `at` is the latest time at which it can have begun, in crawl time. `spacing_s` is the least gap allowed to the start
    before: 0 if no longer known, or if the host had no delay at the grant. `gap_s` is the time since the sender's own
    last start on the host, by the sender's clock. `sender` is a number for the session.
    """

    host: str
    at: float
    spacing_s: float
    gap_s: float | None
    sender: int


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """How an attempt ended, as the log keeps it; `reason` is that of the task after it, empty if there is none.

    `links_bytes` is the size of the page's links, if they were recorded with it.
    """

    outcome: Outcome
    status: int = 0
    reason: str = ""
    links_bytes: int = 0


class Leased(Change, frozen=True, kw_only=True):
    """A lease goes to a worker. Its grants follow."""

    lease: int
    worker: str


class Accepted(Change, frozen=True, kw_only=True):
    """A report was accepted under `lease`; `answer` is how it ended.

    `outlinks` joins the fingerprints of all outlinks of its page that are tasks of the crawl. `start` is the request to
    its host, if the host has a delay.
    """

    ref: bytes
    lease: int
    outlinks: bytes
    start: Start | None = None
    answer: Answer | None = None


class Linked(Change, frozen=True, kw_only=True):
    """All links of a page, packed as its report had them (`shared.web.link_records`), are recorded."""

    ref: bytes
    links: bytes


class LedOn(Change, frozen=True, kw_only=True):
    """Kept links of a task were admitted. `outlinks` joins the fingerprints of those that are tasks of the crawl."""

    ref: bytes
    outlinks: bytes


class Flooded(Change, frozen=True, kw_only=True):
    """So many links of a host wait that nothing more is granted on it; `url` is the page that had the last of them.

    `links` were found on `pages` of that page's host so far.
    """

    host: str
    url: str
    links_waiting: int
    links: int
    pages: int


class Full(Change, frozen=True, kw_only=True):
    """As many URLs of a host are known as the job allows: the link to `url` is the first that was not admitted."""

    host: str
    url: str


class Capped(Change, frozen=True, kw_only=True):
    """So many links and rows of a page, or entries of a sitemap, were left out because of a limit."""

    ref: bytes
    url: str
    kind: Kind
    links: int
    rows: int


class Recorded(Change, frozen=True, kw_only=True):
    """A page's result is recorded. `unconverted` tells of values of its fields that could not be converted."""

    result: Result
    unconverted: tuple[Unconverted, ...] = ()
