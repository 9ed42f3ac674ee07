"""The rows that a durable store has in memory: those of open leases and active hosts, those read lately, and those
that the next commit has to write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from coordinator.core.changes import HostSet, LeaseSet, LedgerSet, OriginSet, TaskMoved
from coordinator.core.rows import Fact, HostRow, LeaseRow, LedgerRow, OriginRow, TaskRow
from coordinator.frontier.due_hosts import DueHosts
from coordinator.frontier.versions import Key

CACHED_TASKS = 50_000
CACHED_HOSTS = 20_000

_encode = msgspec.msgpack.Encoder().encode
_lease = msgspec.msgpack.Decoder(LeaseRow).decode
_host = msgspec.msgpack.Decoder(HostRow).decode


class RowCache:
    """Rows by key, and which of them are not written yet."""

    def __init__(self) -> None:
        self.tasks: dict[bytes, TaskRow] = {}
        self.by_id: dict[int, bytes] = {}
        self.hosts: dict[str, HostRow] = {}
        self.origins: dict[str, OriginRow] = {}
        self.leases: dict[int, LeaseRow] = {}
        self.due = DueHosts()
        self.ledger = LedgerRow()
        self._sessions: dict[str, dict[int, None]] = {}
        self._new_tasks: set[bytes] = set()
        self._new_hosts: set[str] = set()
        self._new_origins: set[str] = set()
        self._new_leases: set[int] = set()

    def load_active(self, db: sqlite3.Connection) -> None:
        """Read the open leases and the active hosts."""
        for (row,) in db.execute("SELECT row FROM leases ORDER BY id"):
            self._hold(_lease(row))
        for (row,) in db.execute("SELECT row FROM hosts WHERE active"):
            host = _host(row)
            self.hosts[host.key] = host
            self.due.note(host, None)

    def keep(self, task: TaskRow) -> TaskRow:
        """Keep a task that was read, unless a newer row of it is here; return the newer one."""
        self.by_id[task.order] = task.ref
        return self.tasks.setdefault(task.ref, task)

    def set_task(self, task: TaskRow) -> None:
        """Take a task's new row."""
        self.tasks[task.ref] = task
        self.by_id[task.order] = task.ref
        self._new_tasks.add(task.ref)

    def set_host(self, host: HostRow) -> None:
        """Take a host's new row."""
        self.due.note(host, self.hosts.get(host.key))
        self.hosts[host.key] = host
        self._new_hosts.add(host.key)

    def set_origin(self, origin: OriginRow) -> None:
        """Take an origin's new row."""
        self.origins[origin.origin] = origin
        self._new_origins.add(origin.origin)

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
        elif kind is LedgerSet:
            row = self.ledger
        return row.version if row is not None else 0

    def write(self, db: sqlite3.Connection) -> int:
        """Write what is new; return how many tasks that were: each touches about a page of the file."""
        tasks = (self.tasks[ref] for ref in self._new_tasks)
        db.executemany(
            "INSERT INTO tasks VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET row = excluded.row",
            sorted((task.order, task.ref, _encode(task)) for task in tasks),
        )
        hosts = (self.hosts[key] for key in self._new_hosts)
        db.executemany(
            "INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)",
            ((host.key, is_active(host), _encode(host)) for host in hosts),
        )
        origins = (self.origins[key] for key in self._new_origins)
        db.executemany(
            "INSERT OR REPLACE INTO origins VALUES (?, ?)", ((origin.origin, _encode(origin)) for origin in origins)
        )
        ended = [(number,) for number in self._new_leases if number not in self.leases]
        db.executemany("DELETE FROM leases WHERE id = ?", ended)
        leases = (self.leases[number] for number in self._new_leases if number in self.leases)
        db.executemany("INSERT OR REPLACE INTO leases VALUES (?, ?)", ((lease.id, _encode(lease)) for lease in leases))
        return len(self._new_tasks)

    def cut_back(self) -> None:
        """Note that all is written, and forget what is neither open nor active if there is too much of it."""
        for new in (self._new_tasks, self._new_hosts, self._new_origins, self._new_leases):
            new.clear()
        if len(self.tasks) > CACHED_TASKS:
            open_refs = [ref for lease in self.leases.values() for ref in lease.refs]
            self.tasks = {ref: self.tasks[ref] for ref in open_refs if ref in self.tasks}
            self.by_id = {task.order: ref for ref, task in self.tasks.items()}
        if len(self.hosts) > CACHED_HOSTS:
            self.hosts = {key: host for key, host in self.hosts.items() if is_active(host)}
            self.origins = {origin: self.origins[origin] for origin in self._active_origins() if origin in self.origins}

    def _active_origins(self) -> Iterable[str]:
        return (origin for host in self.hosts.values() for origin in host.origins)

    def _hold(self, lease: LeaseRow) -> None:
        self.leases[lease.id] = lease
        self._sessions.setdefault(lease.session, {})[lease.id] = None


def is_active(host: HostRow) -> bool:
    """Say whether something may be granted on a host, or is."""
    return host.ready_at is not None or bool(host.holders)
