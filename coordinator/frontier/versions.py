"""The check that makes `apply` safe: a change must be the successor of the stored row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crawlfleet.coordinator.core.changes import Change, Gone, Put, TaskMoved
from crawlfleet.coordinator.core.rows import StoreRow
from crawlfleet.coordinator.frontier.port import Conflict

Key = bytes | str | int


def check_versions(changes: Sequence[Change], stored: Callable[[type[StoreRow], Key], StoreRow | None]) -> None:
    """Raise `Conflict` unless each change succeeds the stored row, or an earlier change of the batch."""
    versions: dict[tuple[type[StoreRow], Key], int] = {}
    for change in changes:
        if isinstance(change, TaskMoved):
            row: StoreRow = change.task
        elif isinstance(change, Put | Gone):
            row = change.row
        else:
            continue
        kind, key = type(row), row.key
        before = versions.get((kind, key))
        if before is None:
            known = stored(kind, key)
            before = 0 if known is None else known.version
        if row.version != before + 1:
            raise Conflict(f"{kind.__name__} {key!r} is at version {before}, the change at {row.version}")
        versions[kind, key] = row.version
