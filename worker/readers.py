"""What each parse thread is reading, and since when; and which thread may read pages of which host.

The first half of the usual threads read pages of any host, but none of one that has a page held up in another thread
while other hosts have pages, or had some lately. All further ones are for hosts that have no page in any thread, and
whose pages are not known to be costly. Hosts whose pages are costly have a quarter of the usual threads together. So
one host alone may have half of them, and each host that holds one up has no other. If all are held up, there are more.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from crawlfleet.shared.messages import Report
from crawlfleet.worker.aside import ASIDE
from crawlfleet.worker.hook_waited import WAITS
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.process.cpu_time import ThreadClock
from crawlfleet.worker.process.current_pages import PageRecord, WorkerPages

# So many threads there are at least, if the worker may have as many.
USUAL_THREADS = 8
# A parse thread that has been at one page for longer is held up.
HELD_UP_S = 0.25
# A page that has been read for so long is named; again after twice that time, four times, ...
NAMED_AFTER_S = 30.0
# A host that had a page in the last seconds may soon have another.
LATELY_S = 10.0
# A thread that begins another page so soon has not been idle.
AT_ONCE_S = 0.05
# When a host had its last page is known so precisely.
PRECISELY_S = 0.5
# The pages of a host are costly if they typically cost more.
COSTLY_S = 0.5
# They are slow if they typically cost more than this. While the first thread reads one, the second reads others.
SLOW_S = 0.02


class _Thread:
    """A parse thread: its numbers here, for Python and for the system, and its CPU time as it was read last."""

    __slots__ = ("_clock", "_cpu_s", "ended_at", "ident", "native_id", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.ident = threading.get_ident()
        self.native_id = threading.get_native_id()
        self._clock = ThreadClock()
        self._cpu_s = 0.0
        self.ended_at = -math.inf

    def begin(self, now: float) -> float:
        """Begin a page: return the CPU time until now. What the thread does between two pages is the second one's."""
        ASIDE.begin(self.ident)
        WAITS.begin(self.ident)
        return self._cpu_s if now < self.ended_at + AT_ONCE_S else self.cpu_s()

    def cpu_s(self) -> float:
        """Return the CPU time until now."""
        self._cpu_s = self._clock.seconds()
        return self._cpu_s


class Reading:
    """One page in one parse thread. `is_claimed`: its thread, or whoever ended it, has said what became of it.

    `name_after_s` is the time after which the page is named to the user.
    """

    __slots__ = ("_cpu_before_s", "_thread", "attempt", "began_at", "is_claimed", "name_after_s", "outline")

    def __init__(self, thread: _Thread, attempt: Attempt, outline: Report, began_at: float) -> None:
        self.attempt = attempt
        self.outline = outline
        self.began_at = began_at
        self.name_after_s = NAMED_AFTER_S
        self.is_claimed = False
        self._thread = thread
        self._cpu_before_s = thread.begin(began_at)

    @property
    def thread(self) -> int:
        """The number of the thread."""
        return self._thread.number

    @property
    def thread_ident(self) -> int:
        """The thread's number for Python."""
        return self._thread.ident

    def cpu_s(self) -> float:
        """Return the CPU time that the page has taken until now."""
        # A clock may be set back by whoever controls it.
        own_s = max(0.0, self._thread.cpu_s() - self._cpu_before_s)
        return own_s + max(0.0, ASIDE.taken(self._thread.ident).cpu_s)

    def waited_s(self) -> float:
        """Return how long its hook has waited for objects of the fleet, and its parser for a processor, until now."""
        ident = self._thread.ident
        return WAITS.seconds(ident) + ASIDE.taken(ident).kept_s

    def record(self) -> PageRecord:
        """Return it as its node is to see it."""
        thread, attempt = self._thread, self.attempt
        times = (self.began_at, self._cpu_before_s, attempt.started_at, 0.0)
        return PageRecord(0, attempt.key, thread.native_id, *times, self.outline, attempt.task.url)


