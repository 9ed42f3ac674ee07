"""The rows of a store: what it remembers, one frozen value each.

`version` counts the changes of a row: a rule that changes a row puts its successor with the next version, and a store
refuses the successor of a row that has changed in the meantime. Times (`_at`, `not_before`) are crawl time in seconds.
A row is encoded as an array of its fields in order: a new field goes last and has a default.

A kind of row is a class with a `key` and a line in the table `kinds.KINDS`.

A comment `#:` stands above the field that it describes, and says which fields change together.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from crawlfleet.coordinator.core.figures import Costs, FullHosts, HostCosts, LeftOut, RobotsWaits, ShortMaps
from crawlfleet.coordinator.core.kept_parts import KeptParts
from crawlfleet.coordinator.core.seed_line import SeedLine
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
#: The depth of a page that programs asked for, while nothing in the crawl leads to it.
NOT_REACHED = 2**31
_DEEPER_THAN_ANY = 2**32
#: What is kept of the detail of a failure.
MAX_DETAIL_CHARS = 500


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


class RemovableRow(StoreRow, frozen=True, kw_only=True):
    """Base of the kinds of rows that may be removed."""


class ResidentRow(RemovableRow, frozen=True, kw_only=True):
    """Base of the kinds of rows that every store keeps in memory as a whole.

    Rows of one kind form families, within which they are read in the order of their places. The family of a key never
    changes, and its place only if it is removed and created again.
    """

    if TYPE_CHECKING:

        @property
        def family(self) -> Any: ...

        @property
        def place(self) -> float: ...

    else:
        family = ""
        place = 0


class TaskRow(StoreRow, frozen=True, kw_only=True):
    """One URL to fetch, and its state."""

    ref: bytes
    #: It never changes, but for a check whose URL comes into the scope: that becomes a page. The two have one `ref`.
    kind: Kind
    url: str
    #: The origin that the task serves. Not the URL's own for a redirected robots.txt, or a sitemap on another host.
    origin: str
    host: str
    #: Where it waits while PENDING: at its gate's origin (pages, sitemaps); at its host (robots.txt, which no gate
    #: holds back, and lost tasks, which have passed the gate); or in `ALONE_QUEUE`, if and only if it is `alone`.
    queue: str
    #: The shortest known distance from a seed; `NOT_REACHED` if none is known, as of a check to which only checks have
    #: led. It only falls.
    depth: int
    #: The place in the order of admission. It never changes, and no two tasks share one.
    order: int
    #: Changes only as `transitions` allows.
    state: TaskState
    #: Why it is FAILED or DROPPED, or DONE with a caveat; while PENDING, why the last attempt is retried.
    reason: str = ""
    #: Set with `status` by the last report that counted.
    outcome: Outcome | None = None
    status: int = 0
    #: Attempts that counted. An excused one (a busy host, a hook that waited) adds to `refusals` instead.
    attempt: int = 0
    #: How often a session was lost with it: in all, and while it was `alone`.
    losses: int = 0
    deaths: int = 0
    #: No grant before this time.
    not_before: float = 0.0
    found_on: bytes = b""
    #: The URLs that redirected here, in order.
    hops: tuple[str, ...] = ()
    #: The current lease, 0 if none. After a loss it stays current until the next grant: a late report may still count.
    lease: int = 0
    #: The leases whose report was accepted: a report that is sent again gets the same ack.
    settled: tuple[int, ...] = ()
    #: A place of the page budget is reserved for it, from the grant until a report counts: see `pages_reserved`.
    reserved: bool = False
    #: Until it is final it is granted only by itself, to a session without other tasks: a suspect, or a page too large.
    alone: bool = False
    seed: bool = False
    #: The target of a redirect. With a depth limit also others, to pass on a smaller depth, unless in `KeptLinksRow`.
    outlinks: tuple[bytes, ...] = ()
    #: Higher is granted earlier.
    priority: int = 0
    refusals: int = 0
    #: When the page was changed according to a sitemap, in seconds since 1970; 0 if unknown.
    lastmod: int = 0
    #: A program asked for it, and has not taken that back.
    asked: bool = False
    #: What is known about its reason, such as what the last failed attempt said, and what was left out of the page.
    detail: str = ""
    #: A check whose HEAD was not answered as it should be: from then on it asks by GET.
    by_get: bool = False
    #: The number of the `SeedLineRow` because of which it is fetched, 0 if none: of a page, or of what led there.
    seed_line: int = 0
    #: What was unusual about the last answer: see `shared.notes`.
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> bytes:
        return self.ref

    @property
    def gate(self) -> str:
        """The origin whose robots.txt judges it."""
        return origin(self.url) if self.kind is Kind.SITEMAP else self.origin

    @property
    def rank(self) -> int:
        """The smallest is granted first: by priority, then by depth. A page that was asked for counts as a seed."""
        return (0 if self.asked else self.depth) - self.priority * _DEEPER_THAN_ANY

    @property
    def verdict(self) -> str:
        """The name under which a final task is counted: the reason, else the outcome."""
        return self.reason or self.outcome or ""


def queue_of(task: TaskRow) -> str:
    """Return the queue of a task that was never granted, or that was released or retried."""
    if task.alone:
        return ALONE_QUEUE
    return task.host if task.kind is Kind.ROBOTS else task.gate


class LeaseRow(ResidentRow, frozen=True, kw_only=True):
    """A grant. It lasts until its last task is settled, or its session gives it back or is lost."""

    id: int
    session: str
    #: The host, or the unit that it had joined when the lease was granted.
    host: str
    #: The tasks that no accepted report has settled yet: each is LEASED, and this is its current lease. Never empty.
    refs: tuple[bytes, ...]
    #: The earliest start of each task that was granted. It does not shrink with `refs`.
    starts: tuple[tuple[bytes, float], ...] = ()
    #: The host's delay at the grant: what the worker keeps between two starts.
    spacing_s: float = 0.0
    #: How many simultaneous fetches on its host the lease allows.
    slots: int = 1
    #: Its only task is granted alone.
    alone: bool = False
    #: Nobody wants one of its tasks any more: what has not started comes back.
    recalled: bool = False
    #: Of reports that come in parts, what is here. It ends with the lease, or with the report of its task.
    parts: tuple[KeptParts, ...] = ()
    #: What pages of the host had cost at the grant, on average; 0 if nothing was known, or the unit has several hosts.
    page_cost_s: float = 0.0

    @property
    def key(self) -> int:
        return self.id

    @property
    def family(self) -> str:
        return self.session

    @property
    def place(self) -> int:
        return self.id


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """A session that holds leases on a host: the number and the slots of each lease, oldest first.

    The session has the largest of these numbers of slots, not their sum.
    """

    session: str
    leases: tuple[tuple[int, int], ...]

    @property
    def slots(self) -> int:
        return max(slots for _, slots in self.leases)


class HostRow(StoreRow, frozen=True, kw_only=True):
    """A host, the unit of politeness; or several hosts with one politeness: see `units`."""

    key: str
    #: The least time between two starts: `politeness.delay_of` of the job, `asked_s` and `adaptive_s`. When it grows,
    #: open leases are recalled with it (`recalled_under`).
    delay_s: float
    #: The earliest start that may be granted next. Moves with each grant on a host with a delay, and never lies before
    #: `last_start_at + delay_s`.
    next_start_at: float = 0.0
    #: The latest start that is known; None if it was never asked.
    last_start_at: float | None = None
    #: Nothing starts before this time, not even under open leases: it rises together with `recalled_under`.
    hold_until: float = 0.0
    #: When to check for tasks to grant; None: not before something else happens to the host. The index of due hosts. Of
    #: a host in a unit, when something may wait there: it is looked at when its unit is.
    ready_at: float | None = None
    #: Who holds it: exactly the open leases on this host. With a delay, one session at a time gets leases.
    holders: tuple[Holder, ...] = ()
    #: The origins with this host's name.
    origins: tuple[str, ...] = ()
    #: Leases up to this number were granted before the host was slowed or held: what has not started comes back.
    recalled_under: int = 0
    #: What the robots.txt files of its origins ask for, and those of the hosts that joined it; None in rows of older
    #: crawls, where `delay_s` holds it.
    asked_s: float | None = None
    #: The delay that its answers ask for, their latency (smoothed), when it last was too busy, and how often in a row.
    #: The four change together, with each answer: see `pressure`.
    adaptive_s: float = 0.0
    latency_s: float = 0.0
    pressed_at: float = -1.0
    refusals: int = 0
    #: Counted only if hosts have budgets: see `budget`. Of its pages whose body came, `pages_fetched` counts all.
    #: `began_at` is the first grant.
    pages_reserved: int = 0
    pages_fetched: int = 0
    bytes_received: int = 0
    began_at: float | None = None
    #: The key of the unit that it joined. Then the unit's row holds all of the above in its place but
    #: `ready_at` and `origins`, and `holders` is empty here.
    unit: str = ""
    #: Rows of units named the hosts that joined them in formats before 7.
    names: tuple[str, ...] = ()
    #: How many links of its pages wait to be admitted. Beyond a limit nothing is granted on it: see `leading_on`.
    links_waiting: int = 0
    #: How many URLs with this host's name are tasks, apart from robots.txt; and how often a link to another one was not
    #: admitted, because they are as many as the job allows. The row of a host that joined a unit keeps these two.
    known: int = 0
    beyond: int = 0
    #: What it took of the crawl: see `costs`. The row of a host that joined a unit keeps this, too.
    costs: Costs = Costs()
    #: Other hosts have joined it.
    is_unit: bool = False
    #: The ports of the seeds at this host that the job itself names: see `reach`. With any the host is trusted. The
    #: row of a host that joined a unit keeps this, too.
    seed_ports: tuple[int, ...] = ()
    #: Of a trusted host that is a name, its addresses by the first answer, if they were all private: see `reach`. Once
    #: known (None: not yet) they stay. Until then one task at a time is granted; the lease of the last one.
    first_addresses: tuple[str, ...] | None = None
    first_lease: int = 0


class OriginRow(StoreRow, frozen=True, kw_only=True):
    """An origin, the unit of robots.txt."""

    origin: str
    host: str
    gate: Gate = Gate.WAITING
    #: The text of the file: empty unless the gate is RULES.
    robots: bytes = b""
    #: From this time on the file must be requested again; `rechecking` while that is under way.
    expires_at: float = 0.0
    rechecking: bool = False
    #: Since when the file is unavailable (None: it is not), how many looks in a row failed since then, and why the last
    #: one did. An available file clears all three.
    failing_since: float | None = None
    failed_looks: int = 0
    why: str = ""
    #: The gap between two starts that the file asks for. The largest of a host's origins, or of all that are in its
    #: unit, is the `asked_s` of the host or the unit.
    asked_delay_s: float = 0.0
    #: What the last unavailable answer said about `why`.
    detail: str = ""

    @property
    def key(self) -> str:
        return self.origin


class TrapRow(StoreRow, frozen=True, kw_only=True):
    """Counts of the URLs admitted of a host (`key` is its name) or domain (a dot and its name): see `traps`."""

    key: str
    #: A sketch of how many URLs match each pattern: at most `traps.SKETCH` patterns, never counted too high.
    patterns: dict[int, int] = {}
    #: How many URLs hold a session id.
    sessions: int = 0
    #: Of a domain: how many of its origins, other than those that the job names, were opened.
    origins: int = 0


class LedgerRow(StoreRow, frozen=True, kw_only=True):
    """The crawl's own numbers. There is one."""

    #: The next lease and the next place in the order of admission. They only grow.
    next_lease: int = 1
    next_order: int = 1
    #: How many tasks are `reserved`, and how many were FETCHED: with `pages_unused`, a grant lets their sum never pass
    #: the job's `pages`.
    pages_reserved: int = 0
    pages_fetched: int = 0
    #: Hosts that joined scope `same` by the redirect of a seed.
    scope_hosts: tuple[str, ...] = ()
    rows: int = 0
    #: Seeds that were FETCHED.
    seeds_fetched: int = 0
    #: Attempts that were retried, in total and by reason: the numbers in `retried` add up to `retries`.
    retries: int = 0
    leases_lost: int = 0
    bytes_received: int = 0
    retried: dict[str, int] = {}
    robots_waits: RobotsWaits = RobotsWaits()
    full: FullHosts = FullHosts()
    #: The reasons of programs' own that have a number in the summary: see `words`.
    words: tuple[str, ...] = ()
    #: What all hosts took, how many took something, those that took most of some kind, and the least costs of each kind
    #: among these.
    costs: Costs = Costs()
    hosts_with_costs: int = 0
    costliest: tuple[HostCosts, ...] = ()
    costly_from: Costs = Costs()
    #: Pages whose body came, and that FAILED: see `budget.had_body`.
    pages_unused: int = 0
    short_maps: ShortMaps = ShortMaps()
    #: What was left out of pages, and how many of the FETCHED have each note.
    left_out: LeftOut = LeftOut()
    noted: dict[str, int] = {}
    #: Some hosts that somebody meant to reach, and that are not public: see `reach`.
    kept_out: tuple[str, ...] = ()

    @property
    def key(self) -> int:
        return 0


class Result(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """The record of a fetched page: exactly one a page. Rows that its rules made, but rejected, stand apart."""

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
    rejected: tuple[Row, ...] = ()
    #: The line of a seeds file because of which it was fetched.
    seed_line: SeedLine | None = None
    notes: tuple[str, ...] = ()


R = TypeVar("R", bound=StoreRow)


def succeed(row: R, **changed: Any) -> R:
    """Return the successor of a row."""
    return msgspec.structs.replace(row, version=row.version + 1, **changed)
