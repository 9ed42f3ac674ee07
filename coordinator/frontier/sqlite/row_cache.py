"""The rows that a durable store holds in memory.

They are the rows of open leases and active hosts, recently read rows, and rows that the next commit must write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, KeptPartRow
from crawlfleet.coordinator.core.leases import under_lease
from crawlfleet.coordinator.core.rows import (
    HostRow,
    LeaseRow,
    LedgerRow,
    OriginRow,
    RemovableRow,
    ResidentRow,
    StoreRow,
    TaskRow,
    TrapRow,
)
from crawlfleet.coordinator.frontier.due_hosts import DueHosts
from crawlfleet.coordinator.frontier.families import Families
from crawlfleet.coordinator.frontier.versions import Key

CACHED_TASKS = 50_000
CACHED_DEPTHS = 250_000
CACHED_HOSTS = 20_000
CACHED_ROWS: dict[type[StoreRow], int] = {OriginRow: 40_000, TrapRow: 5_000, KeptLinksRow: 100, KeptPartRow: 0}
CACHED_OF_OTHERS = 20_000
CACHED_ROBOTS_BYTES = 64 * 1024 * 1024
PAGE_BYTES = 4_096

_encode = msgspec.msgpack.Encoder().encode


class RowCache:
    """Rows by kind and key; it knows which of them are not written yet."""

    def __init__(self) -> None:
        self.rows: dict[type[StoreRow], dict[Any, Any]] = {kind: {} for kind in KINDS}
        self.tasks: dict[bytes, TaskRow] = self.rows[TaskRow]
        self.hosts: dict[str, HostRow] = self.rows[HostRow]
        self.leases: dict[int, LeaseRow] = self.rows[LeaseRow]
        self.depths: dict[bytes, int] = {}
        self.by_id: dict[int, bytes] = {}
        self.due = DueHosts()
        self.ledger = LedgerRow()
        self._decode: dict[type[StoreRow], Callable[[bytes], Any]] = {
            kind: msgspec.msgpack.Decoder(kind).decode for kind in KINDS
        }
        self.families: dict[type[StoreRow], Families] = {
            kind: Families() for kind in KINDS if issubclass(kind, ResidentRow)
        }
        self._objects = self.families.keys() - {LeaseRow}
        self._bounded = [
            (rows, CACHED_ROWS.get(kind, CACHED_OF_OTHERS))
            for kind, rows in self.rows.items()
            if kind not in (TaskRow, HostRow, *self.families)
        ]
        self._new: dict[type[StoreRow], set[Any]] = {kind: set() for kind in KINDS}
        self._born: set[bytes] = set()
        self._lowered: set[bytes] = set()
        self._most_tasks = CACHED_TASKS
        self._most_hosts = CACHED_HOSTS
        self._robots_bytes = 0

    def load_active(self, db: sqlite3.Connection) -> None:
        """Read the rows of resident kinds, the tasks of open leases, and the active hosts."""
        for kind, families in self.families.items():
            for (encoded,) in db.execute(f"SELECT row FROM {KINDS[kind]}"):
                row = self._decode[kind](encoded)
                self.rows[kind][row.key] = row
                families.put(row, None)
        for (row,) in db.execute("SELECT row FROM hosts WHERE active"):
            host = self._decode[HostRow](row)
            self.hosts[host.key] = host
            self.due.note(host, None)
        for lease in self.leases.values():
            marks = ",".join("?" * len(lease.refs))
            for (row,) in db.execute(f"SELECT row FROM tasks WHERE ref IN ({marks})", lease.refs):
                self._keep_task(under_lease(self._decode[TaskRow](row), lease))

    def keep(self, kind: type[StoreRow], encoded: bytes) -> None:
        """Keep a row that was read, unless a newer one with its key is here."""
        row = self._decode[kind](encoded)
        if isinstance(row, TaskRow):
            self._keep_task(row)
            return
        if isinstance(row, OriginRow):
            self._robots_bytes += len(row.robots)
        self.rows[kind].setdefault(row.key, row)

    def put(self, row: StoreRow) -> None:
        """Take a new row of any kind but tasks."""
        kind = type(row)
        if isinstance(row, LedgerRow):
            self.ledger = row
            return
        if isinstance(row, HostRow):
            self.due.note(row, self.hosts.get(row.key))
        elif isinstance(row, ResidentRow):
            self.families[kind].put(row, self.rows[kind].get(row.key))
        elif isinstance(row, OriginRow):
            self._robots_bytes += len(row.robots)
        self.rows[kind][row.key] = row
        self._new[kind].add(row.key)

    def put_task(self, task: TaskRow, *, implied_by_lease: bool = False) -> None:
        """Take a task's new row; one that `under_lease` can derive need not be written."""
        before = self.tasks.get(task.ref)
        if before is None:
            self._born.add(task.ref)
        elif not implied_by_lease:
            self._new[TaskRow].add(task.ref)
            if before.depth != task.depth:
                self._lowered.add(task.ref)
        self.tasks[task.ref] = task
        self.depths[task.ref] = task.depth
        self.by_id[task.order] = task.ref

    def remove(self, row: RemovableRow) -> None:
        """Forget a row."""
        kind = type(row)
        if isinstance(row, ResidentRow):
            self.families[kind].remove(row)
        del self.rows[kind][row.key]
        self._new[kind].add(row.key)

    def is_removed(self, kind: type[StoreRow], key: Key) -> bool:
        """Say whether the next commit removes a row, which the file still has."""
        return key in self._new[kind] and key not in self.rows[kind]

    def stored(self, kind: type[StoreRow], key: Key) -> StoreRow | None:
        """Return the row that a change of this key must succeed, if any."""
        return self.ledger if kind is LedgerRow else self.rows[kind].get(key)

    def write(self, db: sqlite3.Connection) -> int:
        """Write the new rows; return about how many pages of the file that touches.

        Each task and each row of an object touches a page of its own. The other rows are few, or lie together.
        """
        pages = self._write_tasks(db) if self._born or self._new[TaskRow] else 0
        for kind, keys in self._new.items():
            if kind is TaskRow or not keys:
                continue
            rows, table = self.rows[kind], KINDS[kind]
            new = [rows[key] for key in keys if key in rows]
            if len(new) < len(keys):
                db.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys if key not in rows])
            if kind is HostRow:
                hosts = [(host.key, is_active(host), _encode(host)) for host in new]
                db.executemany("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)", hosts)
            elif new:
                values = [(row.key, _encode(row)) for row in new]
                db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", values)
                if kind in self._objects:
                    pages += len(keys) + sum(len(row) for _, row in values) // PAGE_BYTES
        return pages

    def cut_back(self) -> None:
        """Mark all rows as written; forget rows that are neither open nor active if there are too many of them."""
        for new in (self._born, self._lowered, *self._new.values()):
            new.clear()
        if len(self.depths) > CACHED_DEPTHS:
            self.depths.clear()
        # What is open or active must stay. To avoid a pass over it at each commit, wait until its number has doubled.
        if len(self.tasks) > self._most_tasks:
            some = [self.tasks[ref] for lease in self.leases.values() for ref in lease.refs if ref in self.tasks]
            self.tasks.clear()
            self.tasks.update((task.ref, task) for task in some)
            self.by_id = {task.order: task.ref for task in some}
            self._most_tasks = max(CACHED_TASKS, 2 * len(some))
        if len(self.hosts) > self._most_hosts:
            active = [host for host in self.hosts.values() if is_active(host)]
            self.hosts.clear()
            self.hosts.update((host.key, host) for host in active)
            self._most_hosts = max(CACHED_HOSTS, 2 * len(self.hosts))
        if self._robots_bytes > CACHED_ROBOTS_BYTES:
            self.rows[OriginRow].clear()
            self._robots_bytes = 0
        for rows, most in self._bounded:
            if len(rows) > most:
                rows.clear()

    def _write_tasks(self, db: sqlite3.Connection) -> int:
        born = sorted((self.tasks[ref] for ref in self._born), key=_order)
        db.executemany(
            "INSERT INTO tasks VALUES (?, ?, ?, ?)",
            [(task.order, task.ref, task.depth, _encode(task)) for task in born],
        )
        changed = sorted((self.tasks[ref] for ref in self._new[TaskRow] - self._born), key=_order)
        db.executemany("UPDATE tasks SET row = ? WHERE id = ?", [(_encode(task), task.order) for task in changed])
        lowered = [(self.tasks[ref].depth, self.tasks[ref].order) for ref in self._lowered - self._born]
        db.executemany("UPDATE tasks SET depth = ? WHERE id = ?", lowered)
        return len(born) + len(changed)

    def _keep_task(self, task: TaskRow) -> None:
        self.by_id[task.order] = task.ref
        self.tasks.setdefault(task.ref, task)


def _order(task: TaskRow) -> int:
    return task.order


def is_active(host: HostRow) -> bool:
    """Say whether tasks of a host may be granted, or are."""
    return host.ready_at is not None or bool(host.holders)
