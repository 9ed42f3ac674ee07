"""Reads a page as a parse thread of a worker does, within the limits of its job: see `worker.readers` and `.watch`.

A thread that is inside a parser or a hook cannot be stopped. So the process that reads ends at a limit, and says why.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from msgspec.structs import replace

from crawlfleet.shared.brief import Brief
from crawlfleet.shared.messages import Report
from crawlfleet.shared.reasons import Reason
from crawlfleet.trial.messages import Ended
from crawlfleet.worker.extract.shortage import shortage_of
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.fitting import internal_error
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.pipeline import Pipeline, outline
from crawlfleet.worker.process import memory
from crawlfleet.worker.process.current_pages import PageLimits, WorkerPages
from crawlfleet.worker.readers import Readers, Reading
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.watch import TICK_S, Watch, WatchOptions

ENDED = 1


class LimitedReader:
    """Reads pages in the thread that makes it, which a watch looks after. `pages` can be read in another process."""

    def __init__(self, brief: Brief, pipeline: Pipeline, pages: WorkerPages, tell: Callable[[Ended], object]) -> None:
        self._pipeline = pipeline
        self._tell = tell
        limits = PageLimits(cpu_s=brief.limits.cpu_s, parse_time_s=brief.limits.parse_time_s)
        self._readers = Readers(1, pages, lambda _: 0.0)
        self._readers.enter(0)
        options = WatchOptions(limits=limits, hook=brief.hook.path if brief.hook is not None else "")
        self._watch = Watch(self._readers, pages, options, self._end_page, lambda _: os._exit(ENDED))
        threading.Thread(target=self._watch_all, name="watch", daemon=True).start()

    def settle(self, attempt: Attempt, fetched: Fetched) -> tuple[Report, ...]:
        """Return the report of an attempt, in parts if it is large."""
        reading = self._readers.begin(0, attempt, outline(attempt, fetched))
        delivery = self._read(attempt, fetched, reading)
        if not self._readers.end(reading):
            self._await_end()
        last = replace(delivery.report, cpu_s=reading.cpu_s())
        return tuple(replace(part, age_s=0.0) for part in (*delivery.ahead, last))

    def _read(self, attempt: Attempt, fetched: Fetched, reading: Reading) -> Delivery:
        try:
            return self._pipeline.settle(attempt, fetched)
        except Exception as error:  # noqa: BLE001  # as the top of a parse thread
            if shortage_of(error) is Reason.OUT_OF_MEMORY:
                memory.allow_last_words()
                self._end_page(reading, Reason.OUT_OF_MEMORY, f"{error or 'no memory is left'} ({memory.limit_text()})")
            return internal_error(attempt, error)

    def _watch_all(self) -> None:
        while True:
            time.sleep(TICK_S)
            self._watch.look()

    def _end_page(self, reading: Reading, reason: Reason, detail: str) -> NoReturn:
        self._tell(Ended(reason=reason, detail=detail, cpu_s=reading.cpu_s()))
        os._exit(ENDED)

    def _await_end(self) -> NoReturn:
        """The watch is ending this process, in which the page has come to its end just now."""
        while True:
            time.sleep(TICK_S)
