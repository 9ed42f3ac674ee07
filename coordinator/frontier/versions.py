"""The check that makes `apply` safe: a change must follow on the very row that is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crawlfleet.coordinator.core.changes import (
    Change,
    HostSet,
    LeaseEnded,
    LeaseSet,
    LedgerSet,
    OriginSet,
    TaskMoved,
    TrapSet,
)
from crawlfleet.coordinator.core.rows import Fact
from crawlfleet.coordinator.frontier.port import Conflict

Key = tuple[type[Change], bytes | str | int]


def check_versions(changes: Sequence[Change], stored: Callable[[Key], int]) -> None:
    """Raise `Conflict` unless each change follows on what is stored (its version, 0 if none) or on an earlier one."""
    versions: dict[Key, int] = {}
    for change in changes:
        row, key = _row_of(change)
        if row is None:
            continue
        before = versions.get(key)
        if before is None:
            before = stored(key)
        if row.version != before + 1:
            raise Conflict(f"{key} is at version {before}, the change at {row.version}")
        versions[key] = row.version


def _row_of(change: Change) -> tuple[Fact | None, Key]:
    kind = type(change)
    if kind is TaskMoved:
        task = change.task  # type: ignore[attr-defined]  # `kind` says so, and costs less than a match
        return task, (TaskMoved, task.ref)
    match change:
        case HostSet():
            return change.host, (HostSet, change.host.key)
        case LedgerSet():
            return change.ledger, (LedgerSet, 0)
        case LeaseSet() | LeaseEnded():
            return change.lease, (LeaseSet, change.lease.id)
        case OriginSet():
            return change.origin, (OriginSet, change.origin.origin)
        case TrapSet():
            return change.trap, (TrapSet, change.trap.key)
        case _:
            return None, (Change, 0)
