"""What programs ask of the coordinator of a simulation, and what must hold of that over all its incarnations.

an answer that has left is true of what every later incarnation finds in its files
the crawl is not said to be over while a pool is open whose session cannot have been lost
what is taken back is wanted by nobody, or by somebody else
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from crawlfleet.coordinator.core.rows import FINAL, TaskState
from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Hello, Welcome, decode
from crawlfleet.shared.pools import AskReply, AskRequest, CancelReply, CancelRequest, Settled, SettledPage
from tests.property.crawl_program import Program, check_answer, pages_of

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class PoolLaws:
    """The calls that programs make, each judged. Those that take a time are run by the coordinator's loop."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        #: Answers that have left, each with the address that was asked for.
        self._told: list[tuple[Settled, str]] = []
        #: The sessions whose open pools are committed.
        self._holding: set[str] = set()
        #: The crawl time until which a session cannot be lost: it is renewed by an exchange, not by an ask.
        self._alive_until: dict[str, float] = {}
        self._opened: list[str] = []
        self._opening: list[str] = []
        self._followed: set[str] = set()

    def begin_commit(self) -> frozenset[str]:
        """Note that a commit begins; return the pages that were asked for as seeds since the last time."""
        self._opening, self._opened = self._opened, []
        followed = frozenset(self._followed)
        self._followed.clear()
        return followed

    def committed(self) -> None:
        """Note that it is done."""
        self._holding.update(self._opening)

    def begin_epoch(self, now: float) -> None:
        """Check all that was told against what was found; whoever holds a pool has another lease time."""
        self._opened.clear()
        self._opening.clear()
        self._followed.clear()
        until = now + self._machine.policy.lease_s
        self._holding = {session for session in self._holding if now < self._alive_until.get(session, 0.0)}
        self._alive_until = dict.fromkeys(self._holding, until)
        for settled, asked in self._told:
            check_answer(settled, asked, self._machine.mirror)

    def forget(self) -> None:
        """Forget what commits promised that are lost."""
        self._told.clear()
        self._holding.clear()

    def check_end(self, now: float) -> None:
        """The crawl is said to be over: nobody may hold it open."""
        for session in self._holding:
            assert now >= self._alive_until.get(session, 0.0), f"the crawl is over, though {session} has a pool open"

    def hello(self, hello: Hello) -> Callable[[float], Welcome]:
        """Return the call of a hello."""

        def call(now: float) -> Welcome:
            welcome = self._machine.service.hello(hello, now)
            self._renew(hello.session, now)
            return welcome

        return call

    def beat(self, session: str) -> Callable[[float], ExchangeAnswer]:
        """Return the call of an exchange that asks for no tasks."""
        exchange = self._machine.exchange_call(ExchangeRequest(session=session))

        def call(now: float) -> ExchangeAnswer:
            answer = exchange(now)
            if answer.known:
                self._renew(session, now)
            else:
                self._holding.discard(session)
            return answer

        return call

    def goodbye(self, session: str) -> Callable[[float], bool]:
        """Return the call of a goodbye."""

        def call(now: float) -> bool:
            self._holding.discard(session)
            self._machine.service.goodbye(session, now)
            return True

        return call

    def ask(self, request: AskRequest) -> Callable[[float], AskReply]:
        """Return the call of an ask."""

        def call(now: float) -> AskReply:
            machine = self._machine
            reply = machine.service.pools.ask(request, now)
            machine.wished |= pages_of(machine.site, request, reply)
            followed = pages_of(machine.site, request, reply, only_followed=True)
            machine.followed |= followed
            self._followed |= followed
            if not reply.finished:
                self._opened.append(request.session)
            return reply

        return call

    def cancel(self, request: CancelRequest) -> Callable[[float], CancelReply]:
        """Return the call of a cancellation."""

        def call(now: float) -> CancelReply:
            asks, tasks = self._machine.service.pools._asks, self._machine.mirror.tasks
            waited = {ticket: asks.awaited(request.session, ticket) for ticket in request.tickets}
            reply = self._machine.service.pools.cancel(request, now)
            for ticket, ref in waited.items():
                if ref is None:
                    continue
                task = tasks[ref]
                if ticket in reply.staying:
                    assert task.state is not TaskState.PENDING, f"{task} waits, and is not taken back"
                    assert asks.awaited(request.session, ticket) == ref
                else:
                    assert ref in asks._waiting or task.state in FINAL or not task.asked, f"nobody asks for {task}"
            return reply

        return call

    def close(self, session: str, pool: int, *, is_last: bool) -> Callable[[float], bool]:
        """Return the call that closes a pool."""

        def call(now: float) -> bool:
            if is_last:
                self._holding.discard(session)
            self._machine.service.pools.close(session, pool, now)
            return True

        return call

    def collect(self, program: Program, after: int) -> SettledPage:
        """Return the answers to a program's asks; what leaves here is a promise."""
        page = decode(self._machine.pool_post.collect(program.session, after, 0.0), SettledPage)
        for settled in page.settled:
            asked = program.tickets[settled.ticket].ask.url
            check_answer(settled, asked, self._machine.mirror)
            self._told.append((settled, asked))
        return page

    def _renew(self, session: str, now: float) -> None:
        """A session is alive; if it may have been lost before, it may hold nothing any more."""
        if now >= self._alive_until.get(session, 0.0):
            self._holding.discard(session)
        self._alive_until[session] = now + self._machine.policy.lease_s
