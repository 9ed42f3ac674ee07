"""What rules go by, as one value: policy goes in as data.

A section here holds what the coordinator reads of a job's section; the names are those of the job's keys, and the
defaults are theirs as well. `Tuning` holds the numbers that no job says.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from crawlfleet.shared.messages import MAX_OUTLINKS, ScopeSpec, UrlSpec


class Priority(msgspec.Struct, frozen=True):
    """Pages whose path and query match are granted earlier, or later if it is negative."""

    match: str
    priority: int


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How many pages, bytes and seconds there are; None means no limit."""

    pages: int | None = None
    size_bytes: int | None = None
    time_s: float | None = None


class Extent(Budget, frozen=True, kw_only=True):
    """How far the crawl goes within its scope: its own budget, that of each host, and the `depth` (None: no limit).

    `grows` lets the host that a seed redirects to join the scope; `sitemaps` asks for those that a robots.txt names.
    """

    depth: int | None = None
    per_host: Budget = Budget()
    grows: bool = True
    sitemaps: bool = False


class Unit(StrEnum):
    """Which hosts are asked as one."""

    HOST = "host"
    DOMAIN = "domain"
    ADDRESS = "address"


class Politeness(msgspec.Struct, frozen=True, kw_only=True):
    """How hard one host is pressed by the whole fleet, and whose robots.txt counts.

    `max_delay_s` bounds what a host can make of `delay_s`, by its robots.txt or by its answers; `patience` is how
    often in a row a host, and how often in all a page, may answer that it is busy before that counts as an attempt.
    Pages wait for a robots.txt that cannot be had for `robots_wait_s` at most. `ignore_robots` are host names.
    """

    user_agent: str
    delay_s: float = 1.0
    per_host: int = 1
    max_delay_s: float = 60.0
    adaptive: bool = True
    patience: int = 20
    unit: Unit = Unit.HOST
    robots_wait_s: float = 3_600.0
    ignore_robots: tuple[str, ...] = ()


class FetchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many further attempts a page has after one that failed for now."""

    retries: int = 3


class TrapLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a site is taken for a trap: see `core.traps`. None means never."""

    url_length: int | None = None
    repetition: int | None = None
    query_variants: int | None = None
    calendar: int | None = None
    sessions: int | None = None
    subdomains: int | None = None


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that are the same for all jobs.

    `ahead_s` is how far ahead of time starts on a delayed host are granted. `tasks_per_lease` bounds a lease, and
    `tasks_per_slot` what a session has open on a host: or as many as are planned ahead there, if that is more, or, on a
    host without a delay, as many as it answers within `busy_s`, `most_per_slot` at most.
    A robots.txt is kept for `robots_fresh_s`, or less if it says so, but for `robots_fresh_least_s`; one that cannot be
    had is asked for again after `robots_pause_s`, doubling up to `robots_pause_max_s`.
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
    suspect_losses: int = 2
    poison_deaths: int = 3


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All that rules go by. `scope`, `urls` and `max_outlinks` hold for workers as well: see `Brief`."""

    scope: ScopeSpec
    politeness: Politeness
    extent: Extent = Extent()
    urls: UrlSpec = UrlSpec()
    priorities: tuple[Priority, ...] = ()
    traps: TrapLimits = TrapLimits()
    fetch: FetchLimits = FetchLimits()
    lease_s: float = 15.0
    max_outlinks: int = MAX_OUTLINKS
    tuning: Tuning = Tuning()
