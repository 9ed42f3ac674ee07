"""Granting tasks: which hosts are looked at for a session, what waits there, and how much of it the session gets.

A grant reads the store twice: the origins of some hosts, then the heads of all their queues. These are as many hosts as
have room for what the session wants; more are looked at only if too little waits on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil

import msgspec

from crawlfleet.coordinator.core import budget, gates, leases, politeness, robots
from crawlfleet.coordinator.core.admission import awaken_host
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.rows import ALONE_QUEUE, Gate, HostRow, LeaseRow, OriginRow, TaskRow, succeed
from crawlfleet.coordinator.core.turn import Ready, Turn
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.reasons import Refusal

HOSTS_PER_TURN = 64
SUSPECTS_PER_TURN = 64
DROPPED_PER_TURN = 1_000
HOPELESS_PER_LOOK = 1_000
BUDGET_PAUSE_S = 0.1
WIDER = 4


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for tasks, how many it wants, and among how many sessions the fleet's slots are shared.

    `may_be_cleared` says that no other session takes nothing new, so as to be empty for a suspect.
    """

    session: str
    want: int
    sessions: int
    may_be_cleared: bool = True


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a session gets: new leases, the earlier ones that are recalled, and whether it is to become empty for a
    suspect (it gets nothing until it is)."""

    leases: tuple[LeaseRow, ...] = ()
    recalled: tuple[int, ...] = ()
    is_cleared: bool = False


class _Look(msgspec.Struct, frozen=True):
    """A host to look at: the tasks that the session has open there, the starts that it may be given, and the budget of
    the host that is spent, if one is."""

    host: HostRow
    open_tasks: int
    starts: list[float]
    spent: Refusal

    @property
    def limit(self) -> int:
        """How many tasks of each queue are of interest."""
        return DROPPED_PER_TURN if self.spent else len(self.starts)


def grant(turn: Turn, asker: Asker) -> Grant:
    """Grant a session up to `want` tasks: first on hosts that it holds, then on those that are due."""
    mine = turn.leases_of(asker.session)
    turn.read_hosts(lease.host for lease in mine)
    if asker.want < 1:
        return Grant(recalled=leases.recalled(turn, mine))
    candidates = iter(_candidates(turn, asker, mine))
    looks = _looks(turn, asker, candidates, asker.want)
    suspect = _suspect(turn, asker)
    is_cleared = suspect is not None and asker.may_be_cleared
    if suspect is not None and is_cleared and not mine:
        granted = _lease_suspect(turn, asker, suspect)
    elif is_cleared or any(lease.alone for lease in mine):
        granted = []
    else:
        granted = _lease_waiting(turn, asker, looks, candidates)
    return Grant(leases=tuple(granted), recalled=leases.recalled(turn, mine), is_cleared=is_cleared)


def room(turn: Turn, host: HostRow, asker: Asker, open_tasks: int = 0) -> list[float]:
    """Return the earliest starts that the asker may be given on a host now, where it has some tasks open."""
    slots = politeness.slots_for(host, asker.session, asker.sessions, turn.policy)
    if slots < 1:
        return []
    still = politeness.open_at_once(host, slots, turn.policy) - open_tasks
    limit = max(0, min(asker.want, turn.policy.tuning.tasks_per_lease, still))
    return politeness.planned_starts(host, turn.now, turn.policy, limit)


def share(turn: Turn, host: HostRow, asker: Asker, open_tasks: int, waiting: int) -> int:
    """Return how many of all the tasks that wait on a host the asker may take: those that it can start at once, or its
    part of them if that is more; all if no other session could start one."""
    if host.delay_s > 0 or asker.sessions < 2:
        return waiting
    slots = politeness.slots_for(host, asker.session, asker.sessions, turn.policy)
    others = sum(holder.slots for holder in host.holders if holder.session != asker.session)
    if turn.policy.politeness.per_host - others - slots < 1:
        return waiting
    return max(slots - open_tasks, ceil(waiting / asker.sessions))


def refuse_by_robots(turn: Turn, tasks: Iterable[TaskRow]) -> list[TaskRow]:
    """Drop the pages and sitemaps that their origin's robots.txt refuses; return the others."""
    allowed = []
    for task in tasks:
        reason: Refusal = ""
        if task.kind is not Kind.ROBOTS:
            origin = turn.origins[task.gate]
            reason = robots.refuses(origin, task.url, turn.policy) if origin is not None else ""
        if reason:
            budget.give_back(turn, task)
            turn.move(task, TaskEvent.REFUSED, reason=reason, lease=0, reserved=False)
        else:
            allowed.append(task)
    return allowed


