"""Granting tasks: which hosts are checked for a session, what waits there, and how much of it the session gets.

A grant reads the store twice: the origins of some hosts, then the heads of all their queues. It checks as many hosts as
have room for what the session wants, and more only if too little waits on them.

A look at a unit is a look at its own name and at some of the hosts that joined it: those on which something may have
waited longest. If others wait, those go last then, so that all get their turn, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import msgspec

from crawlfleet.coordinator.core import admission, budget, costs, gates, judging, leases, politeness, reach, robots
from crawlfleet.coordinator.core.admission import awaken_host
from crawlfleet.coordinator.core.changes import Leased, TaskEvent
from crawlfleet.coordinator.core.rows import (
    ALONE_QUEUE,
    Gate,
    HostRow,
    LeaseRow,
    OriginRow,
    TaskRow,
    TaskState,
    succeed,
)
from crawlfleet.coordinator.core.turn import Ready, Turn, existing
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.ranges import MAX_WORKER_CHARS
from crawlfleet.shared.reasons import Refusal

HOSTS_PER_TURN = 64
SUSPECTS_PER_TURN = 64
DROPPED_PER_TURN = 1_000
HOPELESS_PER_QUEUE = 1_000
PAUSE_S = 0.1
WIDER = 4


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """The session that asks for tasks, how many it wants, and among how many sessions the fleet's slots are shared.

    `may_be_cleared` is False while another session is being cleared for a suspect. `worker` is what the session is
    called.
    """

    session: str
    want: int
    sessions: int
    may_be_cleared: bool = True
    worker: str = ""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a session gets: new leases, and the numbers of earlier ones that are recalled.

    With `is_cleared` it gets nothing new until it is empty, and then a suspect.
    """

    leases: tuple[LeaseRow, ...] = ()
    recalled: tuple[int, ...] = ()
    is_cleared: bool = False


class _Offer(msgspec.Struct, frozen=True):
    """A host that may have tasks for the session.

    It has `open_tasks` there already; further ones may start at `starts`. `spent` is the host's spent budget, if any.
    Of a unit, `joined` are hosts that joined it and are looked at, too; the next of the others is due at `others_at`.
    """

    host: HostRow
    open_tasks: int
    starts: list[float]
    spent: Refusal
    joined: tuple[HostRow, ...] = ()
    others_at: float | None = None

    @property
    def hosts(self) -> tuple[HostRow, ...]:
        """All hosts that are looked at."""
        return (self.host, *self.joined)

    @property
    def limit(self) -> int:
        """How many tasks of each queue to read."""
        return self.part_of(DROPPED_PER_TURN) if self.spent else len(self.starts)

    def part_of(self, number: int) -> int:
        """Return the part of each host in the number of tasks that a turn may drop."""
        return max(1, number // len(self.hosts))


def grant(turn: Turn, asker: Asker) -> Grant:
    """Grant a session up to `want` tasks: first on hosts that it holds, then on hosts that are due."""
    mine = turn.leases_of(asker.session)
    turn.read_hosts(lease.host for lease in mine)
    if asker.want < 1:
        return Grant(recalled=leases.recalled(turn, mine))
    candidates = iter(_candidates(turn, asker, mine))
    offers = _offers(turn, asker, candidates, asker.want)
    suspect = _suspect(turn, asker)
    is_cleared = suspect is not None and asker.may_be_cleared
    if suspect is not None and is_cleared and not mine:
        granted = _lease_suspect(turn, asker, suspect)
    elif is_cleared or any(lease.alone for lease in mine):
        granted = []
    else:
        granted = _lease_waiting(turn, asker, offers, candidates)
    return Grant(leases=tuple(granted), recalled=leases.recalled(turn, mine), is_cleared=is_cleared)


def room(turn: Turn, host: HostRow, asker: Asker, open_tasks: int = 0) -> list[float]:
    """Return the earliest starts that the asker may get on a host now, where it has `open_tasks` tasks already."""
    slots = politeness.slots_for(host, asker.session, asker.sessions, turn.policy)
    if slots < 1:
        return []
    still = politeness.open_at_once(host, slots, turn.policy) - open_tasks
    limit = max(0, min(asker.want, turn.policy.tuning.tasks_per_lease, still))
    return politeness.planned_starts(host, turn.now, turn.policy, limit)


def share(turn: Turn, host: HostRow, asker: Asker, open_tasks: int, waiting: int) -> int:
    """Return how many of the tasks that wait on a host the asker may take.

    The larger of its fair part and what it can start at once; all of them if no other session could start one.
    """
    if host.delay_s > 0 or asker.sessions < 2:
        return waiting
    slots = politeness.slots_for(host, asker.session, asker.sessions, turn.policy)
    others = sum(holder.slots for holder in host.holders if holder.session != asker.session)
    if turn.policy.politeness.per_host - others - slots < 1:
        return waiting
    return max(slots - open_tasks, ceil(waiting / asker.sessions))


def lease_out(
    turn: Turn, tasks: Sequence[TaskRow], starts: Sequence[float], asker: Asker, open_tasks: int = 0
) -> LeaseRow | None:
    """Lease waiting tasks of one host, at most one for each start, within the budgets."""
    if not tasks:
        return None
    host = turn.host(tasks[0].host)
    affordable = budget.affordable(tasks, host, turn.ledger, turn.policy, turn.now)
    chosen = reach.one_at_first(turn, affordable)[: len(starts)]
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
        page_cost_s=costs.of_page(host.costs),
    )
    places, host = budget.reserve(chosen, host, turn.policy, turn.now)
    reserved = turn.ledger.pages_reserved + places
    turn.put(succeed(turn.ledger, next_lease=lease.id + 1, pages_reserved=reserved))
    turn.note(Leased(lease=lease.id, worker=judging.line(asker.worker, MAX_WORKER_CHARS)))
    for task in chosen:
        turn.move(task, TaskEvent.GRANTED, **leases.under(task, lease))
    turn.put(lease)
    turn.put(politeness.granted(host, lease, list(starts[: len(chosen)])))
    reach.note_first(turn, chosen, lease.id)
    return lease


