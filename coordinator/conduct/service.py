"""The coordinator's service: who is a member, what an exchange does, when the crawl is over.

It has no thread and no clock: every call gets `now` in crawl time, never waits, and is made by one thread at a time. So
a simulator can drive the same code that serves a crawl. The changes of a call become durable with the commit that the
next `flush` begins; its answer must not be sent before that is done.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

import msgspec

from crawlfleet.coordinator.conduct.again import Again, Judge
from crawlfleet.coordinator.conduct.idling import idle_s
from crawlfleet.coordinator.conduct.last_waits import LastWaits
from crawlfleet.coordinator.conduct.lease_messages import as_messages
from crawlfleet.coordinator.conduct.led_hosts import LedHosts
from crawlfleet.coordinator.conduct.members import MAX_MEMBERS, Member, Members
from crawlfleet.coordinator.conduct.outgoing import Outgoing
from crawlfleet.coordinator.conduct.pools import Pools
from crawlfleet.coordinator.conduct.programs import Programs
from crawlfleet.coordinator.conduct.seeding import Lines, Portion, Seeding
from crawlfleet.coordinator.conduct.since_commit import SinceCommit
from crawlfleet.coordinator.conduct.turns import OnChanges, Turns
from crawlfleet.coordinator.conduct.waits import Waits
from crawlfleet.coordinator.core import admission, budget, judging, leases, reach, settle
from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.granting import Asker, Grant, grant
from crawlfleet.coordinator.core.latest_scope import scope_of
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.objects import calls
from crawlfleet.coordinator.core.objects.rows import SessionRow
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import LeaseRow, TaskState
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.frontier.port import Conclusion, Frontier
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.errors import Unreachable, VersionError
from crawlfleet.shared.messages import (
    PROTOCOL_MAJOR,
    Ack,
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Kind,
    Report,
    TaskKey,
    Welcome,
)
from crawlfleet.shared.objects import ObjectCall, ObjectReply
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.scope import Scope
from crawlfleet.shared.web.url_policy import policy_of

DROPPED_PER_FLUSH = 1_000


class CallFailed(Exception):
    """The rule of an object's method has a bug. Nothing has changed, and only the caller hears of it."""


