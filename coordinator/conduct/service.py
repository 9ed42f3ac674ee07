"""The coordinator's conduct: who is a member, what an exchange does, when the crawl is over.

It has no thread and no clock of its own: every call is given `now` in crawl time, never waits, and is made by one
thread at a time, so that a simulator can drive the very thing that serves a crawl. What a call changes is durable, and
its answer may leave, only after the next `flush`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from crawlfleet.coordinator.conduct.granting import Granting
from crawlfleet.coordinator.conduct.intake import Intake
from crawlfleet.coordinator.conduct.members import Members
from crawlfleet.coordinator.conduct.turns import Journal, Turns
from crawlfleet.coordinator.core import admission, budget, sitemaps
from crawlfleet.coordinator.core.admission import Link
from crawlfleet.coordinator.core.facts import Facts
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.primitives import Locks, Values, session_of
from crawlfleet.coordinator.core.rows import LeaseRow, TaskState
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.coordinator.frontier.reading import read_hosts
from crawlfleet.shared.errors import Unreachable, VersionError
from crawlfleet.shared.messages import (
    PROTOCOL_MAJOR,
    Ack,
    Brief,
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Lease,
    ScopeSpec,
    Task,
    Welcome,
)
from crawlfleet.shared.web.url_policy import policy_of

DROPPED_PER_FLUSH = 1_000
BUSY_IDLE_S = 0.05
LONGEST_IDLE_S = 1.0


class Service:
    """One crawl's frontier, as its server and its simulator see it."""

    def __init__(
        self, store: Store, policy: Policy, brief: Brief, epoch: int, journal: Journal, now: float = 0.0
    ) -> None:
        self._store = store
        self._policy = policy
        self._brief = brief
        self._epoch = epoch
        self.urls = policy_of(policy.urls)
        self._members = Members()
        self._turns = Turns(store, policy, journal)
        self._intake = Intake(self._turns, brief.max_outlinks)
        self._granting = Granting(self._turns, self._members)
        self._has_to_look_back = bool(store.ledger().scope_hosts)
        self._reopen(now)
        self.locks = Locks()
        self.values = Values()

    @property
    def sessions(self) -> int:
        """How many sessions are members now."""
        return len(self._members)

    def open_tasks(self) -> int:
        """Return how many tasks are not in a final state."""
        return self._count(TaskState.PENDING) + self._count(TaskState.LEASED)

    @property
    def is_finished(self) -> bool:
        """Whether every task is in a final state, for good: nothing waits, is leased, or is to be judged again."""
        return self.open_tasks() == 0 and not self._has_to_look_back

    def add_seeds(self, urls: Iterable[str], now: float, maps: Iterable[str] = ()) -> None:
        """Admit URLs, canonical by the standard, at depth 0: of pages, and of sitemaps (`maps`)."""
        seeds = dict.fromkeys(map(self.urls.apply, urls))
        links = [Link(url=url, depth=0, seed=True, always=True) for url in seeds]
        self._intake.admit([*links, *map(sitemaps.seed_link, maps)], now)

    def reconsider(self, now: float) -> None:
        """Judge all known pages again, since the job has changed."""
        self._intake.reconsider(now)

    def put(self, url: str, now: float) -> str:
        """Admit one canonical URL at depth 0; return the name of the rule that refuses it, or ``."""
        scope = admission.scope_of(self._policy.scope, self._store.ledger().scope_hosts)
        refusal = scope.refuses(url) if self.urls.is_canonical(url) else "not_canonical"
        if not refusal:
            self._intake.admit([Link(url=url, depth=0)], now)
        return refusal

    def hello(self, hello: Hello, now: float) -> Welcome:
        """Make a session a member; raise `VersionError` if it speaks another major version of the protocol."""
        if hello.protocol_major != PROTOCOL_MAJOR:
            raise VersionError(
                f"the worker speaks protocol {hello.protocol_major}, the coordinator {PROTOCOL_MAJOR}: "
                "install the same version of crawlfleet on both machines"
            )
        if hello.replaces:
            dead = self._members.get(hello.replaces)
            if dead is not None:
                dead.note_started(hello.began)
            self._lose(hello.replaces, now)
        self._members.welcome(hello.session, hello.worker, now + self._policy.lease_s)
        brief = msgspec.structs.replace(self._brief, scope=self._scope())
        return Welcome(epoch=self._epoch, lease_s=self._policy.lease_s, brief=brief)

    def goodbye(self, session: str, now: float) -> None:
        """Let a session go. What it still holds goes back, under no suspicion; but it may have begun just now."""
        member = self._members.part(session)
        if member is not None:
            held = self._store.leases_of(session)
            member.note_started((lease.id, ref) for lease in held for ref in lease.refs)
            self._granting.release({lease.id for lease in held}, member, now)
        self.locks.free(session)

    def exchange(self, request: ExchangeRequest, now: float) -> ExchangeAnswer:
        """Take reports, renew the session, grant what it may have. Answers at once."""
        member = self._members.get(request.session)
        if member is None:
            return ExchangeAnswer(known=False, idle_s=0.0)
        member.alive_until = now + self._policy.lease_s
        member.note_started(request.started)
        acks = self._take(request, now)
        self._granting.release(request.released, member, now)
        mine = self._store.leases_of(member.id)
        member.forget_ended({lease.id for lease in mine})
        holding = frozenset(request.holding)
        again = [lease for lease in mine if lease.id not in holding]
        fresh = self._granting.grant(member, request.want, now)
        finished = self.is_finished
        return ExchangeAnswer(
            acks=acks,
            leases=tuple(self._as_message(lease, now) for lease in (*again, *fresh)),
            lost=tuple(holding - {lease.id for lease in mine}),
            idle_s=0.0 if finished else self._idle_s(now),
            finished=finished,
            scope=member.news_of(self._scope()),
            recalled=self._granting.recalled(mine),
        )

    def flush(self, now: float) -> None:
        """Take back what overdue sessions hold, drop what is beyond the budget, and commit."""
        for member in self._members.overdue(now):
            self._lose(member.id, now)
        reason = budget.spent(self._store.ledger(), self._policy, now)
        if reason:
            self._turns.run(partial(self._drop_some, reason))
        self._look_back(now)
        self._store.commit(now)

    def acquire(self, name: str, owner: str) -> int:
        """Try to take a lock for a session; return its fencing number, or 0. Raise `Unreachable` if it is no member."""
        if self._members.get(session_of(owner)) is None:
            raise Unreachable("only a session that has said hello can hold a lock: this one is not known (any more)")
        return self.locks.acquire(name, owner)

    def _take(self, request: ExchangeRequest, now: float) -> tuple[Ack, ...]:
        """Settle reports; note whether a seed's redirect let a host join the scope: what it refused is judged again."""
        joined = self._store.ledger().scope_hosts
        acks = self._intake.take(request.reports, request.session, now)
        if self._store.ledger().scope_hosts is not joined:
            self._has_to_look_back = True
        self._look_back(now)
        return acks

    def _look_back(self, now: float) -> None:
        """Judge again what was refused on hosts that have joined the scope since: once, when nothing else is left."""
        if self._has_to_look_back and self.open_tasks() == 0:
            self._has_to_look_back = False
            if self._store.verdicts().get((TaskState.DROPPED, "host")):
                self._intake.reconsider(now, frozenset({"host"}))

    def _reopen(self, now: float) -> None:
        """Let leases of an earlier incarnation live on for one lease time: their workers may still report."""
        for session in self._store.holders():
            self._members.welcome(session, "", now + self._policy.lease_s)

    def _lose(self, session: str, now: float) -> None:
        self.locks.free(session)
        self._granting.lose(session, self._members.part(session), now)

    def _drop_some(self, reason: str, facts: Facts) -> None:
        tasks = self._store.waiting(DROPPED_PER_FLUSH)
        read_hosts(facts, self._store, (task.host for task in tasks))
        budget.drop(tasks, reason, facts, self._policy)

    def _count(self, state: TaskState) -> int:
        return sum(count for (_, each), count in self._store.counts().items() if each is state)

    def _scope(self) -> ScopeSpec:
        return admission.scope_of(self._policy.scope, self._store.ledger().scope_hosts).spec

    def _as_message(self, lease: LeaseRow, now: float) -> Lease:
        """Return a lease as its worker sees it, its starts relative to now."""
        starts = dict(lease.starts)
        rows = self._store.tasks(lease.refs)
        tasks = tuple(
            Task(
                ref=ref,
                kind=rows[ref].kind,
                url=rows[ref].url,
                depth=rows[ref].depth,
                attempt=rows[ref].attempt,
                start_after_s=max(0.0, starts[ref] - now),
            )
            for ref in lease.refs
        )
        return Lease(id=lease.id, host=lease.host, tasks=tasks, spacing_s=lease.spacing_s, slots=lease.slots)

    def _idle_s(self, now: float) -> float:
        """Return how long a worker with nothing to say may wait before something may be due."""
        if self._count(TaskState.LEASED):
            return BUSY_IDLE_S
        due_at = self._store.next_due_at()
        return LONGEST_IDLE_S if due_at is None else min(LONGEST_IDLE_S, max(BUSY_IDLE_S, due_at - now))
