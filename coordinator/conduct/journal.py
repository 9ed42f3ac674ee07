"""Logs a line for each unusual change. It gets the same changes as the store, so log and store agree."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from crawlfleet.coordinator.core.changes import (
    Accepted,
    Capped,
    Change,
    Flooded,
    Full,
    Gone,
    Leased,
    LedOn,
    Linked,
    Put,
    Recorded,
    TaskEvent,
    TaskMoved,
)
from crawlfleet.coordinator.core.robots import url_of
from crawlfleet.coordinator.core.rows import Gate, LeaseRow, LedgerRow, OriginRow, RemovableRow, TaskRow
from crawlfleet.shared.left_out import capped
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.reasons import BUDGETS, HOST_BUDGETS, TRAPS, bare, meaning_of

MAX_LIMITS_LOGGED = 10_000

_LIMITS = BUDGETS | TRAPS
_HOST_LIMITS = HOST_BUDGETS | TRAPS
_GIVEN_UP = frozenset({TaskEvent.GAVE_UP, TaskEvent.POISONED})
_NEVER_TOLD = frozenset({Accepted, Leased, Linked, LedOn, Recorded})
_UNUSUAL = _GIVEN_UP | {TaskEvent.REFUSED, TaskEvent.RETRIED}


class Journal:
    """Logs changes as they are applied."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()
        self._limits: set[tuple[str, str]] = set()
        self._last_until: float | None = None

    def __call__(self, changes: Sequence[Change]) -> None:
        lost = []
        for change in changes:
            # Not by `match` alone, which takes long for such classes: nearly all changes are usual.
            if type(change) is TaskMoved:
                if change.event in _UNUSUAL:
                    self._note_task(change)
            elif type(change) is Gone:
                if change.why == "lost":
                    lost.append(change.row)
            elif type(change) not in _NEVER_TOLD:
                self._note(change)
        if lost:
            self._note_lost(lost)

    def _note(self, change: Change) -> None:
        match change:
            case Full() if self._is_new(("known_per_host", change.host)):
                self._log.warning("limit reached", reason="known_per_host", url=change.url)
            case Capped():
                detail = capped(change.links, change.rows)
                self._log.warning(f"{change.kind} capped", url=change.url, detail=detail)
            case Flooded():
                self._note_flood(change)
            case Put(row=OriginRow() as origin) if origin.why and not origin.rechecking:
                self._note_origin(origin)
            case Put(row=LedgerRow() as ledger):
                self._note_last_wait(ledger)
            case Put(row=LeaseRow(version=1) as lease):
                self._log.debug("lease granted", lease=lease.id, host=lease.host, tasks=len(lease.refs))

    def _note_task(self, change: TaskMoved) -> None:
        task = change.task
        is_final = change.event in _GIVEN_UP or (change.event == TaskEvent.REFUSED and self._is_of_job(task))
        if change.event == TaskEvent.RETRIED:
            self._log.debug(
                "tried again later", url=task.url, reason=task.reason, status=task.status, detail=task.detail
            )
        if is_final and task.kind is not Kind.ROBOTS:
            more = {"meaning": meaning_of(task.reason), **({"detail": task.detail} if task.detail else {})}
            self._log.warning(f"{task.kind} {task.state}", url=task.url, reason=task.reason, status=task.status, **more)
        elif change.event == TaskEvent.REFUSED and task.reason in _LIMITS:
            self._note_limit(task)

    def _is_of_job(self, task: TaskRow) -> bool:
        """Say whether a task is a seed whose end is told: of the lines of seeds files, the first for each reason."""
        return task.seed and (not task.seed_line or self._is_new(("seed line", task.reason)))

    def _note_lost(self, rows: Sequence[RemovableRow]) -> None:
        """Log what was taken back from each lost session: one turn ends all that it has."""
        lost: dict[str, list[LeaseRow]] = {}
        for row in rows:
            if isinstance(row, LeaseRow):
                lost.setdefault(row.session, []).append(row)
        for session, leases in lost.items():
            hosts = sorted({lease.host for lease in leases})
            self._log.warning(
                "lease lost",
                session=session,
                leases=len(leases),
                tasks=sum(len(lease.refs) for lease in leases),
                hosts=len(hosts),
                host=hosts[0],
            )

    def _note_flood(self, flood: Flooded) -> None:
        """Log that the links of a host begin to wait, once a host."""
        if self._is_new(("flood", flood.host)):
            self._log.warning(
                "a host floods the crawl with links",
                host=flood.host,
                links=flood.links,
                pages=flood.pages,
                links_waiting=flood.links_waiting,
                url=flood.url,
                until="they are admitted, its other pages wait; other hosts go on",
            )

    def _note_limit(self, task: TaskRow) -> None:
        """Log the first URL dropped by a limit: once a crawl, or once a host if the limit is the host's own."""
        key = (task.reason, task.host if task.reason in _HOST_LIMITS else "")
        if self._is_new(key):
            self._log.warning("limit reached", reason=task.reason, meaning=meaning_of(task.reason), url=task.url)

    def _is_new(self, key: tuple[str, str]) -> bool:
        """Say whether something is to be logged that is logged once."""
        if key in self._limits:
            return False
        if len(self._limits) >= MAX_LIMITS_LOGGED:
            self._limits.clear()
        self._limits.add(key)
        return True

    def _note_last_wait(self, ledger: LedgerRow) -> None:
        until, before = ledger.robots_waits.last_until, self._last_until
        self._last_until = until
        if until is not None and before is None:
            self._log.warning(
                "nothing is left but hosts whose robots.txt cannot be had: robots_wait_last ends the wait",
                hosts=ledger.robots_waits.waiting,
            )

    def _note_origin(self, origin: OriginRow) -> None:
        waits = origin.gate is Gate.WAITING
        self._log.warning(
            "robots unreachable",
            url=url_of(origin.origin),
            reason=origin.why,
            meaning=meaning_of(bare(origin.why)),
            detail=origin.detail,
            gate=origin.gate,
            waits=waits,
        )
