"""Granting tasks, and getting them back.

A lease is the right of one session to fetch some tasks of one host. It lives as long as its session renews itself; when
the session is lost, what was started becomes suspect: a suspect is granted alone, to a session with nothing else in
flight, and three deaths while alone end it as poison. So an innocent task is never quarantined.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil

import msgspec

from crawlfleet.coordinator.core import budget, gates, politeness, robots
from crawlfleet.coordinator.core.admission import awaken_host
from crawlfleet.coordinator.core.changes import HostSet, LeaseEnded, LeaseSet, LedgerSet, TaskMoved
from crawlfleet.coordinator.core.facts import Facts
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import ALONE_QUEUE, HostRow, LeaseRow, TaskRow, TaskState, queue_of, succeed
from crawlfleet.coordinator.core.transitions import TaskEvent, move
from crawlfleet.shared.messages import Kind


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for tasks of a host, how many it wants, how many it has open there, and among how many sessions the
    fleet's slots are shared."""

    session: str
    want: int
    sessions: int
    open_tasks: int = 0


def refuse_by_robots(tasks: Sequence[TaskRow], facts: Facts, policy: Policy) -> list[TaskRow]:
    """Drop the pages and sitemaps that their origin's robots.txt refuses; return the others."""
    allowed = []
    for task in tasks:
        reason = ""
        if task.kind is not Kind.ROBOTS:
            origin = facts.origins[task.gate]
            reason = robots.refuses(origin, task.url, policy) if origin is not None else ""
        if reason:
            budget.give_back(task, facts, policy)
            facts.take([move(task, TaskEvent.REFUSED, reason=reason, lease=0, reserved=False)])
        else:
            allowed.append(task)
    return allowed


def paced(key: str, facts: Facts, policy: Policy, now: float) -> HostRow:
    """Return a host with the delay that the job asks for now: it may have changed since the host was asked last."""
    host = facts.host(key)
    after = politeness.delayed(host, policy, now)
    if after is not host:
        facts.take([HostSet(host=after)])
    return after


def room(host: HostRow, asker: Asker, policy: Policy, now: float) -> list[float]:
    """Return the earliest starts that the asker may be given on a host now."""
    slots = politeness.slots_for(host, asker.session, asker.sessions, policy)
    if slots < 1:
        return []
    still = politeness.open_at_once(host, slots, policy) - asker.open_tasks
    limit = max(0, min(asker.want, policy.tasks_per_lease, still))
    return politeness.planned_starts(host, now, policy, limit)


def share(host: HostRow, asker: Asker, policy: Policy, waiting: int) -> int:
    """Return how many of all the tasks that wait on a host the asker may take: those that it can start at once, or its
    part of them if that is more; all if no other session could start one."""
    if host.delay_s > 0 or asker.sessions < 2:
        return waiting
    slots = politeness.slots_for(host, asker.session, asker.sessions, policy)
    others = sum(holder.slots for holder in host.holders if holder.session != asker.session)
    if policy.per_host - others - slots < 1:
        return waiting
    return max(slots - asker.open_tasks, ceil(waiting / asker.sessions))


def grant(
    tasks: Sequence[TaskRow], starts: Sequence[float], asker: Asker, facts: Facts, policy: Policy, now: float
) -> LeaseRow | None:
    """Lease waiting tasks of one host, at most one for each start and as far as the budgets go."""
    if not tasks:
        return None
    host = facts.host(tasks[0].host)
    chosen = budget.affordable(tasks, host, facts.ledger, policy, now)[: len(starts)]
    if not chosen:
        return None
    slots = politeness.slots_for(host, asker.session, asker.sessions, policy)
    lease = LeaseRow(
        id=facts.ledger.next_lease,
        session=asker.session,
        host=host.key,
        refs=tuple(task.ref for task in chosen),
        starts=tuple((task.ref, start) for task, start in zip(chosen, starts, strict=False)),
        spacing_s=host.delay_s,
        slots=politeness.slots_taken(host, slots, asker.open_tasks + len(chosen)),
        alone=chosen[0].alone,
    )
    places, host = budget.reserve(chosen, host, policy, now)
    reserved = facts.ledger.pages_reserved + places
    facts.take([LedgerSet(ledger=succeed(facts.ledger, next_lease=lease.id + 1, pages_reserved=reserved))])
    facts.take(_granted(task, lease) for task in chosen)
    facts.take([LeaseSet(lease=lease)])
    after = politeness.granted(host, lease, list(starts[: len(chosen)]))
    facts.take([HostSet(host=after)])
    return lease


