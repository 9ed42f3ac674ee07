"""The threads of a worker: fetch threads that sleep in sockets, parse threads that run in C.

    agenda ──► fetch threads ──► bounded queue ──► parse threads ──► outbox

Back-pressure: a fetch thread that finds the queue full waits in it, so that no more is fetched than is
parsed. A page never ends a thread: what breaks is reported as an internal error of that attempt.

The order of a stop: the agenda is closed, so no task starts any more; the fetch threads end with what they
have; then one end mark for each parse thread goes through the queue behind the last page; then the parse
threads end. After that every report is in the outbox.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from worker.agenda import Agenda, Attempt, TaskKey
from worker.fetch import Fetched, Fetcher
from worker.in_hand import Hands
from worker.outbox import Delivery, Outbox
from worker.pipeline import Pipeline, Settled, internal_error

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """How many threads fetch and parse, and how many fetched pages may wait between them."""

    fetch_threads: int = 16
    parse_threads: int = 2
    pages_between: int = 16


@dataclass(frozen=True, slots=True)
class _Page:
    attempt: Attempt
    fetched: Fetched


class Pool:
    """Fetches and parses what the agenda gives out, until stopped."""

    def __init__(
        self,
        *,
        agenda: Agenda,
        outbox: Outbox,
        open_fetcher: Callable[[], Fetcher],
        pipeline: Pipeline,
        size: PoolSize,
        in_hand: Hands,
    ) -> None:
        """`open_fetcher` is called once in each fetch thread; `pipeline` is used by all parse threads."""
        self._in_hand = in_hand
        self._agenda = agenda
        self._outbox = outbox
        self._open_fetcher = open_fetcher
        self._pipeline = pipeline
        self._pages: queue.Queue[_Page | None] = queue.Queue(size.pages_between)
        self._fetching = _threads("fetch", size.fetch_threads, lambda _: self._fetch_all())
        self._parsing = _threads("parse", size.parse_threads, self._parse_all)

    @property
    def parsing(self) -> int:
        """How many fetched pages wait for a parse thread."""
        return self._pages.qsize()

    def start(self) -> None:
        """Start every thread."""
        for thread in (*self._parsing, *self._fetching):
            thread.start()

    def stop(self, patience_s: float) -> bool:
        """End every thread in order; False if some still ran after `patience_s`: they are left behind."""
        give_up_at = time.monotonic() + patience_s
        self._agenda.close()
        if not _join(self._fetching, give_up_at):
            return False
        for _ in self._parsing:
            try:
                self._pages.put(None, timeout=max(0.0, give_up_at - time.monotonic()))
            except queue.Full:
                return False
        return _join(self._parsing, give_up_at)

    def _fetch_all(self) -> None:
        fetcher = self._open_fetcher()
        try:
            while (attempt := self._agenda.take()) is not None:
                self._fetch(fetcher, attempt)
        finally:
            fetcher.close()

    def _fetch(self, fetcher: Fetcher, attempt: Attempt) -> None:
        try:
            fetched = fetcher.fetch(attempt.task.url)
        except Exception as error:  # noqa: BLE001  top of a thread: a bug costs one attempt
            self._deliver(attempt, _confess(attempt, error))
            return
        finally:
            self._agenda.done(attempt)
        self._pages.put(_Page(attempt, fetched))

    def _parse_all(self, thread: int) -> None:
        while (page := self._pages.get()) is not None:
            self._in_hand.take(thread, TaskKey(page.attempt.lease_id, page.attempt.task.ref))
            settled = self._parse(page)
            self._in_hand.put_down(thread)
            self._deliver(page.attempt, settled)

    def _parse(self, page: _Page) -> Settled:
        try:
            return self._pipeline.settle(page.attempt.task, page.attempt.lease_id, page.fetched)
        except Exception as error:  # noqa: BLE001  top of a thread: a bug costs one attempt
            return _confess(page.attempt, error)

    def _deliver(self, attempt: Attempt, settled: Settled) -> None:
        self._outbox.put(
            Delivery(
                report=settled.report,
                wire_bytes=settled.wire_bytes,
                depth=attempt.task.depth,
                started_at=attempt.started_at,
            )
        )


def _confess(attempt: Attempt, error: Exception) -> Settled:
    _logger.error("an attempt broke", url=attempt.task.url, host=attempt.host, lease=attempt.lease_id, exc_info=error)
    return internal_error(attempt.task, attempt.lease_id, error)


def _threads(role: str, number: int, work: Callable[[int], None]) -> tuple[threading.Thread, ...]:
    """Daemon threads: a process that was told to end at once does not wait for a slow server."""
    return tuple(
        threading.Thread(target=work, args=(index,), name=f"{role}-{index}", daemon=True) for index in range(number)
    )


def _join(threads: tuple[threading.Thread, ...], give_up_at: float) -> bool:
    for thread in threads:
        thread.join(max(0.0, give_up_at - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