def _candidates(turn: Turn, asker: Asker, mine: Sequence[LeaseRow]) -> list[tuple[HostRow, int]]:
    """Return hosts to check, and how many tasks the session has open on each."""
    held: dict[str, int] = {}
    for lease in mine:
        key = turn.host(lease.host).key
        held[key] = held.get(key, 0) + len(lease.refs)
    found = [(turn.host(key), open_tasks) for key, open_tasks in held.items()]
    # A session with a thousand delayed hosts has taken all planned starts on most of them.
    found = [(host, count) for host, count in found if host.ready_at is not None or room(turn, host, asker, count)]
    return found + [(host, 0) for host in turn.due(HOSTS_PER_TURN) if host.key not in held]


def _offers(turn: Turn, asker: Asker, candidates: Iterator[tuple[HostRow, int]], want: int) -> list[_Offer]:
    """Take hosts that together have room for `want` tasks, and read their queues. Postpone hosts without room."""
    offers = []
    for candidate, open_tasks in candidates:
        host = _paced(turn, candidate)
        starts = room(turn, host, asker, open_tasks)
        spent = budget.spent_for_pages(host, turn.ledger, turn.policy, turn.now)
        if starts or spent:
            offers.append(_Offer(host, open_tasks, starts, spent, *_joined(turn, host)))
            want -= len(starts)
        else:
            _postpone(turn, host)
        if want < 1:
            break
    looked_at = [(offer, each) for offer in offers for each in offer.hosts]
    turn.origins.read(origin for _, each in looked_at for origin in each.origins)
    limits = {ALONE_QUEUE: SUSPECTS_PER_TURN}
    for offer, each in looked_at:
        limits[each.key] = offer.limit
        for origin in _origins(turn, each):
            if _is_open(turn, origin):
                is_hopeless = _is_hopeless(turn, origin)
                limits[origin.origin] = offer.part_of(HOPELESS_PER_QUEUE) if is_hopeless else offer.limit
    turn.read_queues(limits)
    return offers


