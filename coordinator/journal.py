"""What is told of the changes: counts by reason, and a log line for what is unusual. It sees the very changes of the
rules, so log, store and counts cannot disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import structlog

from coordinator.core.changes import Change, LeaseEnded, LeaseSet, OriginSet, Recorded, TaskMoved
from coordinator.core.rows import Gate
from coordinator.core.transitions import TaskEvent
from shared.messages import Kind

_FINAL_REASONS = frozenset({TaskEvent.GAVE_UP, TaskEvent.POISONED, TaskEvent.REFUSED})


class Journal:
    """Counts and logs changes as they are applied."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()
        self.events: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.rows = 0
        self.seeds_fetched = 0
        self.lost_leases = 0

    def __call__(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case TaskMoved():
                    self._note_task(change)
                case Recorded():
                    self.rows += len(change.result.rows)
                    self.seeds_fetched += change.result.depth == 0
                case LeaseEnded():
                    self._note_lease(change)
                case OriginSet():
                    self._note_origin(change)
                case LeaseSet(lease=lease) if lease.version == 1:
                    self._log.debug("lease granted", lease=lease.id, host=lease.host, tasks=len(lease.refs))
                case _:
                    pass

    def _note_task(self, change: TaskMoved) -> None:
        task = change.task
        if task.kind is not Kind.PAGE:
            return
        self.events[change.event] += 1
        if change.event == TaskEvent.REVIVED:
            self.reasons["depth"] -= 1
        if change.event not in _FINAL_REASONS:
            return
        self.reasons[task.reason] += 1
        if change.event != TaskEvent.REFUSED or task.seed:
            self._log.warning("page " + task.state, url=task.url, reason=task.reason, status=task.status)

    def _note_lease(self, change: LeaseEnded) -> None:
        lease = change.lease
        if change.why == "lost":
            self.lost_leases += 1
            self._log.warning(
                "lease lost", lease=lease.id, session=lease.session, host=lease.host, tasks=len(lease.refs)
            )

    def _note_origin(self, change: OriginSet) -> None:
        if change.origin.gate is Gate.DISALLOW:
            self._log.warning("robots unreachable", url=change.origin.origin + "/robots.txt")
