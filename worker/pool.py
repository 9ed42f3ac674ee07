"""The threads of a worker: one or more fetch threads (`worker.fetching`), and parse threads, which run in C.

    agenda ──► fetching ──► queue, hosts in turn ──► parse threads ──► outbox

One parse thread parses nearly all pages: two would mostly wait for each other (measured: see the decision on processes
and threads). The others work only while all before them are held up by a large page or a hook that waits, and the
second one while the first reads a page of a host whose pages are slow. There are more than the usual few only once all
of those are held up. Which pages they may take is decided in `worker.readers`.

Back-pressure: nothing more of a host is fetched while it has more pages or bytes in the queue than there is room left
(`worker.shares`). A page never ends a thread: an exception is reported as an internal error of its attempt. An error
that ends a thread nevertheless ends the worker: see `Orders.abort`.

A page that takes longer than the job's limits allow is ended by the watch (`worker.watch`): its report is made here,
its thread is given up, and this process drains, so that its node replaces it.

Stop order: the agenda is closed, so that no task starts any more; fetching ends its exchanges; one end mark for each
parse thread goes through the queue behind the last page; the parse threads end. Then every report is in the outbox.
"""

from __future__ import annotations

import gc
import math
import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from msgspec.structs import replace

from crawlfleet.shared.messages import Kind
from crawlfleet.shared.page_cost import page_cost_s
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.bodies import NO_LIMIT
from crawlfleet.worker.extract.shortage import shortage_of
from crawlfleet.worker.fetch.port import FetchEngine
from crawlfleet.worker.fetching import Fetching, FetchLoop, FetchThreads, join_all, start_later
from crawlfleet.worker.fitting import detail_of, fit, internal_error
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.page_queue import FetchedPage, MayTake
from crawlfleet.worker.pipeline import Pipeline, outline
from crawlfleet.worker.process import memory
from crawlfleet.worker.process.current_pages import WorkerPages
from crawlfleet.worker.process.freed_memory import FreedMemory
from crawlfleet.worker.readers import HELD_UP_S, USUAL_THREADS, Readers, Reading
from crawlfleet.worker.shares import Limits
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.talk.session import Session
from crawlfleet.worker.watch import TICK_S, Watch, WatchOptions

# So many parse threads there may be. All but the usual ones are started when all before them are held up.
PARSE_THREADS = 64
# A process that is to be replaced leaves behind what still runs when it has got nothing done for so long.
LEAVE_AFTER_S = 10.0
LEAVE_SOON_S = 1.0
# One that drains for good gives pages that are held up more time.
LAST_S = 30.0
# A process that uses more than this share of its memory so many times in a row, each time after a page, is replaced.
NEAR = 0.8
TIMES_NEAR = 2

# So often the memory of the process is looked at, after a page, unless it was nearly used up the last time.
MEMORY_EVERY_S = 0.02
# How often a thread that is seldom needed looks whether it is.
SELDOM_S = 1.0

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """How many pages are fetched at once, how many threads parse, how many fetched pages may wait between them.

    A single host may have half of those between. `most_fetches` is how many may be under way if most of them are with
    hosts that do not answer, for engines with a thread for each. All bodies in memory may take `bodies_bytes`.
    """

    fetches: int = 16
    most_fetches: int = 0
    parse_threads: int = PARSE_THREADS
    pages_between: int = 16
    bodies_bytes: int = NO_LIMIT