def _joined(turn: Turn, unit: HostRow) -> tuple[tuple[HostRow, ...], float | None]:
    """Return the hosts of a unit to look at, and when the next of the others is due."""
    if not unit.is_unit:
        return (), None
    most = turn.policy.tuning.hosts_per_look
    found = turn.hosts_of(unit.key, most + 1)
    due = tuple(each for each in found[:most] if each.ready_at is not None and each.ready_at <= turn.now)
    return due, found[len(due)].ready_at if len(due) < len(found) else None


def _lease_waiting(
    turn: Turn, asker: Asker, offers: Sequence[_Offer], candidates: Iterator[tuple[HostRow, int]]
) -> list[LeaseRow]:
    """Lease what waits on the offered hosts, and then on the other candidates, until the asker has enough."""
    granted: list[LeaseRow] = []
    want = ahead = asker.want
    while offers:
        for offer in offers:
            lease = _lease_on(turn, asker, offer, offer.starts[:want])
            if lease is not None:
                granted.append(lease)
                want -= len(lease.refs)
            if want < 1:
                return granted
        # Too little waits on each host: read ever more hosts a call.
        ahead *= WIDER
        offers = _offers(turn, asker, candidates, ahead)
    return granted


def _lease_on(turn: Turn, asker: Asker, offer: _Offer, starts: Sequence[float]) -> LeaseRow | None:
    """Grant what waits on a host, as far as there is room; schedule its next check."""
    host = offer.host
    # Only once: this may request a robots.txt again, and a second call would not return its task.
    waiting = [_waiting(turn, each, offer.limit) for each in offer.hosts]
    tasks, next_at = _first(turn, offer, waiting, DROPPED_PER_TURN if offer.spent else len(starts))
    if offer.spent:
        budget.drop(turn, [task for task in tasks if task.kind is Kind.PAGE], offer.spent)
        others = [task for task in tasks if task.kind is not Kind.PAGE]
        tasks = others[: len(starts)]
        next_at = turn.now if len(tasks) < len(others) else next_at
    if not starts:
        _note_waiting(turn, offer, waiting)
        _postpone(turn, host)
        return None
    allowed = gates.refuse_by_robots(turn, admission.as_they_are_now(turn, tasks))
    is_all = len(tasks) < len(starts)
    chosen = allowed[: share(turn, host, asker, offer.open_tasks, len(allowed))] if is_all else allowed
    lease = lease_out(turn, chosen, starts, asker, offer.open_tasks)
    if len(lease.refs if lease is not None else ()) < len(chosen):
        # The budget holds some of them back, until a place is given back or the budget is spent; or its first answer.
        next_at = turn.now + PAUSE_S
    elif len(chosen) < len(allowed):
        next_at = turn.now
    _note_waiting(turn, offer, waiting)
    _schedule_check(turn, host.key, next_at)
    return lease


def _waiting(turn: Turn, host: HostRow, limit: int) -> Ready:
    """Return what waits on a host behind open gates, and when to check for more."""
    queues = [turn.ready(host.key, limit), *(_behind_gate(turn, origin, limit) for origin in _origins(turn, host))]
    times = [queue.next_at for queue in queues if queue.next_at is not None]
    return Ready(tuple(task for queue in queues for task in queue.tasks), min(times, default=None))


def _first(turn: Turn, offer: _Offer, waiting: Sequence[Ready], limit: int) -> tuple[list[TaskRow], float | None]:
    """Return the first of the tasks that wait on some hosts, and when to check for more on any host of their unit."""
    tasks = [task for each in waiting for task in each.tasks]
    tasks.sort(key=lambda task: (task.queue != task.host, task.rank, task.order))
    times = [at for at in (offer.others_at, *(each.next_at for each in waiting)) if at is not None]
    next_at = turn.now if len(tasks) > limit else min(times, default=None)
    return tasks[:limit], next_at


