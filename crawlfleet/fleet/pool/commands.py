"""What the sender tells the coordinator besides asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from crawlfleet.fleet.pool.entries import Entry, OpenPool
from crawlfleet.fleet.pool.open_asks import OpenAsks, Taken
from crawlfleet.shared.pools import MAX_ASKS, AskReply, AskRequest, CancelReply, CancelRequest, SettledPage
from crawlfleet.worker.talk.finished import JobFinished
from crawlfleet.worker.talk.objects.threads import Inbox

_logger = structlog.get_logger(__name__)


class Coordinator(Protocol):
    """The coordinator's pools over one connection; calls raise `Unreachable` if it is gone."""

    def ask(self, request: AskRequest) -> AskReply: ...
    def cancel(self, request: CancelRequest) -> CancelReply: ...
    def close(self, session: str, pool: int) -> None: ...
    def collect(self, session: str, after: int, timeout_s: float) -> SettledPage: ...


class Command(Protocol):
    """One thing to tell. `is_hasty`: it fails at once if the coordinator is away. `is_kept`: it outlasts patience."""

    is_hasty: bool
    is_kept: bool

    def carry_out(self, coordinator: Coordinator, session: str) -> None:
        """Tell the coordinator, maybe again."""

    def fail(self, error: BaseException, /) -> None:
        """Tell whoever waits that it cannot be done."""


class Opening:
    """Opens a pool. The inbox gets None, or the error that keeps it from being opened."""

    is_hasty = is_kept = False

    def __init__(self, asks: OpenAsks, pool: OpenPool, inbox: Inbox) -> None:
        self._asks = asks
        self._pool = pool
        self._inbox = inbox

    def carry_out(self, coordinator: Coordinator, session: str) -> None:
        reply = coordinator.ask(AskRequest(session=session, pool=self._pool.number))
        if reply.finished:
            self.fail(JobFinished("the crawl is over"))
            return
        self._asks.opened(self._pool, (), reply.book)
        self._inbox.put(None)

    def fail(self, error: BaseException) -> None:
        self._inbox.put(error)


class Closing:
    """Closes a pool of which nothing is open."""

    is_hasty, is_kept = False, True

    def __init__(self, asks: OpenAsks, pool: OpenPool) -> None:
        self._asks = asks
        self._pool = pool

    def carry_out(self, coordinator: Coordinator, session: str) -> None:
        if (other := self._asks.known_pool()) is not None:
            # A coordinator that has restarted would take the pool for the session's last, and end the crawl.
            reply = coordinator.ask(AskRequest(session=session, pool=other.number))
            if not reply.finished:
                self._asks.opened(other, (), reply.book)
        coordinator.close(session, self._pool.number)

    def fail(self, error: BaseException) -> None:
        _logger.warning("a pool could not be closed", reason=str(error))


class TakingBack:
    """Takes asks back that nobody waits for: also at the end, if the coordinator answers."""

    is_hasty, is_kept = False, True

    def __init__(self, tickets: Sequence[int]) -> None:
        self._tickets = tickets

    def carry_out(self, coordinator: Coordinator, session: str) -> None:
        for first in range(0, len(self._tickets), MAX_ASKS):
            tickets = tuple(self._tickets[first : first + MAX_ASKS])
            coordinator.cancel(CancelRequest(session=session, tickets=tickets, started_too=True))

    def fail(self, _error: BaseException) -> None:
        """Do nothing: what is answered still is ignored."""


class Cancelling:
    """Takes an ask back, into `taken`, if its page has not started. The inbox is told when that is known."""

    is_hasty, is_kept = True, False

    def __init__(self, asks: OpenAsks, entry: Entry, taken: Taken, inbox: Inbox) -> None:
        self._asks = asks
        self._entry = entry
        self._taken = taken
        self._inbox = inbox
        #: Answers the entry if nobody waits at the inbox any more.
        self.when_left: Callable[[], None] | None = None

    def carry_out(self, coordinator: Coordinator, session: str) -> None:
        ticket = self._entry.ticket
        if not self._asks.take_unsent(self._entry, self._taken):  # the coordinator may just have refused it
            reply = coordinator.cancel(CancelRequest(session=session, tickets=(ticket,)))
            if ticket not in reply.staying:
                self._asks.take_out([ticket], self._taken)
        self._inbox.put(None)
        if self.when_left is not None:
            self.when_left()

    def fail(self, _error: BaseException) -> None:
        """Ask again: the coordinator may have taken it back, if only its answer was lost, or do so only now."""
        self._asks.ask_anew(self._entry)
        self._inbox.put(None)
