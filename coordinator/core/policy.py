"""The numbers that rules go by, as one value: policy goes in as data."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from crawlfleet.shared.messages import ScopeSpec, UrlSpec


class Priority(msgspec.Struct, frozen=True):
    """Pages whose path and query match are granted earlier, or later if it is negative."""

    match: str
    priority: int


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How many pages, bytes and seconds there are; None means no limit."""

    pages: int | None = None
    size_bytes: int | None = None
    time_s: float | None = None


class Unit(StrEnum):
    """Which hosts are asked as one."""

    HOST = "host"
    DOMAIN = "domain"
    ADDRESS = "address"


class TrapLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a site is taken for a trap: see `core.traps`. None means never."""

    url_length: int | None = None
    repetition: int | None = None
    query_variants: int | None = None
    calendar: int | None = None
    sessions: int | None = None
    subdomains: int | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a job asks for.

    `ahead_s` is how far ahead of time starts on a delayed host are granted. `tasks_per_lease` bounds a lease, and
    `tasks_per_slot` what a session has open on a host: or as many as are planned ahead there, if that is more, or, on a
    host without a delay, as many as it answers within `busy_s`, `most_per_slot` at most.
    `max_delay_s` bounds what a host can make of `delay_s`, by its robots.txt or by its answers; `patience` is how
    often in a row a host, and how often in all a page, may answer that it is busy before that counts as an attempt.
    `depth`, `pages`, `size_bytes` and `time_s` None mean no limit; `host_budget` is that of each host.
    `keep_scope_same` lets the host that a seed redirects to join the scope, `robots_sitemaps` asks for those that
    a robots.txt names as sitemaps.
    A robots.txt is kept for `robots_fresh_s`, or less if it says so, but for `robots_fresh_least_s`; one that cannot be
    had is asked for again after `robots_pause_s`, doubling up to `robots_pause_max_s`, and pages wait for it for
    `robots_wait_s` at most. `ignore_robots` are host names.
    """

    user_agent: str
    scope: ScopeSpec
    delay_s: float = 1.0
    per_host: int = 1
    lease_s: float = 15.0
    retries: int = 3
    retry_base_s: float = 1.0
    retry_max_s: float = 300.0
    hold_max_s: float = 3_600.0
    depth: int | None = None
    pages: int | None = None
    max_hops: int = 10
    robots_hops: int = 5
    robots_fresh_s: float = 86_400.0
    robots_fresh_least_s: float = 600.0
    robots_wait_s: float = 3_600.0
    robots_pause_s: float = 60.0
    robots_pause_max_s: float = 900.0
    ignore_robots: tuple[str, ...] = ()
    keep_scope_same: bool = True
    robots_sitemaps: bool = False
    ahead_s: float = 2.0
    tasks_per_lease: int = 64
    tasks_per_slot: int = 4
    most_per_slot: int = 16
    busy_s: float = 0.2
    suspect_losses: int = 2
    poison_deaths: int = 3
    urls: UrlSpec = UrlSpec()
    max_delay_s: float = 60.0
    adaptive: bool = True
    patience: int = 20
    unit: Unit = Unit.HOST
    priorities: tuple[Priority, ...] = ()
    size_bytes: int | None = None
    time_s: float | None = None
    host_budget: Budget = Budget()
    traps: TrapLimits = TrapLimits()
    max_outlinks: int = 10_000
