"""The rows of a store: what it remembers, one frozen value each.

`version` counts the changes of a row: a rule that changes a row hands back its successor with the next version, and a
store refuses the successor of a row that has meanwhile changed. Times (`_at`, `not_before`) are crawl time in seconds.
Encoded, a row is an array of its fields in order: a new field goes last and has a default.

A kind of row is a class with a `key`, and a line in `KINDS`. Turns and stores know kinds by that table alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from crawlfleet.shared.messages import Kind, Outcome, Row
from crawlfleet.shared.web.urls import origin


class TaskState(StrEnum):
    """Where a task is in its life; DONE, FAILED and DROPPED are final."""

    PENDING = "pending"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"


FINAL = frozenset({TaskState.DONE, TaskState.FAILED, TaskState.DROPPED})

ALONE_QUEUE = "alone"
_DEEPER_THAN_ANY = 2**32


class Gate(StrEnum):
    """What is known of an origin's robots.txt."""

    WAITING = "waiting"
    RULES = "rules"
    ALLOW = "allow"
    DISALLOW = "disallow"


class StoreRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Base of all rows. Each kind has a `key`, unique among its kind."""

    version: int = 1

    if TYPE_CHECKING:

        @property
        def key(self) -> Any: ...


class TaskRow(StoreRow, frozen=True, kw_only=True):
    """One URL to fetch, and what became of it.

    `queue` is where it waits: its origin (pages, sitemaps), its host (robots.txt, which no gate holds back, and what
    was lost, which has passed it) or the queue of suspects. `lease` is the current lease: after a loss it stays current
    until the next grant. `settled` are the leases whose report was accepted. `reserved` says that a place of the page
    budget is kept for it. `outlinks` are kept only in a crawl with a depth limit, to pass on a depth that turns out
    smaller. A higher `priority` is granted earlier. `refusals` are the attempts that did not count, since the host was
    busy. `lastmod` is when a sitemap says that the page was changed, in seconds since 1970, 0 if none does. `origin` is
    the one that the task serves: for a robots.txt that was redirected, and a sitemap on another host, not its own.
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
    priority: int = 0
    refusals: int = 0
    lastmod: int = 0

    @property
    def key(self) -> bytes:
        return self.ref

    @property
    def gate(self) -> str:
        """The origin whose robots.txt judges it."""
        return origin(self.url) if self.kind is Kind.SITEMAP else self.origin

    @property
    def rank(self) -> int:
        """The smallest is granted first: by priority, then by depth."""
        return self.depth - self.priority * _DEEPER_THAN_ANY

    @property
    def verdict(self) -> str:
        """What a final task is counted under: the reason, or else the outcome."""
        return self.reason or self.outcome or ""


def queue_of(task: TaskRow) -> str:
    """Return where a task waits that was never granted, or has given back what it was granted."""
    if task.alone:
        return ALONE_QUEUE
    return task.host if task.kind is Kind.ROBOTS else task.gate


class LeaseRow(StoreRow, frozen=True, kw_only=True):
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

    @property
    def key(self) -> int:
        return self.id


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """A session that holds leases on a host: for each, oldest first, its id and how many fetches at once it stands for.

    All together they allow the largest of these numbers.
    """

    session: str
    leases: tuple[tuple[int, int], ...]

    @property
    def slots(self) -> int:
        return max(slots for _, slots in self.leases)


