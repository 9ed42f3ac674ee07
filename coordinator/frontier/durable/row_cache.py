"""The rows that a durable store holds in memory.

They are the rows of open leases and active hosts, recently read rows, and rows that the next commit must write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from itertools import chain
from typing import Any

import msgspec

from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, KeptPartRow, SeedLineRow
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
from crawlfleet.coordinator.frontier.durable.batch import Batch, NewRows
from crawlfleet.coordinator.frontier.families import Families
from crawlfleet.coordinator.frontier.versions import Key

CACHED_TASKS = 50_000
CACHED_DEPTHS = 250_000
CACHED_HOSTS = 20_000
CACHED_ROWS: dict[type[StoreRow], int] = {
    OriginRow: 40_000,
    TrapRow: 5_000,
    SeedLineRow: 2_000,
    KeptLinksRow: 100,
    KeptPartRow: 0,
}
CACHED_OF_OTHERS = 20_000
CACHED_ROBOTS_BYTES = 64 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode


class _Unwritten:
    """What one commit writes: keys of new, changed and removed rows by kind; of tasks also which are born, or lowered.

    Tasks that are born are not among the others.
    """

    def __init__(self) -> None:
        self.keys: dict[type[StoreRow], set[Any]] = {kind: set() for kind in KINDS}
        self.born: set[bytes] = set()
        self.lowered: set[bytes] = set()

    def clear(self) -> None:
        """Forget all."""
        for keys in (self.born, self.lowered, *self.keys.values()):
            keys.clear()


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
        self._decode_task: Callable[[bytes], TaskRow] = self._decode[TaskRow]
        self.families: dict[type[StoreRow], Families] = {
            kind: Families() for kind in KINDS if issubclass(kind, ResidentRow)
        }
        self._bounded = [
            (kind, CACHED_ROWS.get(kind, CACHED_OF_OTHERS))
            for kind in self.rows
            if kind not in (TaskRow, HostRow, *self.families)
        ]
        # Of the next commit, and of the one under way, which a database may have or not.
        self._next, self._under_way = _Unwritten(), _Unwritten()
        self._most_tasks = CACHED_TASKS
        self._most_hosts = CACHED_HOSTS
        self._robots_bytes = 0

    def load(self, kind: type[StoreRow], encoded: Iterable[bytes]) -> None:
        """Take all rows of a resident kind, or all active hosts, as the database has them."""
        for row in map(self._decode[kind], encoded):
            self.rows[kind][row.key] = row
            if isinstance(row, HostRow):
                self.due.note(row, None)
            else:
                self.families[kind].put(row, None)

    def load_leased(self, encoded: Iterable[bytes]) -> None:
        """Take tasks under the open leases, of which the database may have earlier rows."""
        leases = {ref: lease for lease in self.leases.values() for ref in lease.refs}
        for task in map(self._decode_task, encoded):
            self._keep_task(under_lease(task, leases[task.ref]))

    def keep(self, kind: type[StoreRow], encoded: bytes) -> None:
        """Keep a row that was read, unless a newer one with its key is here."""
        row = self._decode[kind](encoded)
        if isinstance(row, TaskRow):
            self._keep_task(row)
            return
        if isinstance(row, OriginRow):
            self._robots_bytes += len(row.robots)
        self.rows[kind].setdefault(row.key, row)

    def take_task(self, encoded: bytes) -> bytes:
        """Keep a task that was read, unless a newer row of it is here; return its fingerprint."""
        task = self._decode_task(encoded)
        self._keep_task(task)
        return task.ref

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
        self._next.keys[kind].add(row.key)

    def put_task(self, task: TaskRow, *, implied_by_lease: bool = False) -> TaskRow | None:
        """Take a task's new row, and return the one before; one that `under_lease` can derive need not be written."""
        ref = task.ref
        before = self.tasks.get(ref)
        self.tasks[ref] = task
        if before is None:
            self._next.born.add(ref)
        elif implied_by_lease:
            return before
        elif ref not in self._next.born:
            self._next.keys[TaskRow].add(ref)
            if before.depth != task.depth:
                self._next.lowered.add(ref)
        self.depths[ref] = task.depth
        self.by_id[task.order] = ref
        return before

    def remove(self, row: RemovableRow) -> None:
        """Forget a row."""
        kind = type(row)
        if isinstance(row, ResidentRow):
            self.families[kind].remove(row)
        del self.rows[kind][row.key]
        self._next.keys[kind].add(row.key)

    def is_removed(self, kind: type[StoreRow], key: Key) -> bool:
        """Say whether a commit removes a row that the database may still have."""
        is_changed = key in self._next.keys[kind] or key in self._under_way.keys[kind]
        return is_changed and key not in self.rows[kind]

    def unwritten_births(self) -> Iterator[bytes]:
        """Yield the fingerprints of tasks that the database may not have."""
        return chain(self._under_way.born, self._next.born)

    def begin(self, batch: Batch) -> None:
        """Put what is not written yet into a batch, whose commit begins."""
        self._next, self._under_way = self._under_way, self._next
        unwritten, tasks = self._under_way, self.tasks
        if unwritten.born:
            born = sorted((tasks[ref] for ref in unwritten.born), key=_order)
            batch.born = [(task.order, task.ref, task.depth, _encode(task)) for task in born]
        for kind, keys in unwritten.keys.items():
            if keys and kind is TaskRow:
                changed = sorted((tasks[ref] for ref in keys), key=_order)
                batch.changed = [(task.order, _encode(task)) for task in changed]
                batch.lowered = [(tasks[ref].order, tasks[ref].depth) for ref in unwritten.lowered]
            elif keys:
                batch.rows[kind] = self._new_rows(kind, keys)

    def conclude(self, soon: Iterable[bytes] = ()) -> None:
        """Note that the commit is done; forget rows if there are too many of them.

        What stays are rows that are open or active, that are not written yet, and tasks that are read `soon`.
        """
        self._under_way.clear()
        fresh = self._next
        if len(self.depths) > CACHED_DEPTHS:
            self.depths.clear()
            self.depths.update((ref, self.tasks[ref].depth) for ref in fresh.born | fresh.lowered)
        # What is open or active must stay. To avoid a pass over it at each commit, wait until its number has doubled.
        if len(self.tasks) > self._most_tasks:
            leased = (ref for lease in self.leases.values() for ref in lease.refs)
            refs = {*leased, *soon, *fresh.born, *fresh.keys[TaskRow]}
            some = [self.tasks[ref] for ref in refs if ref in self.tasks]
            self.tasks.clear()
            self.tasks.update((task.ref, task) for task in some)
            self.by_id = {task.order: task.ref for task in some}
            self._most_tasks = max(CACHED_TASKS, 2 * len(some))
        if len(self.hosts) > self._most_hosts:
            active = [host for host in self.hosts.values() if is_active(host) or host.key in fresh.keys[HostRow]]
            self.hosts.clear()
            self.hosts.update((host.key, host) for host in active)
            self._most_hosts = max(CACHED_HOSTS, 2 * len(self.hosts))
        if self._robots_bytes > CACHED_ROBOTS_BYTES:
            self._forget_written(OriginRow)
            self._robots_bytes = sum(len(row.robots) for row in self.rows[OriginRow].values())
        for kind, most in self._bounded:
            if len(self.rows[kind]) > most:
                self._forget_written(kind)

    def _forget_written(self, kind: type[StoreRow]) -> None:
        rows = self.rows[kind]
        fresh = [(key, rows[key]) for key in self._next.keys[kind] if key in rows]
        rows.clear()
        rows.update(fresh)

    def _new_rows(self, kind: type[StoreRow], keys: Set[Any]) -> NewRows:
        rows = self.rows[kind]
        new = [rows[key] for key in keys if key in rows]
        gone = [key for key in keys if key not in rows] if len(new) < len(keys) else []
        if kind is HostRow:
            return NewRows([(host.key, is_active(host), _encode(host)) for host in new], gone)
        return NewRows([(row.key, _encode(row)) for row in new], gone)

    def _keep_task(self, task: TaskRow) -> None:
        self.by_id[task.order] = task.ref
        self.tasks.setdefault(task.ref, task)


def _order(task: TaskRow) -> int:
    return task.order


def is_active(host: HostRow) -> bool:
    """Say whether tasks of a host may be granted, or are."""
    return host.ready_at is not None or bool(host.holders)