def lease_out(
    turn: Turn, tasks: Sequence[TaskRow], starts: Sequence[float], asker: Asker, open_tasks: int = 0
) -> LeaseRow | None:
    """Lease waiting tasks of one host, at most one for each start and as far as the budgets go."""
    if not tasks:
        return None
    host = turn.host(tasks[0].host)
    chosen = budget.affordable(tasks, host, turn.ledger, turn.policy, turn.now)[: len(starts)]
    if not chosen:
        return None
    slots = politeness.slots_for(host, asker.session, asker.sessions, turn.policy)
    lease = LeaseRow(
        id=turn.ledger.next_lease,
        session=asker.session,
        host=host.key,
        refs=tuple(task.ref for task in chosen),
        starts=tuple((task.ref, start) for task, start in zip(chosen, starts, strict=False)),
        spacing_s=host.delay_s,
        slots=politeness.slots_taken(host, slots, open_tasks + len(chosen)),
        alone=chosen[0].alone,
    )
    places, host = budget.reserve(chosen, host, turn.policy, turn.now)
    reserved = turn.ledger.pages_reserved + places
    turn.put(succeed(turn.ledger, next_lease=lease.id + 1, pages_reserved=reserved))
    for task in chosen:
        turn.move(task, TaskEvent.GRANTED, **leases.under(task, lease))
    turn.put(lease)
    turn.put(politeness.granted(host, lease, list(starts[: len(chosen)])))
    return lease


def _candidates(turn: Turn, asker: Asker, mine: Sequence[LeaseRow]) -> list[tuple[HostRow, int]]:
    """Return hosts to look at, and how many tasks the session has open on each."""
    held: dict[str, int] = {}
    for lease in mine:
        key = turn.host(lease.host).key
        held[key] = held.get(key, 0) + len(lease.refs)
    found = [(turn.host(key), open_tasks) for key, open_tasks in held.items()]
    # Most of a thousand spaced hosts have all the starts that they may have.
    found = [(host, count) for host, count in found if host.ready_at is not None or room(turn, host, asker, count)]
    return found + [(host, 0) for host in turn.due(HOSTS_PER_TURN) if host.key not in held]


def _looks(turn: Turn, asker: Asker, candidates: Iterator[tuple[HostRow, int]], want: int) -> list[_Look]:
    """Take hosts that together have room for `want` tasks, and read what waits there. Put off those without room."""
    looks = []
    for candidate, open_tasks in candidates:
        host = _paced(turn, candidate)
        starts = room(turn, host, asker, open_tasks)
        spent = budget.spent_on(host, turn.policy, turn.now)
        if starts or spent:
            looks.append(_Look(host, open_tasks, starts, spent))
            want -= len(starts)
        else:
            _postpone(turn, host)
        if want < 1:
            break
    turn.origins.read(origin for look in looks for origin in look.host.origins)
    turn.read_hosts(name for look in looks for name in look.host.names)
    limits = {ALONE_QUEUE: SUSPECTS_PER_TURN}
    for look in looks:
        limits |= dict.fromkeys((look.host.key, *look.host.names), look.limit)
        for origin in _origins(turn, look.host):
            if _is_open(turn, origin):
                limits[origin.origin] = HOPELESS_PER_LOOK if _is_hopeless(turn, origin) else look.limit
    turn.read_queues(limits)
    return looks


def _lease_waiting(
    turn: Turn, asker: Asker, looks: Sequence[_Look], candidates: Iterator[tuple[HostRow, int]]
) -> list[LeaseRow]:
    """Lease what waits on hosts, those that were read and then the other candidates, until the asker has enough."""
    granted: list[LeaseRow] = []
    want = ahead = asker.want
    while looks:
        for look in looks:
            lease = _lease_on(turn, asker, look, look.starts[:want])
            if lease is not None:
                granted.append(lease)
                want -= len(lease.refs)
            if want < 1:
                return granted
        # Little waits on each: fewer and fewer calls for more and more hosts.
        ahead *= WIDER
        looks = _looks(turn, asker, candidates, ahead)
    return granted


def _lease_on(turn: Turn, asker: Asker, look: _Look, starts: Sequence[float]) -> LeaseRow | None:
    """Grant what waits on a host, as far as there is room; set when to look at it next."""
    host = look.host
    # Once: it may have a robots.txt asked for again, which a second reading of the queue would not show.
    tasks, next_at = _waiting(turn, host, look.limit if look.spent else len(starts))
    if look.spent:
        budget.drop(turn, [task for task in tasks if task.kind is Kind.PAGE], look.spent)
        tasks = [task for task in tasks if task.kind is not Kind.PAGE][: len(starts)]
    if not starts:
        _postpone(turn, host)
        return None
    allowed = refuse_by_robots(turn, tasks)
    is_all = len(tasks) < len(starts)
    chosen = allowed[: share(turn, host, asker, look.open_tasks, len(allowed))] if is_all else allowed
    lease = lease_out(turn, chosen, starts, asker, look.open_tasks)
    if len(lease.refs if lease is not None else ()) < len(chosen):
        # The budget keeps some of them here, until a place is given back or the last is spent.
        next_at = turn.now + BUDGET_PAUSE_S
    elif len(chosen) < len(allowed):
        next_at = turn.now
    _look_again(turn, host.key, next_at)
    return lease


