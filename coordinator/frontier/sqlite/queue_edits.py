"""Collects the changes to the tables of queues of a durable store, to write them in few statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from crawlfleet.coordinator.core.rows import TaskRow


class QueueEdits:
    """The changes of one batch: which tasks wait now, and which no longer do."""

    def __init__(self) -> None:
        self._edits: dict[tuple[str, int], TaskRow | None] = {}
        self._gone: list[TaskRow] = []
        self._ripe: list[TaskRow] = []

    def add(self, task: TaskRow) -> None:
        """Add a waiting task."""
        self._edits[task.queue, task.order] = task

    def remove(self, task: TaskRow) -> None:
        """Remove a task that no longer waits."""
        if self._edits.pop((task.queue, task.order), None) is None:
            self._gone.append(task)

    def ripen(self, task: TaskRow) -> None:
        """Move a task from `later` to `ready`."""
        self._gone.append(task)
        self._ripe.append(task)

    @property
    def filled(self) -> set[str]:
        """The queues to which tasks were added."""
        return {queue for queue, _ in self._edits}

    def write(self, db: sqlite3.Connection) -> int:
        """Write all changes; return by how much the number of tasks in `later` has grown."""
        added = [task for task in self._edits.values() if task is not None]
        now = [*self._ripe, *(task for task in added if task.not_before <= 0)]
        later = _later(added)
        fewer = 0
        if self._gone:
            db.executemany("DELETE FROM ready WHERE queue = ? AND rank = ? AND id = ?", _ready(self._gone))
            if waited := _later(self._gone):
                delete = "DELETE FROM later WHERE queue = ? AND not_before = ? AND id = ?"
                fewer = db.executemany(delete, waited).rowcount
        if now:
            db.executemany("INSERT INTO ready VALUES (?, ?, ?)", _ready(now))
        if later:
            db.executemany("INSERT INTO later VALUES (?, ?, ?)", later)
        return len(later) - fewer


def _ready(tasks: Iterable[TaskRow]) -> list[tuple[str, int, int]]:
    return [(task.queue, task.rank, task.order) for task in tasks]


def _later(tasks: Iterable[TaskRow]) -> list[tuple[str, float, int]]:
    return [(task.queue, task.not_before, task.order) for task in tasks if task.not_before > 0]