def _note_waiting(turn: Turn, offer: _Offer, waiting: Sequence[Ready]) -> None:
    """Note when something may wait on the hosts of a unit that were looked at; while others are due, they go last."""
    are_others_due = offer.others_at is not None and offer.others_at <= turn.now
    for host, found in zip(offer.joined, waiting[1:], strict=True):
        row = existing(turn.hosts[host.key])
        is_left = any(existing(turn.tasks[task.ref]).state is TaskState.PENDING for task in found.tasks)
        next_at = turn.now if is_left else found.next_at
        if next_at is not None and next_at <= turn.now and not are_others_due:
            next_at = row.ready_at
        if next_at != row.ready_at:
            turn.put(succeed(row, ready_at=next_at))


def _behind_gate(turn: Turn, origin: OriginRow, limit: int) -> Ready:
    """Return what waits behind an open gate; request its robots.txt again if that is due."""
    if not _is_open(turn, origin):
        return Ready((), None)
    is_hopeless = _is_hopeless(turn, origin)
    queue = turn.ready(origin.origin, HOPELESS_PER_QUEUE if is_hopeless else limit)
    is_ignored = robots.is_ignored(origin.origin, turn.policy)
    if queue.tasks and not is_ignored and gates.is_overdue(origin, turn.now):
        after, task = gates.recheck(turn, origin)
        return Ready((task, *(() if gates.holds_back(after) else queue.tasks)), turn.now)
    if is_hopeless:
        gates.refuse_by_robots(turn, queue.tasks)
        return Ready((), queue.next_at)
    return queue


def _origins(turn: Turn, host: HostRow) -> list[OriginRow]:
    return [row for row in map(turn.origins.__getitem__, host.origins) if row is not None]


def _is_open(turn: Turn, origin: OriginRow) -> bool:
    """Say whether the tasks behind an origin's gate may be granted or dropped now."""
    return robots.is_ignored(origin.origin, turn.policy) or not gates.holds_back(origin)


def _is_hopeless(turn: Turn, origin: OriginRow) -> bool:
    """Say whether nothing behind a gate may be fetched."""
    return origin.gate is Gate.DISALLOW and not robots.is_ignored(origin.origin, turn.policy)


def _suspect(turn: Turn, asker: Asker) -> TaskRow | None:
    """Return a suspect that this session may get once it is empty. Drop suspects whose host's budget is spent."""
    suspects = turn.ready(ALONE_QUEUE, SUSPECTS_PER_TURN).tasks
    if not suspects:
        return None
    turn.read_hosts(task.host for task in suspects)
    for task in suspects:
        reason = budget.spent_for_pages(turn.host(task.host), turn.ledger, turn.policy, turn.now)
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
    """Lease a suspect alone, unless robots.txt refuses it."""
    one = msgspec.structs.replace(asker, want=1)
    turn.origins.read([suspect.gate])
    starts = room(turn, _paced(turn, turn.host(suspect.host)), one)
    allowed = gates.refuse_by_robots(turn, [suspect] if starts else [])
    lease = lease_out(turn, allowed, starts, one)
    return [lease] if lease is not None else []


def _paced(turn: Turn, host: HostRow) -> HostRow:
    """Return a host with the delay that the job asks for now: the job may have changed since the last request."""
    after = politeness.delayed(host, turn.policy, turn.now)
    if after is not host:
        turn.put(after)
    return after


def _postpone(turn: Turn, host: HostRow) -> None:
    """Schedule the next check of a host, after a check that found no room on it for any session."""
    host = turn.host(host.key)
    if host.ready_at is None or host.ready_at > turn.now:
        return
    if politeness.is_full(host, turn.policy) or not politeness.planned_starts(host, turn.now, turn.policy, 1):
        _schedule_check(turn, host.key, turn.now)


def _schedule_check(turn: Turn, key: str, next_at: float | None) -> None:
    """Schedule the next check of a host: `next_at` is when something may wait there, None if nothing does."""
    host = turn.host(key)
    if host.ready_at is not None:
        turn.put(succeed(host, ready_at=None))
    if next_at is not None:
        awaken_host(turn, key, next_at)