def _waiting(turn: Turn, host: HostRow, limit: int) -> tuple[list[TaskRow], float | None]:
    """Return what waits on a host behind open gates, and when to look for more."""
    own = (host.key, *host.names)
    queues = [turn.ready(queue, limit) for queue in own]
    queues += [_behind_gate(turn, origin, limit) for origin in _origins(turn, host)]
    tasks = [task for queue in queues for task in queue.tasks]
    tasks.sort(key=lambda task: (task.queue not in own, task.rank, task.order))
    times = [queue.next_at for queue in queues if queue.next_at is not None]
    next_at = turn.now if len(tasks) > limit else min(times, default=None)
    return tasks[:limit], next_at


def _behind_gate(turn: Turn, origin: OriginRow, limit: int) -> Ready:
    """Return what waits behind a gate that is open; have its robots.txt asked for again if that is due."""
    if not _is_open(turn, origin):
        return Ready((), None)
    is_hopeless = _is_hopeless(turn, origin)
    queue = turn.ready(origin.origin, HOPELESS_PER_LOOK if is_hopeless else limit)
    is_ignored = robots.is_ignored(origin.origin, turn.policy)
    if queue.tasks and not is_ignored and gates.is_overdue(origin, turn.now):
        after, task = gates.recheck(turn, origin)
        return Ready((task, *(() if gates.holds_back(after) else queue.tasks)), turn.now)
    if is_hopeless:
        refuse_by_robots(turn, queue.tasks)
        return Ready((), queue.next_at)
    return queue


def _origins(turn: Turn, host: HostRow) -> list[OriginRow]:
    return [row for row in map(turn.origins.__getitem__, host.origins) if row is not None]


def _is_open(turn: Turn, origin: OriginRow) -> bool:
    """Say whether what waits for an origin's robots.txt may be looked at."""
    return robots.is_ignored(origin.origin, turn.policy) or not gates.holds_back(origin)


def _is_hopeless(turn: Turn, origin: OriginRow) -> bool:
    """Say whether nothing that waits behind a gate may be fetched."""
    return origin.gate is Gate.DISALLOW and not robots.is_ignored(origin.origin, turn.policy)


def _suspect(turn: Turn, asker: Asker) -> TaskRow | None:
    """Return a suspect that may be granted now to this session, once it is empty. Those whose budget is spent go."""
    suspects = turn.ready(ALONE_QUEUE, SUSPECTS_PER_TURN).tasks
    if not suspects:
        return None
    turn.read_hosts(task.host for task in suspects)
    if budget.counts_hosts(turn.policy):
        for task in suspects:
            reason = budget.spent_on(turn.host(task.host), turn.policy, turn.now)
            if reason and task.kind is Kind.PAGE:
                budget.drop(turn, [task], reason)
    one = msgspec.structs.replace(asker, want=1)
    for task in turn.ready(ALONE_QUEUE, SUSPECTS_PER_TURN).tasks:
        host = turn.host(task.host)
        payable = budget.affordable([task], host, turn.ledger, turn.policy, turn.now)
        if payable and room(turn, host, one):
            return task
    return None


def _lease_suspect(turn: Turn, asker: Asker, suspect: TaskRow) -> list[LeaseRow]:
    """Grant a suspect alone."""
    one = msgspec.structs.replace(asker, want=1)
    turn.origins.read([suspect.gate])
    starts = room(turn, _paced(turn, turn.host(suspect.host)), one)
    allowed = refuse_by_robots(turn, [suspect] if starts else [])
    lease = lease_out(turn, allowed, starts, one)
    return [lease] if lease is not None else []


def _paced(turn: Turn, host: HostRow) -> HostRow:
    """Return a host with the delay that the job asks for now: it may have changed since the host was asked last."""
    after = politeness.delayed(host, turn.policy, turn.now)
    if after is not host:
        turn.put(after)
    return after


def _postpone(turn: Turn, host: HostRow) -> None:
    """Set when a host is looked at next, after a look that found no room on it for anyone."""
    host = turn.host(host.key)
    if host.ready_at is None or host.ready_at > turn.now:
        return
    if politeness.is_full(host, turn.policy) or not politeness.planned_starts(host, turn.now, turn.policy, 1):
        _look_again(turn, host.key, turn.now)


def _look_again(turn: Turn, key: str, next_at: float | None) -> None:
    """Set when a host is looked at next, after a look: `next_at` is when something may wait there, None if nothing."""
    host = turn.host(key)
    if host.ready_at is not None:
        turn.put(succeed(host, ready_at=None))
    if next_at is not None:
        awaken_host(turn, key, next_at)
