"""The policy: the settings that rules follow, as one value.

A section here holds what the coordinator reads of a job's section, with the names and defaults of the job's keys.
`Tuning` holds the numbers that no job sets.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from crawlfleet.shared.brief import ScopeSpec, UrlSpec
from crawlfleet.shared.messages import MAX_OUTLINKS


class Priority(msgspec.Struct, frozen=True):
    """Pages whose path and query match are granted earlier, or later if `priority` is negative."""

    match: str
    priority: int


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How many pages, bytes and seconds a crawl or a host may use; None means no limit."""

    pages: int | None = None
    size_bytes: int | None = None
    time_s: float | None = None


class Extent(Budget, frozen=True, kw_only=True):
    """How far the crawl goes within its scope: its own budget, that of each host, and the `depth` (None: no limit).

    With `grows` a host that a seed redirects to joins the scope; with `sitemaps` those named in robots.txt are read.
    With `listed_hosts` the lines of seeds files are let in whatever their hosts, and so is what they redirect to. As
    long as fewer than `joining_hosts` hosts have joined the scope, theirs do.
    """

    depth: int | None = None
    per_host: Budget = Budget()
    grows: bool = True
    sitemaps: bool = False
    listed_hosts: bool = False
    joining_hosts: int = 0


class Unit(StrEnum):
    """Which hosts share one politeness."""

    HOST = "host"
    DOMAIN = "domain"
    ADDRESS = "address"


class Politeness(msgspec.Struct, frozen=True, kw_only=True):
    """How much load the whole fleet puts on one host, and whose robots.txt applies.

    `max_delay_s` bounds how far a host can raise `delay_s`, by its robots.txt or by its answers. `patience` is how
    often in a row a host, and how often in total a page, may answer that it is busy before that counts as an attempt;
    attempts whose hook waited too long are excused within the same number of the page.
    Pages wait for an unavailable robots.txt for `robots_wait_s` at most, and for `robots_wait_last_s` once nothing else
    is left. `ignore_robots` are host names.
    """

    user_agent: str
    delay_s: float = 1.0
    per_host: int = 1
    max_delay_s: float = 60.0
    adaptive: bool = True
    patience: int = 20
    unit: Unit = Unit.HOST
    robots_wait_s: float = 3_600.0
    robots_wait_last_s: float = 60.0
    ignore_robots: tuple[str, ...] = ()


class FetchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many more attempts a page gets after one that failed temporarily; which content types are read, None: all.

    `allow_private` opens what is not public: see `core.reach`.
    """

    retries: int = 3
    types: tuple[str, ...] | None = None
    allow_private: tuple[str, ...] = ()


class LinkRules(msgspec.Struct, frozen=True, kw_only=True):
    """Whether links that lead out of the scope are checked: see `core.checks`."""

    check_external: bool = False


class TrapLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits beyond which a site counts as a trap: see `core.traps`. None means no limit."""

    url_length: int | None = None
    repetition: int | None = None
    query_variants: int | None = None
    calendar: int | None = None
    sessions: int | None = None
    subdomains: int | None = None


class HostLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many URLs of a host may become tasks; seeds, targets of redirects, and what programs ask for always do. How
    many links of a page count, and how large its rows and links may be."""

    known_per_host: int = 10_000_000
    links: int = 1_000_000
    report_bytes: int = 64 * 1024 * 1024


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers that are the same for all jobs.

    `ahead_s` is how far in advance starts on a delayed host are granted. `tasks_per_lease` bounds a lease.
    `tasks_per_slot` bounds what a session has open on a host; more are allowed if more are planned ahead there, or, on
    a host without a delay, as many as it answers within `busy_s`, up to `most_per_slot`, and no more than one if it
    takes `slow_s`. A robots.txt is kept for `robots_fresh_s`, or less if its answer says so, but at least for
    `robots_fresh_least_s`. An unavailable one is requested again after `robots_pause_s`, doubling up to
    `robots_pause_max_s`.

    A report with more than `links_at_once` links is settled without them, and so are all reports between two commits
    beyond `links_per_turn` links; these links are admitted later, `links_per_portion` a commit, or `links_aside` if
    somebody calls. `known_per_link` outlinks that are named by fingerprint count as one. While more than
    `most_links_waiting` of a host wait, nothing is granted on it.

    A grant on a unit looks at `hosts_per_look` of the hosts that joined it, at most: those that have waited longest.
    """

    retry_base_s: float = 1.0
    retry_max_s: float = 300.0
    hold_max_s: float = 3_600.0
    max_hops: int = 10
    robots_hops: int = 5
    robots_fresh_s: float = 86_400.0
    robots_fresh_least_s: float = 600.0
    robots_pause_s: float = 60.0
    robots_pause_max_s: float = 900.0
    ahead_s: float = 2.0
    tasks_per_lease: int = 64
    tasks_per_slot: int = 4
    most_per_slot: int = 16
    busy_s: float = 0.2
    slow_s: float = 1.0
    suspect_losses: int = 2
    poison_deaths: int = 3
    links_at_once: int = 300
    links_per_turn: int = 1_000
    links_per_portion: int = 500
    links_aside: int = 100
    known_per_link: int = 16
    hosts_per_look: int = 32
    most_links_waiting: int = 20_000


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of the rules. `scope` and `urls` apply to workers too: see `Brief`.

    Of one report `max_outlinks` links count, unless it came in parts: as many as workers may send. With `keeps_links`
    all links of each page are recorded, for the table of links. `taken_over_at` is when the crawl was opened, if
    how long it was closed is not known for certain.
    """

    scope: ScopeSpec
    politeness: Politeness
    extent: Extent = Extent()
    urls: UrlSpec = UrlSpec()
    priorities: tuple[Priority, ...] = ()
    traps: TrapLimits = TrapLimits()
    links: LinkRules = LinkRules()
    fetch: FetchLimits = FetchLimits()
    limits: HostLimits = HostLimits()
    lease_s: float = 15.0
    max_outlinks: int = MAX_OUTLINKS
    keeps_links: bool = False
    taken_over_at: float | None = None
    tuning: Tuning = Tuning()