def under_lease(task: TaskRow, lease: LeaseRow) -> TaskRow:
    """Return a task of an open lease, of which only the row from before the grant may be known."""
    return _granted(task, lease).task if task.state is TaskState.PENDING else task


def postpone(facts: Facts, key: str, policy: Policy, now: float) -> None:
    """Set when a host is looked at next, after a look that found no room on it for anyone."""
    host = facts.host(key)
    if host.ready_at is None or host.ready_at > now:
        return
    if politeness.is_full(host, policy) or not politeness.planned_starts(host, now, policy, 1):
        look_again(facts, key, policy, now, now)


def look_again(facts: Facts, key: str, policy: Policy, now: float, next_at: float | None) -> None:
    """Set when a host is looked at next, after a look: `next_at` is when something may wait there, None if nothing."""
    host = facts.host(key)
    if host.ready_at is not None:
        facts.take([HostSet(host=succeed(host, ready_at=None))])
    if next_at is not None:
        awaken_host(facts, key, policy, now, next_at)


def open_tasks(lease: LeaseRow, facts: Facts) -> list[TaskRow]:
    """Return the tasks of a lease that are still leased under it."""
    rows = (facts.tasks[ref] for ref in lease.refs)
    return [row for row in rows if row is not None and row.state is TaskState.LEASED and row.lease == lease.id]


def lose(lease: LeaseRow, started: Collection[bytes], facts: Facts, policy: Policy, now: float) -> None:
    """Take back the tasks of a lease whose session is lost; `started` are those that are known to have begun."""
    for task in open_tasks(lease, facts):
        _lose_task(task, task.ref in started, facts, policy, now)
    # Its worker may have started something up to this moment.
    facts.take([HostSet(host=politeness.started(facts.host(lease.host), now))])
    facts.take([LedgerSet(ledger=succeed(facts.ledger, leases_lost=facts.ledger.leases_lost + 1))])
    _end(succeed(lease), "lost", facts, policy, now)


def release(lease: LeaseRow, started: Collection[bytes], facts: Facts, policy: Policy, now: float) -> None:
    """Take back the tasks of a lease that its worker gives up. Had it begun one of them, its host was asked."""
    tasks = open_tasks(lease, facts)
    for task in tasks:
        budget.give_back(task, facts, policy)
        facts.take([move(task, TaskEvent.RELEASED, lease=0, reserved=False, queue=queue_of(task))])
    if any(task.ref in started for task in tasks):
        facts.take([HostSet(host=politeness.started(facts.host(lease.host), now))])
    _end(succeed(lease), "released", facts, policy, now)


def settle_some(lease: LeaseRow, refs: Collection[bytes], facts: Facts, policy: Policy, now: float) -> None:
    """Note that tasks of a lease are settled; with the last one the lease is over."""
    left = tuple(ref for ref in lease.refs if ref not in refs)
    after = succeed(lease, refs=left)
    if left:
        facts.take([LeaseSet(lease=after)])
        return
    _end(after, "settled", facts, policy, now)


def _granted(task: TaskRow, lease: LeaseRow) -> TaskMoved:
    return move(task, TaskEvent.GRANTED, lease=lease.id, reserved=task.kind is Kind.PAGE)


def _end(lease: LeaseRow, why: str, facts: Facts, policy: Policy, now: float) -> None:
    """Let a lease be over (this is its last row), and its host go."""
    facts.take([LeaseEnded(lease=lease, why=why)])
    facts.take([HostSet(host=politeness.lease_over(facts.host(lease.host), lease, now))])
    awaken_host(facts, lease.host, policy, now)


def _lose_task(task: TaskRow, started: bool, facts: Facts, policy: Policy, now: float) -> None:
    """Return a lost task to the queue. The lease stays current: a late report is still welcome until the next grant."""
    if task.alone and task.deaths + 1 >= policy.poison_deaths:
        budget.give_back(task, facts, policy)
        deaths = task.deaths + 1
        facts.take([move(task, TaskEvent.POISONED, reason="poison", deaths=deaths, reserved=False)])
        if task.kind is Kind.ROBOTS:
            gates.cannot_be_had(task, "poison", facts, policy, now)
        return
    losses = task.losses + 1
    alone = task.alone or started or losses >= policy.suspect_losses
    facts.take(
        [
            move(
                task,
                TaskEvent.LOST,
                losses=losses,
                deaths=task.deaths + (1 if task.alone else 0),
                alone=alone,
                # Its host's own queue comes first: nothing nearer may keep it from using the place it still has.
                queue=ALONE_QUEUE if alone else task.host,
            )
        ]
    )
