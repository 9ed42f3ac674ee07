"""A log line for what is unusual among the changes. It sees the very changes of the rules, so log and store agree."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from coordinator.core.changes import Change, LeaseEnded, LeaseSet, OriginSet, TaskMoved
from coordinator.core.rows import Gate
from coordinator.core.transitions import TaskEvent
from shared.messages import Kind

_TOLD = frozenset({TaskEvent.GAVE_UP, TaskEvent.POISONED})


class Journal:
    """Logs changes as they are applied."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()

    def __call__(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case TaskMoved():
                    self._note_task(change)
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
        told = change.event in _TOLD or (change.event == TaskEvent.REFUSED and task.seed)
        if told and task.kind is Kind.PAGE:
            self._log.warning("page " + task.state, url=task.url, reason=task.reason, status=task.status)

    def _note_lease(self, change: LeaseEnded) -> None:
        lease = change.lease
        if change.why == "lost":
            self._log.warning(
                "lease lost", lease=lease.id, session=lease.session, host=lease.host, tasks=len(lease.refs)
            )

    def _note_origin(self, change: OriginSet) -> None:
        if change.origin.gate is Gate.DISALLOW:
            self._log.warning("robots unreachable", url=change.origin.origin + "/robots.txt")
