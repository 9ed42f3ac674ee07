"""The rows that a durable store has in memory: those of open leases and active hosts, those read lately, and those
that the next commit has to write."""

from __future__ import annotations

import sqlite3

import msgspec

from crawlfleet.coordinator.core.changes import HostSet, LeaseSet, LedgerSet, OriginSet, TaskMoved, TrapSet
from crawlfleet.coordinator.core.leases import under_lease
from crawlfleet.coordinator.core.rows import Fact, HostRow, LeaseRow, LedgerRow, OriginRow, TaskRow, TrapRow
from crawlfleet.coordinator.frontier.due_hosts import DueHosts
from crawlfleet.coordinator.frontier.versions import Key

CACHED_TASKS = 50_000
CACHED_DEPTHS = 250_000
CACHED_HOSTS = 20_000
CACHED_ORIGINS = 40_000
CACHED_ROBOTS_BYTES = 64 * 1024 * 1024
CACHED_TRAPS = 5_000

_encode = msgspec.msgpack.Encoder().encode
_lease = msgspec.msgpack.Decoder(LeaseRow).decode
_task = msgspec.msgpack.Decoder(TaskRow).decode
_host = msgspec.msgpack.Decoder(HostRow).decode


class RowCache:
    """Rows by key, and which of them are not written yet."""

    def __init__(self) -> None:
        self.tasks: dict[bytes, TaskRow] = {}
        self.depths: dict[bytes, int] = {}
        self.by_id: dict[int, bytes] = {}
        self.hosts: dict[str, HostRow] = {}
        self.origins: dict[str, OriginRow] = {}
        self.traps: dict[str, TrapRow] = {}
        self.leases: dict[int, LeaseRow] = {}
        self.due = DueHosts()
        self.ledger = LedgerRow()
        self._most_hosts = CACHED_HOSTS
        self._robots_bytes = 0
        self._sessions: dict[str, dict[int, None]] = {}
        self._born: set[bytes] = set()
        self._new_tasks: set[bytes] = set()
        self._lowered: set[bytes] = set()
        self._new_hosts: set[str] = set()
        self._new_origins: set[str] = set()
        self._new_traps: set[str] = set()
        self._new_leases: set[int] = set()

    def load_active(self, db: sqlite3.Connection) -> None:
        """Read the open leases and the active hosts."""
        for (row,) in db.execute("SELECT row FROM leases ORDER BY id"):
            self._hold(_lease(row))
        for (row,) in db.execute("SELECT row FROM hosts WHERE active"):
            host = _host(row)
            self.hosts[host.key] = host
            self.due.note(host, None)
        for lease in self.leases.values():
            marks = ",".join("?" * len(lease.refs))
            for (row,) in db.execute(f"SELECT row FROM tasks WHERE ref IN ({marks})", lease.refs):
                self.keep(under_lease(_task(row), lease))

    def keep(self, task: TaskRow) -> TaskRow:
        """Keep a task that was read, unless a newer row of it is here; return the newer one."""
        self.by_id[task.order] = task.ref
        return self.tasks.setdefault(task.ref, task)

    def set_task(self, task: TaskRow, *, told_by_lease: bool = False) -> None:
        """Take a task's new row; one that `under_lease` would come to need not be written."""
        before = self.tasks.get(task.ref)
        if before is None:
            self._born.add(task.ref)
        elif not told_by_lease:
            self._new_tasks.add(task.ref)
            if before.depth != task.depth:
                self._lowered.add(task.ref)
        self.tasks[task.ref] = task
        self.depths[task.ref] = task.depth
        self.by_id[task.order] = task.ref

    def set_host(self, host: HostRow) -> None:
        """Take a host's new row."""
        self.due.note(host, self.hosts.get(host.key))
        self.hosts[host.key] = host
        self._new_hosts.add(host.key)

    def keep_origin(self, origin: OriginRow) -> None:
        """Keep an origin that was read."""
        self.origins[origin.origin] = origin
        self._robots_bytes += len(origin.robots)

    def set_origin(self, origin: OriginRow) -> None:
        """Take an origin's new row."""
        self.keep_origin(origin)
        self._new_origins.add(origin.origin)

    def set_trap(self, trap: TrapRow) -> None:
        """Take the new counts of a host or a domain."""
        self.traps[trap.key] = trap
        self._new_traps.add(trap.key)

    def set_lease(self, lease: LeaseRow) -> None:
        """Take a lease's new row."""
        self._hold(lease)
        self._new_leases.add(lease.id)

    def end_lease(self, lease: LeaseRow) -> None:
        """Forget a lease."""
        del self.leases[lease.id]
        mine = self._sessions[lease.session]
        del mine[lease.id]
        if not mine:
            del self._sessions[lease.session]
        self._new_leases.add(lease.id)

    def leases_of(self, session: str) -> tuple[LeaseRow, ...]:
        """Return a session's leases, oldest first."""
        return tuple(self.leases[number] for number in self._sessions.get(session, ()))

    def holders(self) -> frozenset[str]:
        """Return the sessions that have leases."""
        return frozenset(self._sessions)

    def version(self, key: Key) -> int:
        """Return the version of the row that a change of this key follows on, 0 if there is none."""
        kind, name = key
        row: Fact | None = None
        if kind is TaskMoved:
            row = self.tasks.get(name)  # type: ignore[arg-type]  # the key of a task is bytes
        elif kind is HostSet:
            row = self.hosts.get(name)  # type: ignore[arg-type]  # the key of a host is text
        elif kind is LeaseSet:
            row = self.leases.get(name)  # type: ignore[arg-type]  # the key of a lease is a number
        elif kind is OriginSet:
            row = self.origins.get(name)  # type: ignore[arg-type]  # the key of an origin is text
        elif kind is TrapSet:
            row = self.traps.get(name)  # type: ignore[arg-type]  # the key of counts is text
        elif kind is LedgerSet:
            row = self.ledger
        return row.version if row is not None else 0

    def write(self, db: sqlite3.Connection) -> int:
        """Write what is new; return how many tasks that were: each touches about a page of the file."""
        born = sorted((self.tasks[ref] for ref in self._born), key=_order)
        db.executemany(
            "INSERT INTO tasks VALUES (?, ?, ?, ?)",
            [(task.order, task.ref, task.depth, _encode(task)) for task in born],
        )
        changed = sorted((self.tasks[ref] for ref in self._new_tasks - self._born), key=_order)
        db.executemany("UPDATE tasks SET row = ? WHERE id = ?", [(_encode(task), task.order) for task in changed])
        lowered = [(self.tasks[ref].depth, self.tasks[ref].order) for ref in self._lowered - self._born]
        db.executemany("UPDATE tasks SET depth = ? WHERE id = ?", lowered)
        hosts = (self.hosts[key] for key in self._new_hosts)
        db.executemany(
            "INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)",
            ((host.key, is_active(host), _encode(host)) for host in hosts),
        )
        origins = (self.origins[key] for key in self._new_origins)
        db.executemany(
            "INSERT OR REPLACE INTO origins VALUES (?, ?)", ((origin.origin, _encode(origin)) for origin in origins)
        )
        traps = (self.traps[key] for key in self._new_traps)
        db.executemany("INSERT OR REPLACE INTO traps VALUES (?, ?)", ((trap.key, _encode(trap)) for trap in traps))
        ended = [(number,) for number in self._new_leases if number not in self.leases]
        db.executemany("DELETE FROM leases WHERE id = ?", ended)
        leases = (self.leases[number] for number in self._new_leases if number in self.leases)
        db.executemany("INSERT OR REPLACE INTO leases VALUES (?, ?)", ((lease.id, _encode(lease)) for lease in leases))
        return len(born) + len(changed)

    def cut_back(self) -> None:
        """Note that all is written, and forget what is neither open nor active if there is too much of it."""
        for new in (self._born, self._new_tasks, self._lowered, self._new_hosts, self._new_origins, self._new_leases):
            new.clear()
        self._new_traps.clear()
        if len(self.traps) > CACHED_TRAPS:
            self.traps.clear()
        if len(self.depths) > CACHED_DEPTHS:
            self.depths.clear()
        if len(self.tasks) > CACHED_TASKS:
            open_refs = [ref for lease in self.leases.values() for ref in lease.refs]
            self.tasks = {ref: self.tasks[ref] for ref in open_refs if ref in self.tasks}
            self.by_id = {task.order: ref for ref, task in self.tasks.items()}
        if len(self.origins) > CACHED_ORIGINS or self._robots_bytes > CACHED_ROBOTS_BYTES:
            self.origins.clear()
            self._robots_bytes = 0
        if len(self.hosts) > self._most_hosts:
            self.hosts = {key: host for key, host in self.hosts.items() if is_active(host)}
            # Active hosts have to stay: not to go through them at each commit, wait until as many more are there.
            self._most_hosts = max(CACHED_HOSTS, 2 * len(self.hosts))

    def _hold(self, lease: LeaseRow) -> None:
        self.leases[lease.id] = lease
        self._sessions.setdefault(lease.session, {})[lease.id] = None


def _order(task: TaskRow) -> int:
    return task.order


def is_active(host: HostRow) -> bool:
    """Say whether something may be granted on a host, or is."""
    return host.ready_at is not None or bool(host.holders)
