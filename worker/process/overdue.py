"""Which page of a worker process is beyond its limits, as the node sees it from outside.

A worker ends such pages itself (`worker.watch`), unless a page keeps the interpreter to itself: a regular expression
does, and so may any extension in C. Then the worker cannot renew its leases either. So a page that has kept the
interpreter for half of a lease's time is beyond its limits, however much CPU time it may take.

Only CPU time tells a page that works from a process that is stopped. Where the system does not say how much a thread
has taken, only `limits.parse_time` is applied here.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from crawlfleet.shared.quantities import duration_text
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.process import cpu_time
from crawlfleet.worker.process.cpu_time import ThreadGone
from crawlfleet.worker.process.current_pages import PageLimits, PageRecord, WorkerPages

# How much longer than the worker itself the node waits.
CPU_GRACE_S = 1.0
TIME_GRACE_S = 5.0
# The part of a lease's time for which a page may keep the interpreter, and the part of this for which it must have run.
SHARE_OF_LEASE = 0.5
BUSY_SHARE = 0.1
# A worker that has ended a page, and lives on for so long, cannot come to an end.
LAST_S = 90.0


class Overdue(NamedTuple):
    """A page that is to be ended by killing its process, and why."""

    page: PageRecord
    reason: str
    detail: str
    cpu_s: float

    def as_ended(self) -> PageRecord:
        """Return the page as one that was ended."""
        outline = replace(self.page.outline, cpu_s=self.cpu_s)
        return self.page._replace(reason=self.reason, detail=self.detail, outline=outline)


class PageWatch:
    """Looks at the pages of one process from outside. A page is named when it was overdue at two looks in a row."""

    def __init__(self, pages: WorkerPages, process_id: int) -> None:
        self._pages = pages
        self._process_id = process_id
        self._last: Overdue | None = None
        # The CPU time of each page, by serial number of its thread, when the process last could run Python.
        self._cpu_at_beat: dict[tuple[int, int], float] = {}
        self._marked_at: float | None = None

    def look(self, now: float) -> Overdue | None:
        """Return the page to end now, if there is one."""
        found, last = self._find(now), self._last
        self._last = found
        if found is None or last is None or (found.page.key, found.page.serial) != (last.page.key, last.page.serial):
            return None
        return found

    def _find(self, now: float) -> Overdue | None:
        limits, silent_s = self._pages.limits(), now - self._pages.last_beat()
        pages = self._pages.read_all()
        kept = {}
        worst: tuple[float, Overdue] | None = None
        for page in [page for page in pages if not page.reason]:
            cpu_s = self._cpu_s(page)
            place = (page.thread_id, page.serial)
            before_s = self._cpu_at_beat.get(place, 0.0) if silent_s > 1.0 else cpu_s
            kept[place] = before_s
            found = _judged(page, cpu_s, cpu_s - before_s, silent_s, limits, now)
            if found is not None and (worst is None or cpu_s - before_s > worst[0]):
                worst = cpu_s - before_s, found
        self._cpu_at_beat = kept
        return worst[1] if worst is not None else self._lingering([page for page in pages if page.reason], now)

    def _cpu_s(self, page: PageRecord) -> float:
        """Return the CPU time of a page; 0 if it is not known."""
        try:
            now_s = cpu_time.of_thread(self._process_id, page.thread_id)
        except ThreadGone:
            return 0.0
        return max(0.0, now_s - page.cpu_before_s) if now_s is not None else 0.0

    def _lingering(self, marked: list[PageRecord], now: float) -> Overdue | None:
        """Return a page that its worker has ended, if the worker cannot end itself."""
        if not marked:
            return None
        if self._marked_at is None:
            self._marked_at = now
        return Overdue(marked[0], marked[0].reason, marked[0].detail, 0.0) if now > self._marked_at + LAST_S else None


def _judged(
    page: PageRecord, cpu_s: float, silent_cpu_s: float, silent_s: float, limits: PageLimits, now: float
) -> Overdue | None:
    """Return a page as overdue if it is; `silent_cpu_s` is what it took since its process last ran Python."""
    hold_s = limits.lease_s * SHARE_OF_LEASE
    if cpu_s > limits.cpu_s + CPU_GRACE_S:
        detail = f"reading it took more than {duration_text(limits.cpu_s)} of CPU time (limits.cpu)"
        return Overdue(page, Reason.CPU_LIMIT, detail, cpu_s)
    if silent_s > hold_s and silent_cpu_s > hold_s * BUSY_SHARE:
        detail = f"reading it kept the interpreter for {hold_s:g} s, so that its worker could not renew its leases"
        return Overdue(page, Reason.CPU_LIMIT, detail, cpu_s)
    if now - page.began_at - page.waited_s > limits.parse_time_s + TIME_GRACE_S:
        detail = f"reading it took longer than {duration_text(limits.parse_time_s)} (limits.parse_time)"
        return Overdue(page, Reason.PARSE_TIME, detail, cpu_s)
    return None
