"""When a host may be asked again, and by which session. One owner decides for all workers.

A delayed host is held by one session at a time, and its starts are planned ahead. A host without a delay may be held by
several sessions, which share `per_host` slots. A start counts as late as it can have happened, so the gap that a host
sees is never shorter than its delay.
"""

from __future__ import annotations

from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import Holder, HostRow, LeaseRow, succeed


def delay_of(policy: Policy, asked_s: float, adaptive_s: float) -> float:
    """Return the delay of a host: the job's, or a longer one that its robots.txt or its answers ask for."""
    return max(policy.politeness.delay_s, min(policy.politeness.max_delay_s, max(asked_s, adaptive_s)))


def delayed(host: HostRow, policy: Policy, now: float) -> HostRow:
    """Return a host with its delay brought up to date."""
    delay_s = delay_of(policy, asked_s(host), host.adaptive_s)
    if delay_s > host.delay_s:
        return slowed(host, delay_s, now)
    return host if delay_s == host.delay_s else succeed(host, delay_s=delay_s)


def asked_s(host: HostRow) -> float:
    """Return the delay that robots.txt asks for on a host. A row of an older crawl holds it in `delay_s` only."""
    return host.delay_s if host.asked_s is None else host.asked_s


def asked(host: HostRow, delay_s: float, policy: Policy, now: float) -> HostRow:
    """Return a host whose robots.txt files ask for the delay `delay_s`."""
    if delay_s == host.asked_s:
        return host
    return delayed(succeed(host, asked_s=delay_s), policy, now)


