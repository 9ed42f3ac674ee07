"""The check that makes `apply` safe: a change must be the successor of the stored row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crawlfleet.coordinator.core.changes import Change, Gone, Put, TaskMoved
from crawlfleet.coordinator.core.rows import LedgerRow, StoreRow, TaskRow
from crawlfleet.coordinator.frontier.port import Conflict

Key = bytes | str | int
Rows = Mapping[type[StoreRow], Mapping[Any, StoreRow]]


def check_versions(changes: Sequence[Change], rows: Rows, ledger: LedgerRow) -> None:
    """Raise `Conflict` unless each change succeeds the stored row, or an earlier change of the batch."""
    tasks = rows[TaskRow]
    moved: dict[bytes, int] = {}
    others: dict[tuple[type[StoreRow], Key], int] = {}
    for change in changes:
        # Not by `isinstance`, which takes long for such classes: there are many changes.
        if type(change) is TaskMoved:
            task = change.task
            before = moved.get(task.ref)
            if before is None:
                known = tasks.get(task.ref)
                before = 0 if known is None else known.version
            moved[task.ref] = task.version
            if task.version != before + 1:
                raise _conflict(task, before)
        elif type(change) is Put or type(change) is Gone:
            _check(change.row, rows, ledger, others)


def _check(row: StoreRow, rows: Rows, ledger: LedgerRow, seen: dict[tuple[type[StoreRow], Key], int]) -> None:
    kind, key = type(row), row.key
    before = seen.get((kind, key))
    if before is None:
        known = ledger if kind is LedgerRow else rows[kind].get(key)
        before = 0 if known is None else known.version
    if row.version != before + 1:
        raise _conflict(row, before)
    seen[kind, key] = row.version


def _conflict(row: StoreRow, before: int) -> Conflict:
    return Conflict(f"{type(row).__name__} {row.key!r} is at version {before}, the change at {row.version}")