class Readers:
    """The parse threads of a worker, by number. Each records its page in `pages`, which survives the process.

    There are as many as have entered, `threads` at most. `typical_s` tells what pages of a host typically cost.
    """

    def __init__(
        self,
        threads: int,
        pages: WorkerPages,
        typical_s: Callable[[str], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pages = pages
        self._clock = clock
        self._lock = threading.Lock()
        self._threads: dict[int, _Thread] = {}
        self._readings: list[Reading | None] = [None] * threads
        # The last page that was begun, and the last one of another host: their hosts, and when that was.
        self._last: tuple[tuple[str, float], tuple[str, float]] = (("", -math.inf), ("", -math.inf))
        self._typical_s = typical_s
        self._usual = min(threads, USUAL_THREADS)
        self._entered = 0
        self._first_is_slow = threading.Event()
        self._ended_hosts: set[str] = set()
        # Since when each thread has been at its page; infinity for one without a page.
        self._began_at = [math.inf] * threads

    def enter(self, thread: int) -> None:
        """Make the calling thread the one of this number."""
        WAITS.watch()
        ASIDE.watch()
        with self._lock:
            self._threads[thread] = _Thread(thread)
            self._entered = max(self._entered, thread + 1)

    def begin(self, thread: int, attempt: Attempt, outline: Report) -> Reading:
        """Record the page that the calling thread is about to read; to its `outline` only a reason is missing."""
        now, host = self._clock(), attempt.host
        reading = Reading(self._threads[thread], attempt, outline, now)
        (last_host, last_at), _ = self._last
        if host != last_host or now > last_at + PRECISELY_S:
            self._note_host(host, now)
        self._pages.begin(thread, reading.record())
        self._readings[thread] = reading
        self._began_at[thread] = now
        if thread == 0 and self._is_over(host, SLOW_S):
            self._first_is_slow.set()
        return reading

    def _note_host(self, host: str, now: float) -> None:
        with self._lock:
            last, other = self._last
            self._last = ((host, now), other if last[0] == host else last)

    def end(self, reading: Reading) -> bool:
        """Record that a thread has read its page; False if the page was ended meanwhile, and the thread with it."""
        if not self.claim(reading):
            return False
        thread = reading.thread
        self._threads[thread].ended_at = self._clock()
        if thread == 0 and self._first_is_slow.is_set():
            self._first_is_slow.clear()
        self._began_at[thread] = math.inf
        self._readings[thread] = None
        self._pages.end(thread)
        return True

    def claim(self, reading: Reading) -> bool:
        """Take it upon the caller to say what became of a page; False if another has."""
        with self._lock:
            was_claimed, reading.is_claimed = reading.is_claimed, True
        return not was_claimed

    def may_take(self, thread: int, host: str, others_wait: bool) -> bool:
        """Say whether a thread may read a page of a host; `others_wait`: pages of other hosts wait, too."""
        if host in self._ended_hosts:
            return False  # this process is about to be replaced, and cannot afford another such page
        if thread == 1 and not self._are_late(thread) and self._is_over(host, SLOW_S):
            return False
        readings = [reading for reading in self._readings[: self._entered] if reading is not None]
        if not (readings or thread):
            return True  # as nearly always: one thread reads nearly all pages
        mine = [reading for reading in readings if reading.attempt.host == host]
        is_costly = self._is_over(host, COSTLY_S)
        if 2 * thread >= self._usual:
            return not (mine or is_costly)
        if is_costly and sum(self._is_over(each.attempt.host, COSTLY_S) for each in readings) >= self._usual / 4:
            return False
        held_up_since = self._clock() - HELD_UP_S
        if all(reading.began_at > held_up_since for reading in mine):
            return True
        return not others_wait and not self._had_others(host)

    def _is_over(self, host: str, cost_s: float) -> bool:
        return self._typical_s(host) > cost_s

    def _had_others(self, host: str) -> bool:
        lately = self._clock() - LATELY_S
        return any(each != host and at > lately for each, at in self._last)

    def give_up(self, host: str) -> None:
        """Read no more pages of a host of which one was ended."""
        self._ended_hosts.add(host)

    def current(self) -> list[Reading]:
        """Return the pages that are being read, without those that were ended."""
        return [reading for reading in self._readings if reading is not None and not reading.is_claimed]

    def are_all_ended(self) -> bool:
        """Say whether no thread is left: the pages of all of them were ended."""
        return all(reading is not None and reading.is_claimed for reading in self._readings[: self._entered])

    def are_held_up(self, threads: int) -> bool:
        """Say whether the first so many threads are all held up, or the first one, alone, by a host that is slow."""
        return self._are_late(threads) or (threads == 1 and self._first_is_slow.is_set())

    def wait_for_slow_page(self, timeout_s: float) -> None:
        """Wait until the first thread begins a page of a host that is slow, or the time is over."""
        self._first_is_slow.wait(timeout_s)

    def _are_late(self, threads: int) -> bool:
        return max(self._began_at[:threads]) < self._clock() - HELD_UP_S