def slots_for(host: HostRow, session: str, sessions: int, policy: Policy) -> int:
    """Return how many fetches a session may run at once on a host: a fair share of what others leave, maybe 0."""
    if is_flooding(host, policy):
        return 0
    others = [holder for holder in host.holders if holder.session != session]
    if host.delay_s > 0:
        return 0 if others or _is_slowing(host) else policy.politeness.per_host
    share = max(1, policy.politeness.per_host // max(1, sessions))
    return min(share, policy.politeness.per_host - sum(holder.slots for holder in others))


def slots_taken(host: HostRow, slots: int, open_tasks: int) -> int:
    """Return how many of its slots a session needs for its open tasks; other sessions may take the rest."""
    return slots if host.delay_s > 0 else min(slots, open_tasks)


def planned_starts(host: HostRow, now: float, policy: Policy, limit: int) -> list[float]:
    """Return the earliest starts that may be granted now on a host, at most `limit`, in crawl time."""
    first = max(now, host.next_start_at, host.hold_until, rested_at(host, policy))
    if host.delay_s <= 0:
        return [first] * limit if first <= now and limit > 0 else []
    horizon = now + _ahead_s(policy)
    count = int((horizon - first) / host.delay_s) + 1 if first <= horizon else 0
    return [first + place * host.delay_s for place in range(min(limit, count))]


def rested_at(host: HostRow, policy: Policy) -> float:
    """Return until when a delayed host rests after a take-over: its last start may have been just before that."""
    was_asked = host.last_start_at is not None or host.next_start_at > 0
    if policy.taken_over_at is None or host.delay_s <= 0 or not was_asked:
        return 0.0
    return policy.taken_over_at + host.delay_s


def open_at_once(host: HostRow, slots: int, policy: Policy) -> int:
    """Return how many tasks of a host one session may have open: enough until its next grant."""
    least = slots * policy.tuning.tasks_per_slot
    if host.delay_s > 0:
        return max(least, int(_ahead_s(policy) / host.delay_s) + 1)
    if host.latency_s <= 0:
        return least
    if host.latency_s >= policy.tuning.slow_s:
        # The next grant comes long before an answer does; what waits for it takes the place of other hosts' tasks.
        return slots
    # A fast host answers them soon, and each grant costs an exchange.
    return min(slots * policy.tuning.most_per_slot, max(least, int(slots * policy.tuning.busy_s / host.latency_s)))


def granted(host: HostRow, lease: LeaseRow, starts: list[float]) -> HostRow:
    """Return a host after the grant of a lease with these starts."""
    return succeed(
        host,
        next_start_at=starts[-1] + host.delay_s if host.delay_s > 0 else host.next_start_at,
        holders=_with_lease(host.holders, lease),
    )


def started(host: HostRow, start_at: float) -> HostRow:
    """Return a host after a start that happened at `start_at` at the latest."""
    last = start_at if host.last_start_at is None else max(host.last_start_at, start_at)
    return succeed(host, last_start_at=last, next_start_at=max(host.next_start_at, last + host.delay_s))


def lease_over(host: HostRow, lease: LeaseRow, now: float) -> HostRow:
    """Return a host after a lease ended. When no lease is left, unused planned starts cost no time."""
    holders = _without_lease(host.holders, lease)
    next_start_at = host.next_start_at
    if not holders and host.last_start_at is not None:
        next_start_at = host.last_start_at + host.delay_s
    elif not holders:
        next_start_at = min(next_start_at, now)
    return succeed(host, holders=holders, next_start_at=next_start_at)


def slowed(host: HostRow, delay_s: float, now: float) -> HostRow:
    """Return a host with a longer delay.

    Nothing more is granted on it until its present leases end: only then is it known what they started, and when.
    """
    next_start_at = max(host.next_start_at, now + delay_s)
    return succeed(host, delay_s=delay_s, next_start_at=next_start_at, recalled_under=_newest_lease(host))


def held(host: HostRow, until: float) -> HostRow:
    """Return a host on which nothing may start before `until`, not even under its present leases."""
    if until <= host.hold_until:
        return host
    return succeed(host, hold_until=until, recalled_under=_newest_lease(host))


def is_recalled(host: HostRow, lease: LeaseRow) -> bool:
    """Say whether a lease was granted before its host was slowed or held: what has not started must come back."""
    return lease.id <= host.recalled_under


def awaken(host: HostRow, now: float, policy: Policy, not_before: float = 0.0) -> HostRow:
    """Return a host with a scheduled check, since something may wait there from `not_before` on."""
    if is_full(host, policy):
        return host if host.ready_at is None else succeed(host, ready_at=None)
    next_start_at = max(host.next_start_at, rested_at(host, policy)) if host.delay_s > 0 else 0.0
    at = max(now, next_start_at, host.hold_until, not_before)
    if host.ready_at is not None and host.ready_at <= at:
        return host
    return succeed(host, ready_at=at)


def is_full(host: HostRow, policy: Policy) -> bool:
    """Say whether no other session may hold the host now."""
    if is_flooding(host, policy):
        return True
    if host.delay_s > 0:
        return bool(host.holders)
    return sum(holder.slots for holder in host.holders) >= policy.politeness.per_host


def is_flooding(host: HostRow, policy: Policy) -> bool:
    """Say whether so many links of a host wait to be admitted that its other pages wait for that."""
    return host.links_waiting > policy.tuning.most_links_waiting


def _newest_lease(host: HostRow) -> int:
    """Return the number of the newest open lease on the host; without one, `recalled_under` as it is."""
    return max((number for holder in host.holders for number, _ in holder.leases), default=host.recalled_under)


def _is_slowing(host: HostRow) -> bool:
    return any(number <= host.recalled_under for holder in host.holders for number, _ in holder.leases)


def _ahead_s(policy: Policy) -> float:
    return min(policy.tuning.ahead_s, policy.lease_s / 2)


def _with_lease(holders: tuple[Holder, ...], lease: LeaseRow) -> tuple[Holder, ...]:
    mine = next((holder.leases for holder in holders if holder.session == lease.session), ())
    others = tuple(holder for holder in holders if holder.session != lease.session)
    return (*others, Holder(lease.session, (*mine, (lease.id, lease.slots))))


def _without_lease(holders: tuple[Holder, ...], lease: LeaseRow) -> tuple[Holder, ...]:
    left = []
    for holder in holders:
        leases = _less(holder.leases, lease.id) if holder.session == lease.session else holder.leases
        if leases:
            left.append(Holder(holder.session, leases))
    return tuple(left)


def _less(leases: tuple[tuple[int, int], ...], ended: int) -> tuple[tuple[int, int], ...]:
    """Remove a lease. Its slots may be in use by tasks of older leases by now, so these inherit them."""
    place = [number for number, _ in leases].index(ended)
    inherited = leases[place][1]
    older = tuple((number, max(slots, inherited)) for number, slots in leases[:place])
    return (*older, *leases[place + 1 :])
