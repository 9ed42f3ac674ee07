"""What each parse thread is reading, and since when: for the threads themselves, the watch, and the node."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from crawlfleet.shared.messages import Report
from crawlfleet.worker.hook_waited import WAITS
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.process.cpu_time import ThreadClock
from crawlfleet.worker.process.current_pages import PageRecord, WorkerPages

# A parse thread that has been at one page for longer is held up.
HELD_UP_S = 0.25
# A page that has been read for so long is named; again after twice that time, four times, ...
NAMED_AFTER_S = 30.0


@dataclass(slots=True, eq=False)
class Reading:
    """One page in one parse thread. `is_claimed`: its thread, or whoever ended it, has said what became of it.

    `name_after_s` is the time after which the page is named to the user.
    """

    thread: int
    thread_ident: int
    attempt: Attempt
    outline: Report
    clock: ThreadClock
    began_at: float
    cpu_before_s: float
    waited_before_s: float
    is_claimed: bool = False
    name_after_s: float = NAMED_AFTER_S

    def cpu_s(self) -> float:
        """Return the CPU time that the page has taken until now."""
        return self.clock.seconds() - self.cpu_before_s

    def waited_s(self) -> float:
        """Return how long its hook has waited for objects of the fleet until now."""
        return WAITS.seconds(self.thread_ident) - self.waited_before_s


class Readers:
    """The parse threads of a worker, by number. Each records its page in `pages`, which survives the process."""

    def __init__(self, threads: int, pages: WorkerPages, clock: Callable[[], float] = time.monotonic) -> None:
        self._pages = pages
        self._clock = clock
        self._lock = threading.Lock()
        self._clocks: dict[int, ThreadClock] = {}
        self._readings: list[Reading | None] = [None] * threads
        # Since when each thread has been at its page; infinity for one without a page.
        self._began_at = [math.inf] * threads

    def enter(self, thread: int) -> None:
        """Make the calling thread the one of this number."""
        self._clocks[thread] = ThreadClock()
        WAITS.watch()

    def begin(self, thread: int, attempt: Attempt, outline: Report) -> Reading:
        """Record the page that the calling thread is about to read; to its `outline` only a reason is missing."""
        clock, ident, now = self._clocks[thread], threading.get_ident(), self._clock()
        reading = Reading(
            thread=thread,
            thread_ident=ident,
            attempt=attempt,
            outline=outline,
            clock=clock,
            began_at=now,
            cpu_before_s=clock.seconds(),
            waited_before_s=WAITS.seconds(ident),
        )
        self._pages.begin(thread, _record(reading))
        self._readings[thread] = reading
        self._began_at[thread] = now
        return reading

    def end(self, reading: Reading) -> bool:
        """Record that a thread has read its page; False if the page was ended meanwhile, and the thread with it."""
        if not self.claim(reading):
            return False
        self._began_at[reading.thread] = math.inf
        self._readings[reading.thread] = None
        self._pages.end(reading.thread)
        return True

    def claim(self, reading: Reading) -> bool:
        """Take it upon the caller to say what became of a page; False if another has."""
        with self._lock:
            was_claimed, reading.is_claimed = reading.is_claimed, True
        return not was_claimed

    def current(self) -> list[Reading]:
        """Return the pages that are being read, without those that were ended."""
        return [reading for reading in self._readings if reading is not None and not reading.is_claimed]

    def are_all_ended(self) -> bool:
        """Say whether no thread is left: the pages of all of them were ended."""
        return all(reading is not None and reading.is_claimed for reading in self._readings)

    def are_held_up(self, threads: int) -> bool:
        """Say whether the first so many threads are all held up."""
        return max(self._began_at[:threads]) < self._clock() - HELD_UP_S


def _record(reading: Reading) -> PageRecord:
    return PageRecord(
        serial=0,
        key=reading.attempt.key,
        thread_id=threading.get_native_id(),
        began_at=reading.began_at,
        cpu_before_s=reading.cpu_before_s,
        started_at=reading.attempt.started_at,
        waited_s=0.0,
        outline=reading.outline,
        url=reading.attempt.task.url,
    )
