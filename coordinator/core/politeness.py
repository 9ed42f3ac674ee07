"""When a host may be asked again, and by whom. One owner decides for all workers.

A delayed host is held by one session at a time and its starts are planned ahead; a host without a delay may be held by
several, which share `per_host` slots. A start counts from the moment at which it can have been at the latest, so the
gap that a host sees is never below its delay.
"""

from __future__ import annotations

from coordinator.core.policy import Policy
from coordinator.core.rows import Holder, HostRow, LeaseRow, succeed


def slots_for(host: HostRow, session: str, sessions: int, policy: Policy) -> int:
    """Return how many fetches a session may run at once on a host: a fair share of what others leave, 0 if none."""
    others = [holder for holder in host.holders if holder.session != session]
    if host.delay_s > 0:
        return 0 if others else policy.per_host
    share = max(1, policy.per_host // max(1, sessions))
    return min(share, policy.per_host - sum(holder.slots for holder in others))


def planned_starts(host: HostRow, now: float, policy: Policy, limit: int) -> list[float]:
    """Return the earliest starts that may be granted now on a host, at most `limit`, in crawl time."""
    first = max(now, host.next_start_at, host.hold_until)
    if host.delay_s <= 0:
        return [first] * limit if first <= now and limit > 0 else []
    horizon = now + min(policy.ahead_s, policy.lease_s / 2)
    count = int((horizon - first) / host.delay_s) + 1 if first <= horizon else 0
    return [first + place * host.delay_s for place in range(min(limit, count))]


def granted(host: HostRow, session: str, starts: list[float], slots: int) -> HostRow:
    """Return a host after a lease with these starts."""
    return succeed(
        host,
        next_start_at=starts[-1] + host.delay_s if host.delay_s > 0 else host.next_start_at,
        holders=_with_lease(host.holders, session, slots),
    )


def started(host: HostRow, start_at: float) -> HostRow:
    """Return a host after a start that was at `start_at` at the latest."""
    last = start_at if host.last_start_at is None else max(host.last_start_at, start_at)
    return succeed(host, last_start_at=last, next_start_at=max(host.next_start_at, last + host.delay_s))


def lease_over(host: HostRow, lease: LeaseRow, now: float) -> HostRow:
    """Return a host after a lease ended. With the last of them, starts that never were cost nothing."""
    holders = _without_lease(host.holders, lease)
    next_start_at = host.next_start_at
    if not holders and host.last_start_at is not None:
        next_start_at = host.last_start_at + host.delay_s
    elif not holders:
        next_start_at = min(next_start_at, now)
    return succeed(host, holders=holders, next_start_at=next_start_at)


def held(host: HostRow, until: float) -> HostRow:
    """Return a host on which nothing may start before a time."""
    return succeed(host, hold_until=max(host.hold_until, until))


def awaken(host: HostRow, now: float, policy: Policy, not_before: float = 0.0) -> HostRow:
    """Return a host on which something may be waiting since `not_before`, with the time at which to look at it."""
    if is_full(host, policy):
        return host if host.ready_at is None else succeed(host, ready_at=None)
    at = max(now, host.next_start_at if host.delay_s > 0 else 0.0, host.hold_until, not_before)
    if host.ready_at is not None and host.ready_at <= at:
        return host
    return succeed(host, ready_at=at)


def is_full(host: HostRow, policy: Policy) -> bool:
    """Say whether no further session may hold the host now."""
    if host.delay_s > 0:
        return bool(host.holders)
    return sum(holder.slots for holder in host.holders) >= policy.per_host


def _with_lease(holders: tuple[Holder, ...], session: str, slots: int) -> tuple[Holder, ...]:
    mine = next((holder.lease_slots for holder in holders if holder.session == session), ())
    others = tuple(holder for holder in holders if holder.session != session)
    return (*others, Holder(session, (*mine, slots)))


def _without_lease(holders: tuple[Holder, ...], lease: LeaseRow) -> tuple[Holder, ...]:
    left = []
    for holder in holders:
        slots = list(holder.lease_slots)
        if holder.session == lease.session:
            slots.remove(lease.slots)
        if slots:
            left.append(Holder(holder.session, tuple(slots)))
    return tuple(left)