class Pool:
    """Fetches and parses the tasks of the agenda until stopped."""

    def __init__(
        self,
        *,
        session: Session,
        engine: FetchEngine,
        pipeline: Pipeline,
        size: PoolSize,
        current_pages: WorkerPages,
        watch: WatchOptions | None = None,
    ) -> None:
        """Open one fetcher of the engine, or one in each fetch thread; `pipeline` is used by all parse threads."""
        self._current_pages = current_pages
        self._agenda = session.agenda
        self._outbox = session.outbox
        self._orders = session.orders
        self._pipeline = pipeline
        self._fetching = self._fetch_by(engine, size)
        self._fetching.wanted_of = pipeline.wanted_of
        self._pages = self._fetching.pages
        self._max_report_bytes = pipeline.max_report_bytes
        self._readers = Readers(size.parse_threads, current_pages, self._pages.typical_s)
        self._ending = threading.Event()
        self._most_parsing = size.parse_threads
        self._parsing = self._parse_threads(range(min(size.parse_threads, USUAL_THREADS)))
        watch = watch or WatchOptions()
        self._die, self._say = watch.die, watch.say
        self._times_near = 0
        self._memory_looked_at = -math.inf
        self._delivered_at = self._draining_since = time.monotonic()
        self._stopped = threading.Event()
        self._adding = threading.Lock()
        self._watch = Watch(self._readers, current_pages, watch, self._end_page, self._thread_gone)
        self._freed_memory = FreedMemory()
        self._watching = start_later("watch", range(1), self._watch_all, self._orders.abort)

    def start(self) -> None:
        """Start every thread."""
        for thread in (*self._parsing, *self._watching):
            thread.start()
        self._fetching.start()

    def stop(self, patience_s: float) -> bool:
        """End every thread in order; False if some still run after `patience_s`: they are abandoned."""
        give_up_at = time.monotonic() + patience_s
        with self._adding:
            self._stopped.set()
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
        between = min(engine.bytes_between, size.bodies_bytes // 2)
        self._agenda.share(
            Limits(slots=most, pages=size.pages_between, bytes_between=between, bodies=size.bodies_bytes)
        )
        if engine.many_at_once:
            return FetchLoop(self._agenda, engine.open(), most, on_bug, on_death)
        return FetchThreads(self._agenda, engine.open, (most, size.most_fetches), on_bug, on_death)

    def _parse_all(self, thread: int) -> None:
        self._readers.enter(thread)
        may_take = partial(self._readers.may_take, thread)
        while not self._orders.leaving and (page := self._next_page(thread, may_take)) is not None:
            attempt = page.attempt
            reading = self._readers.begin(thread, attempt, outline(attempt, page.fetched))
            try:
                delivery = self._parse(page, reading)
            except BaseException:
                self._readers.claim(reading)  # this thread ends, and its worker with it
                raise
            del page  # and with it its body
            if attempt.task.kind not in (Kind.ROBOTS, Kind.CHECK):  # they tell nothing of the host's pages
                report = delivery.report
                cost_s, took_s = page_cost_s(report.cpu_s, report.size_bytes), time.monotonic() - reading.began_at
                self._pages.note_cost(attempt, cost_s, took_s)
            if not self._readers.end(reading):
                return  # it was ended, and another process takes the place of this one
            self._deliver(delivery)
            self._agenda.bodies.end(attempt.key)
            self._mind_memory(attempt)

    def _next_page(self, thread: int, may_take: MayTake) -> FetchedPage | None:
        """Wait for a page, and, except in the first thread, until this thread is needed; None at the end."""
        while thread and not self._ending.is_set():
            if self._readers.are_held_up(thread):
                with suppress(queue.Empty):
                    return self._pages.get(HELD_UP_S, may_take)
            elif thread == 1:
                self._readers.wait_for_slow_page(HELD_UP_S)
            else:
                self._ending.wait(HELD_UP_S if thread < USUAL_THREADS else SELDOM_S)
        return self._pages.get() if thread else self._pages.get(None, may_take)

    def _parse(self, page: FetchedPage, reading: Reading) -> Delivery:
        try:
            delivery = self._pipeline.settle(page.attempt, page.fetched, reading.outline)
        except Exception as error:  # noqa: BLE001  top of a thread: a bug costs one attempt
            if shortage_of(error) is Reason.OUT_OF_MEMORY:
                self._out_of_memory(reading, error)
            delivery = _internal_error(page.attempt, error)
        return replace(delivery, report=replace(delivery.report, cpu_s=reading.cpu_s()))

    def _deliver(self, delivery: Delivery) -> None:
        self._delivered_at = time.monotonic()
        self._outbox.put(delivery)

    def _watch_all(self, _: int) -> None:
        while not self._stopped.wait(TICK_S):
            self._freed_memory.look(time.monotonic(), self._watch.look())
            self._add_threads()
            if not self._orders.draining:
                self._draining_since = time.monotonic()
            elif self._gets_nothing_done():
                self._orders.leave()

    def _parse_threads(self, numbers: range) -> tuple[threading.Thread, ...]:
        return start_later("parse", numbers, self._parse_all, self._orders.abort)

    def _add_threads(self) -> None:
        """Start one more parse thread if all are held up, and fetch threads, so that other hosts find one."""
        with self._adding:
            if self._stopped.is_set():
                return
            self._fetching.look()
            started = len(self._parsing)
            if started < self._most_parsing and self._readers.are_held_up(started):
                (thread,) = self._parse_threads(range(started, started + 1))
                self._parsing += (thread,)
                thread.start()

    def _gets_nothing_done(self) -> bool:
        """Say whether nothing was delivered for long, or for a moment while nothing but held up pages is left."""
        silent_s = time.monotonic() - max(self._delivered_at, self._draining_since)
        if not self._orders.replacing:
            return silent_s > LAST_S and not self._agenda.running
        if silent_s < LEAVE_SOON_S:
            return self._readers.are_all_ended()
        is_left = self._agenda.running or self._pages.has_any(partial(self._readers.may_take, 0))
        return silent_s > LEAVE_AFTER_S or not is_left

    def _end_page(self, reading: Reading, reason: Reason, detail: str) -> None:
        """Report a page that has reached a limit, and let this process be replaced: its thread cannot be stopped."""
        attempt = reading.attempt
        self._current_pages.mark(reading.thread, reason, detail)
        report = replace(reading.outline, reason=reason, detail=detail_of(detail), cpu_s=reading.cpu_s())
        _logger.warning(
            "a page was ended, and its worker is replaced",
            url=attempt.task.url,
            host=attempt.host,
            lease=attempt.lease_id,
            reason=reason,
            detail=detail,
        )
        self._readers.give_up(attempt.host)
        self._orders.replace()
        self._deliver(fit(attempt, report, self._max_report_bytes))

    def _mind_memory(self, last: Attempt) -> None:
        """Let this process be replaced if it uses nearly all of its memory after several pages in a row.

        It leaves at once: pages that it read meanwhile might fail.
        """
        if self._delivered_at < self._memory_looked_at + MEMORY_EVERY_S and not self._times_near:
            return
        self._memory_looked_at = self._delivered_at
        self._times_near = self._times_near + 1 if memory.share_in_use() > NEAR else 0
        if self._times_near == 1:
            gc.collect()
        elif self._times_near == TIMES_NEAR and not self._orders.draining:
            what = f"a worker uses nearly all of its memory ({memory.limit_text()}), and is replaced; a hook may leak"
            _logger.warning(what, url=last.task.url, host=last.host)
            self._orders.replace()
            self._orders.leave()

    def _out_of_memory(self, reading: Reading, error: Exception) -> None:
        """End this process: its page is a suspect, and all others are fetched again."""
        detail = detail_of(str(error) or "it takes more memory than a worker may have")
        self._current_pages.mark(reading.thread, Reason.OUT_OF_MEMORY, detail)
        attempt, limit = reading.attempt, memory.limit_text()
        with suppress(MemoryError):
            memory.allow_last_words()
            what = f"a worker ran out of memory ({limit}), and is replaced; if that goes on, a hook may leak"
            _logger.error(what, url=attempt.task.url, host=attempt.host, reason=Reason.OUT_OF_MEMORY, detail=detail)
            self._say(f"{what}: it was reading {attempt.task.url}")
        self._die()

    def _thread_gone(self, reading: Reading) -> None:
        """End a process of which a page has ended a parse thread: a death like any other."""
        attempt = reading.attempt
        _logger.error("a page has ended its thread, so this worker ends", url=attempt.task.url, host=attempt.host)
        self._die()


def _internal_error(attempt: Attempt, error: Exception) -> Delivery:
    _logger.error("an attempt broke", url=attempt.task.url, host=attempt.host, lease=attempt.lease_id, exc_info=error)
    return internal_error(attempt, error)
