"""The thread that collects answers, by a long poll over a connection of its own, and hands them to those who asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from crawlfleet.fleet.pool.commands import Coordinator
from crawlfleet.fleet.pool.entries import Entry
from crawlfleet.fleet.pool.open_asks import OpenAsks
from crawlfleet.fleet.pool.patience import Patience
from crawlfleet.fleet.pool.results import Outcome, outcome_of
from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.pools import Settled, SettledPage
from crawlfleet.worker.talk.finished import JobFinished
from crawlfleet.worker.talk.objects.client import COLLECT_S
from crawlfleet.worker.talk.objects.threads import Threads

_logger = structlog.get_logger(__name__)


class Collector:
    """Collects answers as long as anything is open. Only `ring` may be called by other threads."""

    def __init__(
        self,
        dial: Callable[[], Coordinator],
        session: str,
        asks: OpenAsks,
        patience: Patience,
        threads: Threads,
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called when asks are to be sent again."""
        self._wake = wake
        self._dial = dial
        self._session = session
        self._asks = asks
        self._patience = patience
        self._coordinator: Coordinator | None = None
        self._cursor = 0
        # The book that the cursor belongs to.
        self._book = ""
        self._poll_s = COLLECT_S
        self._bell = threads.inbox()
        self._is_resting = False

    def ring(self) -> None:
        """Say that something was asked, a pool opened, or the connection closed."""
        if self._is_resting:
            self._is_resting = False
            self._bell.put(None)

    def run(self) -> None:
        """Collect until the connection is closed. The top of a thread: its errors reach whoever waits."""
        while not self._asks.is_closed:
            try:
                self._step()
            except BaseException as error:  # noqa: BLE001  # the top of a thread: whoever waits must hear of it
                self._lost(error)
        self._coordinator = None

    def _step(self) -> None:
        self._is_resting = True
        if not self._asks.are_awaited and not self._asks.is_closed:
            self._bell.get(timeout=None)
            return
        self._is_resting = False
        if self._coordinator is None:
            self._coordinator = self._dial()
        page = self._coordinator.collect(self._session, self._cursor, self._poll_s)
        self._poll_s = COLLECT_S
        self._patience.found()
        self._take(page)

    def _take(self, page: SettledPage) -> None:
        is_lost = self._cursor > 0 and page.book != self._book
        self._cursor, self._book = (0 if is_lost else page.cursor), page.book
        if page.settled:
            self._answer(page.settled)
        if self._asks.see_book(page.book, lost=is_lost):
            self._wake()
        if page.finished:
            self._asks.fail_all(JobFinished("the crawl is over"), are_over=True)

    def _answer(self, settled: Sequence[Settled]) -> None:
        """Hand over answers. An ask that was answered before, or taken back, is not open any more."""
        by_ticket = {each.ticket: each for each in settled}
        entries = self._asks.take_out(by_ticket)
        self._asks.hand_over([(entry, _outcome(by_ticket[entry.ticket], entry)) for entry in entries])

    def _lost(self, error: BaseException) -> None:
        # Another incarnation of the coordinator counts anew, and has another book: that should be known at once.
        self._coordinator, self._cursor, self._book, self._poll_s = None, 0, "", 0.0
        if not isinstance(error, Unreachable):
            _logger.warning("collecting pages failed", error=repr(error))
            self._asks.fail_all(error)
        elif (given_up := self._patience.given_up()) is not None:
            self._asks.fail_some(error, lambda entry: entry.asked_at <= given_up)
        self._patience.pause()


def _outcome(settled: Settled, entry: Entry) -> Outcome:
    try:
        return outcome_of(settled, entry.url)
    except Exception as error:  # noqa: BLE001  # a bug costs one answer, and is told with it
        return error
