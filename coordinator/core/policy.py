"""The numbers that rules go by, as one value: policy goes in as data."""

from __future__ import annotations

import msgspec

from shared.messages import ScopeSpec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a job asks for.

    `ahead_s` is how far ahead of time starts on a delayed host are granted; `tasks_per_lease` bounds a lease, and
    `tasks_per_slot` what a session has open on a host (or as many as are planned ahead there, if that is more).
    `depth` and `pages` None mean no limit. `keep_scope_same` lets the host that a seed redirects to join the scope.
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
    keep_scope_same: bool = True
    ahead_s: float = 2.0
    tasks_per_lease: int = 64
    tasks_per_slot: int = 4
    suspect_losses: int = 2
    poison_deaths: int = 3
