"""The watch of a worker: a thread that sees which page takes too long, names it, and ends it at its limits.

A thread that is inside a parser or a hook cannot be stopped. So the report of its page is made here, and its worker is
replaced. What the watch does not see, because a page keeps the interpreter to itself, its node does (`worker.node`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import structlog

from crawlfleet.shared.quantities import duration_text
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.process.cpu_time import ThreadGone
from crawlfleet.worker.process.current_pages import PageLimits, WorkerPages
from crawlfleet.worker.readers import Readers, Reading

TICK_S = 0.25
# The exit code of a process of which a hook has ended a thread.
BROKEN = 1

# Ends a page: the reading, the reason, the detail.
EndPage = Callable[[Reading, Reason, str], None]

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """What the watch goes by.

    The limits of pages, the path of the job's hook (if any), how to tell the user a sentence, and how this process ends
    when a page has ended one of its threads.
    """

    limits: PageLimits = PageLimits()  # noqa: RUF009  # a frozen value
    hook: str = ""
    say: Callable[[str], object] = lambda _: None
    die: Callable[[], object] = lambda: os._exit(BROKEN)


class Watch:
    """Looks after the pages that are being read."""

    def __init__(
        self,
        readers: Readers,
        pages: WorkerPages,
        options: WatchOptions,
        end_page: EndPage,
        on_gone: Callable[[Reading], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`end_page` reports a page that has reached a limit; `on_gone` is told of one whose thread is dead."""
        self._readers = readers
        self._pages = pages
        self._limits = options.limits
        self._hook = options.hook
        self._say = options.say
        self._end_page = end_page
        self._on_gone = on_gone
        self._clock = clock
        self._pages.set_limits(self._limits, clock())

    def look(self) -> float:
        """Look once: show that this process can run Python, name pages that take long, end those beyond a limit.

        Return the most CPU time that a page has taken which is being read; 0 if there is none.
        """
        now = self._clock()
        self._pages.beat(now)
        most_s = 0.0
        for reading in self._readers.current():
            try:
                most_s = max(most_s, self._look_at(reading, now))
            except ThreadGone:
                if self._readers.claim(reading):
                    self._on_gone(reading)
        return most_s

    def _look_at(self, reading: Reading, now: float) -> float:
        took_s, waited_s = now - reading.began_at, reading.waited_s()
        self._pages.note_waits(reading.thread, waited_s)
        limits, cpu_s = self._limits, reading.cpu_s()
        if cpu_s > limits.cpu_s:
            detail = f"took more than {duration_text(limits.cpu_s)} of CPU time (limits.cpu)"
            self._end(reading, Reason.CPU_LIMIT, detail)
        elif took_s - waited_s > limits.parse_time_s:
            detail = f"took longer than {duration_text(limits.parse_time_s)} (limits.parse_time)"
            self._end(reading, Reason.PARSE_TIME, detail)
        elif took_s >= reading.name_after_s:
            reading.name_after_s *= 2
            self._name(reading, took_s)
        return cpu_s

    def _end(self, reading: Reading, reason: Reason, what: str) -> None:
        place = self._place(reading)
        detail = f"{place or 'reading it'} {what}"
        if self._readers.claim(reading):
            self._end_page(reading, reason, detail)

    def _name(self, reading: Reading, took_s: float) -> None:
        attempt, place = reading.attempt, self._place(reading) or "the parser is at work"
        took = duration_text(round(took_s))
        thread = f"parse-{reading.thread}"
        _logger.warning(
            "a page takes long", url=attempt.task.url, host=attempt.host, thread=thread, took=took, detail=place
        )
        self._say(f"{attempt.task.url} has been read for {took}: {place} (thread {thread} of this worker)")

    def _place(self, reading: Reading) -> str:
        """Return where in the job's hook a thread is; empty if it is not in there."""
        line = line_in_hook(self._hook, reading.thread_ident)
        return f"the hook at {self._hook}:{line}" if line else ""


def line_in_hook(hook: str, thread: int) -> int:
    """Return the line of a job's hook, a path, that a thread is at; 0 if it is not in there, or there is no hook."""
    return _line_in(hook, sys._current_frames().get(thread)) if hook else 0


def _line_in(file: str, frame: FrameType | None) -> int:
    """Return the innermost line of a file among a frame and those that called it; 0 if there is none."""
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return frame.f_lineno if frame is not None else 0