class HostRow(StoreRow, frozen=True, kw_only=True):
    """A host, the unit of politeness.

    `next_start_at` is the earliest start that may be granted next; `last_start_at` the last one known to have been.
    `ready_at` is when a grant may succeed (None: not before something else happens to the host). Leases up to number
    `recalled_under` were granted when the host might be asked sooner.

    `delay_s` is the longest of what the job wants, of what robots.txt asks for (`asked_s`; None in rows of older
    crawls) and of what the answers ask for (`adaptive_s`): see `politeness.delay_of`. `latency_s` is how long answers
    take, smoothed; `pressed_at` when the host was last found too busy, and `refusals` how often in a row.

    Pages, bytes and `began_at` are counted if hosts have budgets: see `core.budget`.

    A host that is asked as one with others names the row of that `unit`, which holds all of this in its place, and has
    the `names` of the hosts that joined it: see `units`.
    """

    key: str
    delay_s: float
    next_start_at: float = 0.0
    last_start_at: float | None = None
    hold_until: float = 0.0
    ready_at: float | None = None
    holders: tuple[Holder, ...] = ()
    origins: tuple[str, ...] = ()
    recalled_under: int = 0
    asked_s: float | None = None
    adaptive_s: float = 0.0
    latency_s: float = 0.0
    pressed_at: float = -1.0
    refusals: int = 0
    pages_reserved: int = 0
    pages_fetched: int = 0
    bytes_received: int = 0
    began_at: float | None = None
    unit: str = ""
    names: tuple[str, ...] = ()


class OriginRow(StoreRow, frozen=True, kw_only=True):
    """An origin, the unit of robots.txt: its gate and, behind RULES, the file's text.

    From `expires_at` on the file is to be asked for again, and while `rechecking` it is. `failing_since` is when it
    could not be had first, `failed_looks` how often in a row since then, and `why` the last reason. `asked_delay_s` is
    the gap between two starts that the file asks for.
    """

    origin: str
    host: str
    gate: Gate = Gate.WAITING
    robots: bytes = b""
    expires_at: float = 0.0
    rechecking: bool = False
    failing_since: float | None = None
    failed_looks: int = 0
    why: str = ""
    asked_delay_s: float = 0.0

    @property
    def key(self) -> str:
        return self.origin


class RobotsWaits(msgspec.Struct, frozen=True, array_like=True):
    """Origins whose robots.txt could not be had: how many pages wait for, how many were given up; some with why."""

    waiting: int = 0
    waiting_for: tuple[tuple[str, str], ...] = ()
    given_up: int = 0
    given_up_on: tuple[tuple[str, str], ...] = ()

    def but(self, **changed: Any) -> RobotsWaits:
        """Return the same with other numbers."""
        return msgspec.structs.replace(self, **changed)


class TrapRow(StoreRow, frozen=True, kw_only=True):
    """What was let in of a host (`key` its name), or of a domain (`key` a dot and its name): see `core.traps`.

    `patterns` is a sketch of how many addresses belong to each pattern, `sessions` how many hold a session id;
    `origins` is how many origins of a domain were opened that the job does not name.
    """

    key: str
    patterns: dict[int, int] = {}
    sessions: int = 0
    origins: int = 0


class LedgerRow(StoreRow, frozen=True, kw_only=True):
    """The crawl's own numbers: the next lease id and admission order, the budgets, hosts that joined the scope, and
    what is told at the end: rows, seeds that gave a page, retries (`retried`: by reason), leases lost, robots.txt files
    that were not had."""

    next_lease: int = 1
    next_order: int = 1
    pages_reserved: int = 0
    pages_fetched: int = 0
    scope_hosts: tuple[str, ...] = ()
    rows: int = 0
    seeds_fetched: int = 0
    retries: int = 0
    leases_lost: int = 0
    bytes_received: int = 0
    retried: dict[str, int] = {}
    robots_waits: RobotsWaits = RobotsWaits()

    @property
    def key(self) -> int:
        return 0


class Result(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
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


# The kinds of rows that are looked up by key, with the name of the table of each. The ledger is one row and has none.
KINDS: dict[type[StoreRow], str] = {
    TaskRow: "tasks",
    LeaseRow: "leases",
    HostRow: "hosts",
    OriginRow: "origins",
    TrapRow: "traps",
}

R = TypeVar("R", bound=StoreRow)


def succeed(row: R, **changed: Any) -> R:
    """Return the successor of a row."""
    return msgspec.structs.replace(row, version=row.version + 1, **changed)
