"""The pools of programs: they hold the crawl open, and ask for pages. A part of the service: no thread, no clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial

from crawlfleet.coordinator.conduct.asks import Answered, Asks
from crawlfleet.coordinator.conduct.programs import Programs
from crawlfleet.coordinator.conduct.turns import Turns
from crawlfleet.coordinator.core import asking
from crawlfleet.coordinator.core.asking import Wish
from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.pool_rows import PoolRow
from crawlfleet.coordinator.core.rows import TaskRow, TaskState, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.pools import (
    MAX_ASKS,
    MAX_OPEN_ASKS,
    MAX_PRIORITY,
    Ask,
    AskReply,
    AskRequest,
    CancelReply,
    CancelRequest,
)
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS, MAX_URL_CHARS

# A longer text is not parsed.
LONGEST_ASK_CHARS = 4 * LONGEST_URL_CHARS
EAGER_S = 5.0


class Pools:
    """The open pools of all sessions, and what they ask for. `check_member` raises if a session is no member."""

    def __init__(
        self,
        store: Frontier,
        turns: Turns,
        policy: Policy,
        epoch: int,
        programs: Programs,
        check_member: Callable[[str], None],
    ) -> None:
        self._store = store
        self._turns = turns
        self._policy = policy
        self._urls = policy_of(policy.urls)
        self._asks = Asks(epoch)
        self._programs = programs
        self._check_member = check_member
        self._asked_at = -math.inf
        #: How many answers a session has not collected: asks that are answered at once have to be bounded as well.
        self.uncollected: Callable[[str], int] = lambda _session: 0
        #: The crawl is over: nothing more is taken.
        self.are_over = False

    def reopen(self) -> Collection[str]:
        """Hold the crawl open for the sessions that did before a restart; return them."""
        sessions = [row.session for row in self._store.resident(PoolRow)]
        for session in sessions:
            self._programs.hold(session)
        return sessions

    def wishes_of(self, request: AskRequest) -> list[Wish | None]:
        """Return what a request asks for; None for a URL that is none. It takes time: any thread may call it."""
        return [self._wish(ask) for ask in request.asks[:MAX_ASKS]]

    def ask(self, request: AskRequest, now: float, wishes: Sequence[Wish | None] | None = None) -> AskReply:
        """Open a pool, and take asks; `wishes` are those of the request, if they are known already.

        Raise `Unreachable` if its session is no member, `UsageError` if that has too many pools.
        """
        session = request.session
        self._check_member(session)
        if self.are_over:
            return AskReply(book="", finished=True)
        if self._asks.open_pool(session, request.pool):
            self._programs.hold(session)
            self._turns.run(partial(_keep_open, session=session), now)
        room = self._asks.room(session) - self.uncollected(session)
        asks = request.asks[: max(0, min(MAX_ASKS, room))]
        if asks:
            self._asked_at = now
            known = self.wishes_of(request) if wishes is None else wishes
            self._take(session, list(zip(asks, known, strict=False)), now)
        return AskReply(book=self._asks.book_of(session), taken=len(asks))

    def cancel(self, request: CancelRequest, now: float) -> CancelReply:
        """Take asks back; what has not started, and nobody else wants, is dropped.

        Raise `UsageError` if there are more than a session can have.
        """
        if len(request.tickets) > MAX_OPEN_ASKS:
            raise UsageError(f"a session has no more than {MAX_OPEN_ASKS} asks to take back")
        session = request.session
        waits = {ticket: self._asks.awaited(session, ticket) for ticket in request.tickets}
        staying: set[int] = set()
        if not request.started_too:
            rows = self._store.rows(TaskRow, {ref for ref in waits.values() if ref is not None})
            waiting = {ref for ref, row in rows.items() if row.state is TaskState.PENDING}
            staying = {ticket for ticket, ref in waits.items() if ref not in waiting}
        unwanted = self._asks.take_back(session, waits.keys() - staying)
        if unwanted:
            self._turns.run(partial(asking.give_up, refs=unwanted), now)
        return CancelReply(staying=tuple(staying))

    def close(self, session: str, pool: int, now: float) -> None:
        """Close a pool: the crawl may end when no session has any."""
        if self._asks.close_pool(session, pool):
            self._let_go(session, now)

    def end(self, session: str, now: float) -> None:
        """Forget what a session that has ended or was lost asked for; its pages are fetched nevertheless."""
        self._asks.end(session)
        self._let_go(session, now)

    def note(self, changes: Sequence[Change]) -> None:
        """Find answers to asks in the changes that the store has taken."""
        if self._asks.are_open:
            self._asks.note(changes, Turn(self._store, self._policy, 0.0))

    def were_asked(self, now: float) -> bool:
        """Say whether somebody has asked a moment ago, and may do so again: often one page at a time."""
        return now < self._asked_at + EAGER_S

    def take_answers(self) -> list[tuple[str, int, Answered | None]]:
        """Return the answers since the last time, for `PoolPost.deliver` once they are committed."""
        return self._asks.take_answers()

    def book_of(self, session: str) -> str:
        """Return the name of a session's book of asks. Any thread may call this."""
        return self._asks.book_of(session)

    def _take(self, session: str, asks: Sequence[tuple[Ask, Wish | None]], now: float) -> None:
        """Ask for pages in one turn; answer at once what is refused or settled."""
        wishes = [wish for _, wish in asks if wish is not None]
        found = iter(self._turns.run(partial(asking.ask, wishes=wishes), now) if wishes else ())
        for ask, wish in asks:
            task = Reason.NOT_HTTP if wish is None else next(found)
            if isinstance(task, Reason):
                url = ask.url[:MAX_URL_CHARS] if wish is None else wish.url[:LONGEST_URL_CHARS]
                self._asks.refuse(session, ask.ticket, url, task)
            else:
                self._asks.wait(session, ask.ticket, task)

    def _wish(self, ask: Ask) -> Wish | None:
        """Return an ask with its canonical URL; None if it has none."""
        url = self._urls.canonicalize(ask.url) if len(ask.url) <= LONGEST_ASK_CHARS else None
        if url is None:
            return None
        priority = None if ask.priority is None else max(-MAX_PRIORITY, min(MAX_PRIORITY, ask.priority))
        return Wish(url, priority, ask.follow)

    def _let_go(self, session: str, now: float) -> None:
        """Note that a session holds no pool open."""
        self._programs.let_go(session)
        row = self._store.rows(PoolRow, (session,)).get(session)
        if row is not None:
            self._turns.run(lambda turn: turn.remove(succeed(row)), now)


def _keep_open(turn: Turn, session: str) -> None:
    """Store that a session holds pools open."""
    if turn.table(PoolRow)[session] is None:
        turn.put(PoolRow(session=session))
