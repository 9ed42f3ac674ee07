"""Giving out: leases for a session that asks, and taking back what it gives up or can no longer do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from crawlfleet.coordinator.conduct.members import Member, Members
from crawlfleet.coordinator.conduct.turns import Turns
from crawlfleet.coordinator.core import budget, gates, leases, politeness, robots
from crawlfleet.coordinator.core.facts import Facts
from crawlfleet.coordinator.core.leases import Asker
from crawlfleet.coordinator.core.rows import ALONE_QUEUE, Gate, HostRow, LeaseRow, OriginRow, TaskRow, TaskState
from crawlfleet.coordinator.frontier.port import Ready
from crawlfleet.coordinator.frontier.reading import read_hosts, read_judged, read_leases, read_origins, read_tasks
from crawlfleet.shared.messages import Kind

HOSTS_PER_TURN = 64
SUSPECTS_PER_TURN = 64
DROPPED_PER_TURN = 1_000
HOPELESS_PER_LOOK = 1_000
BUDGET_PAUSE_S = 0.1


class Granting:
    """The shell around the rules of leases."""

    def __init__(self, turns: Turns, members: Members) -> None:
        self._turns = turns
        self._store = turns.store
        self._policy = turns.policy
        self._members = members

    def grant(self, member: Member, want: int, now: float) -> list[LeaseRow]:
        """Grant a session up to `want` tasks: first on hosts that it holds, then on those that are due."""
        mine = self._store.leases_of(member.id)
        if want < 1:
            member.cleared_for_suspect = False
            return []
        suspect = self._suspect_for(member, now)
        if any(lease.alone for lease in mine) or (suspect is not None and member.cleared_for_suspect):
            return self._grant_suspect(suspect, member, now) if suspect is not None and not mine else []
        granted: list[LeaseRow] = []
        for key, open_tasks in self._candidates(member, mine, now):
            asker = self._asker(member, want, open_tasks)
            self._drop_spent(key, now)
            lease = self._turns.run(partial(self._look, key, asker, now=now))
            if lease is not None:
                granted.append(lease)
                want -= len(lease.refs)
            if want < 1:
                break
        return granted

    def recalled(self, mine: Sequence[LeaseRow]) -> tuple[int, ...]:
        """Name those of a session's leases under which nothing more may start, though they go on."""
        hosts = self._units({lease.host for lease in mine})
        return tuple(lease.id for lease in mine if politeness.is_recalled(hosts[lease.host], lease))

    def release(self, ids: Collection[int], member: Member, now: float) -> None:
        """Take back leases that a session gives up."""
        for lease in self._store.leases_of(member.id) if ids else ():
            if lease.id in ids:
                started = member.started.get(lease.id, set())
                self._turns.run(partial(self._release, lease, started, now=now))

    def lose(self, session: str, member: Member | None, now: float) -> None:
        """Take back all that a lost session holds."""
        for lease in self._store.leases_of(session):
            started = member.started.get(lease.id, set()) if member is not None else set()
            self._turns.run(partial(self._lose, lease, started, now=now))

    def _candidates(self, member: Member, mine: Sequence[LeaseRow], now: float) -> Iterator[tuple[str, int]]:
        """Yield hosts to look at, and how many tasks the session has open there."""
        held: dict[str, int] = {}
        units = self._units({lease.host for lease in mine})
        for lease in mine:
            key = units[lease.host].key
            held[key] = held.get(key, 0) + len(lease.refs)
        for host in {unit.key: unit for unit in units.values()}.values():
            # Most of a thousand spaced hosts have all the starts that they may have: that is seen without a turn.
            asker = self._asker(member, 1, held[host.key])
            if host.ready_at is not None or leases.room(host, asker, self._policy, now):
                yield host.key, held[host.key]
        yield from ((host.key, 0) for host in self._store.due(now, HOSTS_PER_TURN) if host.key not in held)

    def _units(self, keys: Collection[str]) -> dict[str, HostRow]:
        """Return hosts by their names, or the units that they joined."""
        rows = self._store.hosts(keys)
        joined = {row.unit for row in rows.values() if row.unit}
        units = self._store.hosts(joined) if joined else {}
        return {key: units.get(row.unit, row) for key, row in rows.items()}

    def _asker(self, member: Member, want: int, open_tasks: int = 0) -> Asker:
        return Asker(session=member.id, want=want, sessions=len(self._members), open_tasks=open_tasks)

    def _look(self, key: str, asker: Asker, facts: Facts, now: float) -> LeaseRow | None:
        """Grant what waits on a host, as far as there is room; set when to look at it next."""
        read_hosts(facts, self._store, [key])
        host = leases.paced(key, facts, self._policy, now)
        starts = leases.room(host, asker, self._policy, now)
        if not starts:
            leases.postpone(facts, key, self._policy, now)
            return None
        tasks, next_at = self._waiting(host, len(starts), facts, now)
        allowed = leases.refuse_by_robots(tasks, facts, self._policy)
        is_all = len(tasks) < len(starts)
        share = allowed[: leases.share(host, asker, self._policy, len(allowed))] if is_all else allowed
        lease = leases.grant(share, starts, asker, facts, self._policy, now)
        if len(lease.refs if lease is not None else ()) < len(share):
            # The budget keeps some of them here, until a place is given back or the last is spent.
            next_at = now + BUDGET_PAUSE_S
        elif len(share) < len(allowed):
            next_at = now
        leases.look_again(facts, key, self._policy, now, next_at)
        return lease

    def _drop_spent(self, key: str, now: float) -> None:
        """Drop what waits on a host whose budget is spent, as far as it can be seen now."""
        if budget.counts_hosts(self._policy):
            (host,) = self._units([key]).values()
            reason = budget.spent_on(host, self._policy, now)
            if reason:
                self._turns.run(partial(self._drop_waiting, host, reason, now=now))

    def _drop_waiting(self, host: HostRow, reason: str, facts: Facts, now: float) -> None:
        tasks, _ = self._waiting(host, DROPPED_PER_TURN, facts, now)
        self._drop([task for task in tasks if task.kind is Kind.PAGE], reason, facts)

    def _drop(self, tasks: Sequence[TaskRow], reason: str, facts: Facts) -> None:
        read_hosts(facts, self._store, (task.host for task in tasks))
        budget.drop(tasks, reason, facts, self._policy)

    def _drop_spent_suspects(self, suspects: Sequence[TaskRow], hosts: Mapping[str, HostRow], now: float) -> None:
        pages = [task for task in suspects if task.kind is Kind.PAGE]
        reasons = [(task, budget.spent_on(hosts[task.host], self._policy, now)) for task in pages]
        for reason in {reason for _, reason in reasons if reason}:
            self._turns.run(partial(self._drop, [task for task, why in reasons if why == reason], reason))

    def _waiting(self, host: HostRow, limit: int, facts: Facts, now: float) -> tuple[list[TaskRow], float | None]:
        """Return what waits on a host behind open gates, and when to look for more."""
        read_origins(facts, self._store, host.origins)
        rows = (facts.origins[origin] for origin in host.origins)
        own = (host.key, *host.names)
        read_hosts(facts, self._store, host.names)
        queues = [self._store.ready(queue, now, limit) for queue in own]
        queues += [self._behind_gate(row, limit, facts, now) for row in rows if row is not None]
        tasks = [task for queue in queues for task in queue.tasks]
        tasks.sort(key=lambda task: (task.queue not in own, task.rank, task.order))
        times = [queue.next_at for queue in queues if queue.next_at is not None]
        next_at = now if len(tasks) > limit else min(times, default=None)
        return tasks[:limit], next_at

    def _behind_gate(self, origin: OriginRow, limit: int, facts: Facts, now: float) -> Ready:
        """Return what waits behind a gate that is open; have its robots.txt asked for again if that is due."""
        if robots.is_ignored(origin.origin, self._policy):
            return self._store.ready(origin.origin, now, limit)
        if gates.holds_back(origin):
            return Ready((), None)
        is_hopeless = origin.gate is Gate.DISALLOW
        queue = self._store.ready(origin.origin, now, HOPELESS_PER_LOOK if is_hopeless else limit)
        if queue.tasks and gates.is_overdue(origin, now):
            read_tasks(facts, self._store, [robots.task_ref(origin.origin)])
            after, task = gates.recheck(origin, facts, self._policy, now)
            return Ready((task, *(() if gates.holds_back(after) else queue.tasks)), now)
        if is_hopeless:
            leases.refuse_by_robots(queue.tasks, facts, self._policy)
            return Ready((), queue.next_at)
        return queue

    def _suspect_for(self, member: Member, now: float) -> TaskRow | None:
        """Return a suspect that may be granted now to this session, once it is empty; let one session become so."""
        suspects = self._store.ready(ALONE_QUEUE, now, SUSPECTS_PER_TURN).tasks
        hosts = self._units({task.host for task in suspects})
        asker = self._asker(member, 1)
        if budget.counts_hosts(self._policy):
            self._drop_spent_suspects(suspects, hosts, now)
        suspect = next((task for task in suspects if self._can_grant(task, hosts[task.host], asker, now)), None)
        bearer = self._members.suspect_bearer()
        member.cleared_for_suspect = suspect is not None and bearer in (None, member)
        return suspect

    def _can_grant(self, task: TaskRow, host: HostRow, asker: Asker, now: float) -> bool:
        payable = budget.affordable([task], host, self._store.ledger(), self._policy, now)
        return bool(payable and leases.room(host, asker, self._policy, now))

    def _grant_suspect(self, suspect: TaskRow, member: Member, now: float) -> list[LeaseRow]:
        asker = self._asker(member, 1)
        lease = self._turns.run(lambda facts: self._look_at_suspect(suspect.ref, asker, facts, now))
        return [lease] if lease is not None else []

    def _look_at_suspect(self, ref: bytes, asker: Asker, facts: Facts, now: float) -> LeaseRow | None:
        read_tasks(facts, self._store, [ref])
        task = facts.tasks[ref]
        if task is None or task.state is not TaskState.PENDING:
            return None
        read_hosts(facts, self._store, [task.host])
        read_origins(facts, self._store, [task.gate])
        host = leases.paced(task.host, facts, self._policy, now)
        starts = leases.room(host, asker, self._policy, now)
        allowed = leases.refuse_by_robots([task] if starts else [], facts, self._policy)
        return leases.grant(allowed, starts, asker, facts, self._policy, now)

    def _release(self, lease: LeaseRow, started: set[bytes], facts: Facts, now: float) -> None:
        self._read(lease, facts)
        leases.release(lease, started, facts, self._policy, now)

    def _lose(self, lease: LeaseRow, started: set[bytes], facts: Facts, now: float) -> None:
        self._read(lease, facts)
        leases.lose(lease, started, facts, self._policy, now)

    def _read(self, lease: LeaseRow, facts: Facts) -> None:
        read_tasks(facts, self._store, lease.refs)
        rows = [row for row in (facts.tasks[ref] for ref in lease.refs) if row is not None]
        read_judged(facts, self._store, [row.origin for row in rows if row.kind is Kind.ROBOTS])
        read_hosts(facts, self._store, [lease.host, *(row.host for row in rows)])
        read_leases(facts, self._store, [lease.id])
