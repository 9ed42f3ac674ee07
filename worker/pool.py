"""The threads of a worker: one or more fetch threads (`worker.fetching`), and parse threads, which run in C.

    agenda ──► fetching ──► queue, hosts in turn ──► parse threads ──► outbox

One parse thread parses nearly all pages: two would mostly wait for each other (measured: see the decision on processes
and threads). The others work only while all before them are held up by a large page or a hook that waits.

Back-pressure: nothing more of a host is fetched while it has more pages or bytes in the queue than there is room left
(`worker.shares`). A page never ends a thread: an exception is reported as an
internal error of its attempt. An error that ends a thread nevertheless ends the worker: see `Orders.abort`.

Stop order: the agenda is closed, so that no task starts any more; fetching ends its exchanges; one end mark for each
parse thread goes through the queue behind the last page; the parse threads end. Then every report is in the outbox.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import structlog

from crawlfleet.worker.fetch.port import FetchEngine
from crawlfleet.worker.fetching import Fetching, FetchLoop, FetchThreads, join_all, start_later
from crawlfleet.worker.fitting import internal_error
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.page_queue import FetchedPage
from crawlfleet.worker.pipeline import Pipeline
from crawlfleet.worker.process.current_pages import WorkerPages
from crawlfleet.worker.shares import Limits
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.talk.session import Session

# A parse thread that has been at one page for longer is held up.
HELD_UP_S = 0.25

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """How many pages are fetched at once, how many threads parse, how many fetched pages may wait between them.

    A single host may have half of those between.
    """

    fetches: int = 16
    parse_threads: int = 2
    pages_between: int = 16


class Pool:
    """Fetches and parses the tasks of the agenda until stopped."""

    def __init__(
        self, *, session: Session, engine: FetchEngine, pipeline: Pipeline, size: PoolSize, current_pages: WorkerPages
    ) -> None:
        """Open one fetcher of the engine, or one in each fetch thread; `pipeline` is used by all parse threads."""
        self._current_pages = current_pages
        self._agenda = session.agenda
        self._outbox = session.outbox
        self._orders = session.orders
        self._pipeline = pipeline
        self._fetching = self._fetch_by(engine, size)
        self._pages = self._fetching.pages
        # Since when each parse thread has been at its page; infinity for one without a page.
        self._began_at = [math.inf] * size.parse_threads
        self._ending = threading.Event()
        self._parsing = start_later("parse", size.parse_threads, self._parse_all, self._orders.abort)

    def start(self) -> None:
        """Start every thread."""
        for thread in self._parsing:
            thread.start()
        self._fetching.start()

    def stop(self, patience_s: float) -> bool:
        """End every thread in order; False if some still run after `patience_s`: they are abandoned."""
        give_up_at = time.monotonic() + patience_s
        self._agenda.close()
        if not self._fetching.join(give_up_at):
            return False
        self._ending.set()
        for _ in self._parsing:
            self._pages.put(None)
        return join_all(self._parsing, give_up_at)

    def _fetch_by(self, engine: FetchEngine, size: PoolSize) -> Fetching:
        def on_bug(attempt: Attempt, error: Exception) -> None:
            self._outbox.put(_internal_error(attempt, error))

        most, on_death = size.fetches, self._orders.abort
        self._agenda.share(Limits(slots=most, pages=size.pages_between, bytes_between=engine.bytes_between))
        if engine.many_at_once:
            return FetchLoop(self._agenda, engine.open(), most, on_bug, on_death)
        return FetchThreads(self._agenda, engine.open, most, on_bug, on_death)

    def _parse_all(self, thread: int) -> None:
        while (page := self._next_page(thread)) is not None:
            self._current_pages.begin(thread, page.attempt.key)
            self._began_at[thread] = time.monotonic()
            delivery = self._parse(page)
            self._began_at[thread] = math.inf
            self._current_pages.end(thread)
            self._outbox.put(delivery)

    def _next_page(self, thread: int) -> FetchedPage | None:
        """Wait for a page, and, except in the first thread, until this thread is needed; None at the end."""
        while thread and not self._ending.is_set():
            # All threads before this one are held up.
            if max(self._began_at[:thread]) < time.monotonic() - HELD_UP_S:
                with suppress(queue.Empty):
                    return self._pages.get(timeout=HELD_UP_S)
            else:
                self._ending.wait(HELD_UP_S)
        return self._pages.get()

    def _parse(self, page: FetchedPage) -> Delivery:
        try:
            return self._pipeline.settle(page.attempt, page.fetched)
        except Exception as error:  # noqa: BLE001  top of a thread: a bug costs one attempt
            return _internal_error(page.attempt, error)


def _internal_error(attempt: Attempt, error: Exception) -> Delivery:
    _logger.error("an attempt broke", url=attempt.task.url, host=attempt.host, lease=attempt.lease_id, exc_info=error)
    return internal_error(attempt, error)
