"""Giving out: leases for a session that asks, and taking back what it gives up or can no longer do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial

from coordinator.core import budget, leases
from coordinator.core.facts import Facts
from coordinator.core.leases import Asker
from coordinator.core.rows import ALONE_QUEUE, Gate, HostRow, LeaseRow, TaskRow, TaskState
from coordinator.frontier.reading import read_hosts, read_leases, read_origins, read_tasks
from coordinator.members import Member, Members
from coordinator.turns import Turns

HOSTS_PER_TURN = 64
SUSPECTS_PER_TURN = 64
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
        for key, open_tasks in self._candidates(mine, now):
            asker = Asker(session=member.id, want=want, sessions=len(self._members), open_tasks=open_tasks)
            lease = self._turns.run(partial(self._look, key, asker, now=now))
            if lease is not None:
                granted.append(lease)
                want -= len(lease.refs)
            if want < 1:
                break
        return granted

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

    def _candidates(self, mine: Sequence[LeaseRow], now: float) -> Iterator[tuple[str, int]]:
        """Yield hosts to look at, and how many tasks the session has open there."""
        held: dict[str, int] = {}
        for lease in mine:
            held[lease.host] = held.get(lease.host, 0) + len(lease.refs)
        yield from held.items()
        yield from ((host.key, 0) for host in self._store.due(now, HOSTS_PER_TURN) if host.key not in held)

    def _look(self, key: str, asker: Asker, facts: Facts, now: float) -> LeaseRow | None:
        """Grant what waits on a host, as far as there is room; set when to look at it next."""
        read_hosts(facts, self._store, [key])
        host = facts.host(key)
        starts = leases.room(host, asker, self._policy, now)
        if not starts:
            leases.postpone(facts, key, self._policy, now)
            return None
        tasks, next_at = self._waiting(host, len(starts), facts, now)
        allowed = leases.refuse_by_robots(tasks, facts, self._policy)
        lease = leases.grant(allowed, starts, asker, facts, self._policy)
        if len(lease.refs if lease is not None else ()) < len(allowed):
            # The budget keeps some of them here, until a place is given back or the last is spent.
            next_at = now + BUDGET_PAUSE_S
        leases.look_again(facts, key, self._policy, now, next_at)
        return lease

    def _waiting(self, host: HostRow, limit: int, facts: Facts, now: float) -> tuple[list[TaskRow], float | None]:
        """Return what waits on a host behind open gates, and when to look for more."""
        read_origins(facts, self._store, host.origins)
        rows = (facts.origins[origin] for origin in host.origins)
        gates = [row.origin for row in rows if row is not None and row.gate is not Gate.WAITING]
        queues = [self._store.ready(queue, now, limit) for queue in (host.key, *gates)]
        tasks = [task for queue in queues for task in queue.tasks]
        tasks.sort(key=lambda task: (task.queue != host.key, task.depth, task.order))
        times = [queue.next_at for queue in queues if queue.next_at is not None]
        next_at = now if len(tasks) > limit else min(times, default=None)
        return tasks[:limit], next_at

    def _suspect_for(self, member: Member, now: float) -> TaskRow | None:
        """Return a suspect that may be granted now to this session, once it is empty; let one session become so."""
        suspects = self._store.ready(ALONE_QUEUE, now, SUSPECTS_PER_TURN).tasks
        hosts = self._store.hosts({task.host for task in suspects})
        asker = Asker(session=member.id, want=1, sessions=len(self._members))
        payable = budget.affordable(suspects, self._store.ledger(), self._policy)
        grantable = (task for task in payable if leases.room(hosts[task.host], asker, self._policy, now))
        suspect = next(grantable, None)
        bearer = self._members.suspect_bearer()
        member.cleared_for_suspect = suspect is not None and bearer in (None, member)
        return suspect

    def _grant_suspect(self, suspect: TaskRow, member: Member, now: float) -> list[LeaseRow]:
        asker = Asker(session=member.id, want=1, sessions=len(self._members))
        lease = self._turns.run(lambda facts: self._look_at_suspect(suspect.ref, asker, facts, now))
        return [lease] if lease is not None else []

    def _look_at_suspect(self, ref: bytes, asker: Asker, facts: Facts, now: float) -> LeaseRow | None:
        read_tasks(facts, self._store, [ref])
        task = facts.tasks[ref]
        if task is None or task.state is not TaskState.PENDING:
            return None
        read_hosts(facts, self._store, [task.host])
        starts = leases.room(facts.host(task.host), asker, self._policy, now)
        return leases.grant([task], starts, asker, facts, self._policy) if starts else None

    def _release(self, lease: LeaseRow, started: set[bytes], facts: Facts, now: float) -> None:
        self._read(lease, facts)
        leases.release(lease, started, facts, self._policy, now)

    def _lose(self, lease: LeaseRow, started: set[bytes], facts: Facts, now: float) -> None:
        self._read(lease, facts)
        leases.lose(lease, started, facts, self._policy, now)

    def _read(self, lease: LeaseRow, facts: Facts) -> None:
        read_tasks(facts, self._store, lease.refs)
        read_hosts(facts, self._store, [lease.host])
        read_leases(facts, self._store, [lease.id])