class Service:
    """One crawl's frontier, as the server and the simulator call it."""

    def __init__(
        self, store: Frontier, policy: Policy, brief: Brief, epoch: int, journal: OnChanges, now: float = 0.0
    ) -> None:
        self._store = store
        self._policy = policy
        self._brief = brief
        self._epoch = epoch
        self.urls = policy_of(policy.urls)
        self.members = self._members = Members()
        self._programs = Programs()
        self.seeding = Seeding.of((), (), self.urls)
        self._journal = journal
        self._led = LedHosts(store)
        self._since_commit = SinceCommit(policy.tuning)
        self._turns = Turns(store, policy, self._note)
        self.pools = Pools(store, self._turns, policy, epoch, self._programs, self._check_member)
        self._waits = Waits(store)
        self._object_turns = Turns(store, policy, self._waits.note)
        self.outgoing = Outgoing(self._waits, self.pools)
        self._last_waits = LastWaits(store, self._turns, policy.politeness.robots_wait_last_s)
        self._last_waits.call_off(now)
        self._has_to_rejudge = bool(store.ledger().scope_hosts)
        self._rejudging: Again | None = None
        self._reopen(now)

    @property
    def sessions(self) -> int:
        """How many sessions are members now."""
        return len(self._members)

    @property
    def fetching(self) -> int:
        """How many of them ask for tasks."""
        return self._members.fetching

    def open_tasks(self) -> int:
        """Return how many tasks are not in a final state."""
        return self._count(TaskState.PENDING) + self._count(TaskState.LEASED)

    @property
    def is_finished(self) -> bool:
        """Whether no program or seed is awaited, and every task is final for good: none waits, or must be judged."""
        is_judged = not self._has_to_rejudge and self._rejudging is None
        is_settled = self.open_tasks() == 0 and is_judged and not self._led
        return is_settled and self.seeding.is_over and not self.awaits_programs

    @property
    def awaits_programs(self) -> bool:
        """Whether the crawl is kept open for programs."""
        return self._programs.is_awaited

    def wait_for_programs(self) -> None:
        """Keep the crawl open until a program has opened a named object, and all that did have gone."""
        self._programs.wait()

    def program_opened(self, session: str) -> None:
        """Note that a program has opened a named object; raise `Unreachable` if its session is no member."""
        self._check_member(session)
        self._programs.opened(session)

    def expect_seeds(
        self, pages: Sequence[str], maps: Sequence[str] = (), lines: Lines | None = None, *, is_open: bool = False
    ) -> None:
        """Be not finished until these URLs of pages and of sitemaps, and lines, are added; see `Seeding`."""
        self.seeding = Seeding.of(pages, maps, self.urls, lines, is_open=is_open)

    def add_some_seeds(self, now: float, portion: Portion | None = None) -> bool:
        """Admit the next portion of the expected seeds, or one that was taken; say whether more are left."""
        portion = portion or self.seeding.take()
        self.seeding.note(portion, self._turns.run(portion.admit, now))
        return not self.seeding.is_over

    def add_seeds(self, urls: Iterable[str], now: float, maps: Iterable[str] = ()) -> None:
        """Admit URLs of pages, and of sitemaps (`maps`), at depth 0. They must be canonical by the standard."""
        self.expect_seeds(tuple(urls), tuple(maps))
        while self.add_some_seeds(now):
            pass

    def admit(self, links: Sequence[Link], now: float, named: Sequence[Link] = ()) -> None:
        """Admit links in one turn; trust the hosts of links that the job itself names."""
        self._turns.run(Portion(links, named=named).admit, now)

    def judging_again(
        self, judge: Judge = admission.reconsider, reasons: Collection[str] = (), kinds: Collection[Kind] = ()
    ) -> Again:
        """Return known tasks that are to be judged again: all, or those with certain reasons or of certain kinds."""
        return Again(self._store, self._turns, judge, reasons, kinds)

    def put(self, url: str, now: float) -> str:
        """Admit a canonical URL at depth 0; return the name of the rule that refuses it, if any."""
        refusal = self._scope().refuses(url) if self.urls.is_canonical(url) else Reason.NOT_HTTP
        refusal = refusal or reach.refusal_of(Turn(self._store, self._policy, now), url)
        if not refusal:
            self.admit([Link(url=url, depth=0, always=True)], now)
        return refusal

    def hello(self, hello: Hello, now: float) -> Welcome:
        """Make a session a member.

        Raise `VersionError` if it speaks another major version of the protocol, `Unreachable` if there are too many.
        """
        if hello.protocol_major != PROTOCOL_MAJOR:
            raise VersionError(
                f"the worker speaks protocol {hello.protocol_major}, the coordinator {PROTOCOL_MAJOR}: "
                "install the same version of crawlfleet on both machines"
            )
        if hello.replaces:
            self._bury(hello, now)
        if not self._members.has_room_for(hello.session):
            raise Unreachable(f"{MAX_MEMBERS} sessions work for this crawl already: use fewer workers or programs")
        self._members.welcome(hello.session, hello.worker, now + self._policy.lease_s, fetches=hello.fetches)
        if any(row.is_program for row in self._store.rows(SessionRow, (hello.session,)).values()):
            self._programs.opened(hello.session)  # it was lost, and is back
        brief = msgspec.structs.replace(self._brief, scope=self._scope().spec)
        return Welcome(epoch=self._epoch, lease_s=self._policy.lease_s, brief=brief)

    def goodbye(self, session: str, now: float) -> None:
        """End a session; release its leases without suspects. Its hosts rest: a request may just have started."""
        member = self._members.part(session)
        if member is not None:
            held = self._store.leases_of(session)
            member.note_started(((lease.id, ref) for lease in held for ref in lease.refs), held)
            self._release({lease.id for lease in held}, member, now)
        self._end_program(session, now)
        self._lose_objects(session, now, calls.End.GOODBYE)

    def exchange(self, request: ExchangeRequest, now: float, size_bytes: int = 0) -> ExchangeAnswer:
        """Settle reports, renew the session, grant tasks. Answers at once. `size_bytes` is the request's size."""
        member = self._members.get(request.session)
        if member is None:
            return ExchangeAnswer(known=False, idle_s=0.0)
        self._since_commit.note_exchange(size_bytes, now)
        member.alive_until = now + self._policy.lease_s
        member.note_started(request.started, self._store.leases_of(member.id))
        acks = self._settle(request.session, request.reports, now)
        self._release(request.released, member, now, request.alone)
        mine = self._store.leases_of(member.id)
        member.forget_ended({lease.id for lease in mine})
        holding = frozenset(request.holding)
        again = [lease for lease in mine if lease.id not in holding]
        granted = self._grant(member, request.want if self.seeding.may_grant else 0, now)
        # Who is told leaves: nothing may be asked for any more, even if the end has not been noticed elsewhere.
        finished = self.end()
        return ExchangeAnswer(
            acks=acks,
            leases=as_messages(self._store, [*again, *granted.leases], now, self._policy),
            lost=tuple(holding - {lease.id for lease in mine}),
            idle_s=0.0 if finished else idle_s(self._store, self.fetching, self._programs, self.pools, now),
            finished=finished,
            scope=member.news_of(self._scope().spec),
            recalled=granted.recalled,
        )

    def flush(self, now: float, ended: Callable[[], None] = lambda: None) -> Conclusion | None:
        """Take back what overdue sessions hold, drop what is beyond a spent budget, lead on, and begin to commit.

        Call it only when no commit is under way. Return how the commit has ended; if it has not, None: then `ended` is
        called when it has, by any thread, and `conclude` tells.
        """
        for member in self._members.overdue(now):
            self._lose_session(member.id, now)
        reason = budget.spent(self._store.ledger(), self._policy, now)
        if reason:
            self._turns.run(lambda turn: budget.drop_waiting(turn, self._store.waiting(DROPPED_PER_FLUSH), reason), now)
        self._rejudge(now)
        self._led.lead_on(self._turns, self._since_commit.most_links(now), now)
        self._last_waits.look(now, is_idle=self.seeding.is_over and not self._led and self.fetching > 0)
        for ticket in self._waits.take_due(now):
            self._object_turns.run(partial(calls.expire, ticket=ticket), now)
        self.outgoing.begin()
        self._since_commit.begin()
        self._store.commit(now, ended)
        return self.conclude()

    def conclude(self) -> Conclusion | None:
        """Return how the commit under way has ended, None if it has not; once it is done, its answers may be sent."""
        conclusion = self._store.conclude()
        if conclusion is Conclusion.DONE:
            self.outgoing.done()
        return conclusion

    def read_object(self, call: ObjectCall, now: float) -> ObjectReply:
        """Carry out a call that has no number: its method only reads. Raise as `call_object`."""
        self._check_member(call.session)
        return _carry_out(Turn(self._store, self._policy, now), call)

    def call_object(self, call: ObjectCall, now: float, size_bytes: int = 0) -> ObjectReply:
        """Carry out a call of a named object's method. `size_bytes` is the size of its message.

        Raise `Unreachable` if its session is no member, `CallFailed` if a rule fails: then nothing has changed.
        """
        self._check_member(call.session)
        self._since_commit.note(size_bytes)
        reply = self._object_turns.run(partial(_carry_out, call=call), now)
        if not call.hook and not reply.error:
            self.program_opened(call.session)
        return msgspec.structs.replace(reply, value=self._epoch) if reply.waits else reply

    def end(self) -> bool:
        """Take no asks any more if the crawl is finished; say whether it is."""
        self.pools.are_over = self.is_finished
        return self.pools.are_over

    @property
    def is_surely_owned(self) -> bool:
        """Whether no other coordinator can have the crawl yet. If one can, answers have to wait for the next commit."""
        return self._store.is_surely_owned()

    @property
    def is_full(self) -> bool:
        """Whether no further call should wait for the same commit."""
        return self._since_commit.is_full

    @property
    def is_behind(self) -> bool:
        """Whether the next flush has something to do even if nobody calls: for links, tasks, or lost sessions."""
        return bool(self._led) or self._rejudging is not None or self._members.has_overdue

    def next_deadline(self) -> float | None:
        """Return when the next call that waits gives up, in crawl time."""
        return self._waits.next_deadline()

    def _check_member(self, session: str) -> None:
        if self._members.get(session) is None:
            raise Unreachable("only a session that has said hello can use objects: this one is not known (any more)")

    def _note(self, changes: Sequence[Change]) -> None:
        self._journal(changes)
        self.outgoing.note(changes)
        self._led.note(changes)
        self.pools.note(changes)

    def _end_program(self, session: str, now: float) -> None:
        self._programs.gone(session)
        self.pools.end(session, now)

    def _settle(self, session: str, reports: Sequence[Report], now: float) -> tuple[Ack, ...]:
        """Settle reports; if a seed's redirect adds a host to the scope, its refused pages must be judged again."""
        joined = self._store.ledger().scope_hosts
        acks: tuple[Ack, ...] = ()
        if reports:
            acks = self._turns.run(lambda turn: settle.take(turn, session, reports, self._since_commit.room), now)
        if self._store.ledger().scope_hosts is not joined:
            self._has_to_rejudge = True
        self._rejudge(now)
        return acks

    def _rejudge(self, now: float) -> None:
        """Judge pages refused for their host, and checks, again: once, when nothing else is left and hosts joined."""
        if self._has_to_rejudge and not self._led and self.open_tasks() == 0:
            self._has_to_rejudge = False
            if self._store.verdicts(Kind.CHECK) or self._store.verdicts().get((TaskState.DROPPED, Reason.HOST)):
                self._rejudging = self.judging_again(reasons=frozenset({Reason.HOST}), kinds=frozenset({Kind.CHECK}))
        if self._rejudging is not None and not self._rejudging.step(now):
            self._rejudging = None

    def _reopen(self, now: float) -> None:
        """Renew the sessions of an earlier incarnation for one lease time: they may still report, or use objects."""
        holders = {lease.session for lease in self._store.resident(LeaseRow)}
        users = [row for row in self._store.resident(SessionRow) if row.lost_at is None]
        for session in holders.union((row.session for row in users), self.pools.reopen()):
            self._members.welcome(session, "", now + self._policy.lease_s, fetches=session in holders)
        for row in users:
            if row.is_program:
                self._programs.opened(row.session)

    def _grant(self, member: Member, want: int, now: float) -> Grant:
        if want:
            self._members.note_fetching(member)
        bearer = self._members.suspect_bearer()
        asker = Asker(
            session=member.id,
            want=want,
            sessions=self._members.fetching,
            may_be_cleared=bearer in (None, member),
            worker=member.worker or member.id,
        )
        granted = self._turns.run(lambda turn: grant(turn, asker), now)
        member.cleared_for_suspect = granted.is_cleared
        return granted

    def _release(self, ids: Collection[int], member: Member, now: float, alone: Collection[TaskKey] = ()) -> None:
        """Take back leases that a session gives up; those tasks that it names are granted `alone` from now on."""
        if ids:
            self._end(partial(leases.release, alone=frozenset(alone)), member.id, member, now, ids)

    def _bury(self, hello: Hello, now: float) -> None:
        """Take back what a dead worker had. If a limit ended it, that page is settled, and no other is suspected."""
        dead = self._members.get(hello.replaces)
        if dead is not None:
            dead.note_started(hello.began, self._store.leases_of(dead.id))
        self._settle(hello.replaces, [report for report in hello.ended if judging.is_of_limit(report)], now)
        self._lose_session(hello.replaces, now, leases.end_by(hello), calls.End.DEATH)

    def _lose_session(
        self, session: str, now: float, end: leases.End = leases.lose, of_objects: calls.End = calls.End.SILENCE
    ) -> None:
        """Take back all leases and objects of a lost session."""
        self._end_program(session, now)
        self._lose_objects(session, now, of_objects)
        self._end(end, session, self._members.part(session, "was lost"), now)

    def _lose_objects(self, session: str, now: float, end: calls.End) -> None:
        self._object_turns.run(partial(calls.lose, session=session, end=end), now)
        if end is not calls.End.SILENCE:
            self._waits.note_end(session)

    def _end(
        self, end: leases.End, session: str, member: Member | None, now: float, ids: Collection[int] | None = None
    ) -> None:
        """Take back leases of a session in one turn: all, or some."""

        def decide(turn: Turn) -> None:
            over = [lease for lease in turn.leases_of(session) if ids is None or lease.id in ids]
            leases.want(turn, over)
            for lease in over:
                end(turn, lease, member.started_under(lease) if member is not None else ())

        self._turns.run(decide, now)

    def _count(self, state: TaskState) -> int:
        return sum(count for (_, each), count in self._store.counts().items() if each is state)

    def _scope(self) -> Scope:
        return scope_of(self._policy.scope, self._store.ledger().scope_hosts)


def _carry_out(turn: Turn, call: ObjectCall) -> ObjectReply:
    """Carry out a call of an object; an error of its rule is that call's alone, since the turn is dropped."""
    try:
        return calls.call(turn, call)
    except Exception as error:
        raise CallFailed(f"{call.kind[:64]}.{call.method[:64]} failed") from error
