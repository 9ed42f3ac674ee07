"""The store over PostgreSQL as benchmarks of stores drive it: one commit after another; and what its server spends."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.simulated_crawl import Stopwatch
from crawlfleet.coordinator.frontier.postgresql.database import PostgresqlDatabase, open_database
from tests.commits import AwaitedStore

SCHEMA = "crawl"
# What costs a round trip.
_TRIPS = ("rows", "tasks", "depths", "heads", "queues", "waiting", "walk", "begin", "kept", "keep")


class _Counted:
    """A database that counts its calls by name."""

    def __init__(self, database: PostgresqlDatabase) -> None:
        self._database = database
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        if name in _TRIPS:
            self.calls[name] += 1
        return getattr(self._database, name)


class CountedStore(AwaitedStore):
    """The store, whose `calls` are how often the database was called, by name."""

    def __init__(self, address: str) -> None:
        counted = _Counted(open_database(address, SCHEMA))
        self.calls = counted.calls
        super().__init__(counted)


class ServerMeter:
    """What a server spends from here on, all of its processes together."""

    def __init__(self, store: CountedStore, address: str) -> None:
        self._store = store
        self._db = psycopg.connect(address, autocommit=True)
        self._calls = store.calls.copy()
        self._log_bytes, self._cpu_s = self._written_bytes(), self._spent_s()

    def figures(self, watch: Stopwatch) -> dict[str, Any]:
        """Return CPU time and log by page, and calls by exchange."""
        calls = self._store.calls - self._calls
        exchanges = len(watch.commits_s)
        return {
            "server_cpu_us": round((self._spent_s() - self._cpu_s) / watch.number * 1e6, 1),
            "log_bytes": round((self._written_bytes() - self._log_bytes) / watch.number),
            "trips": round(calls.total() / exchanges, 2),
            "calls": ", ".join(f"{name} {number / exchanges:.2f}" for name, number in calls.most_common()),
        }

    def _written_bytes(self) -> int:
        (found,) = self._db.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone() or (0,)
        return int(found)

    def _spent_s(self) -> float:
        """Return the CPU time of the server's first process, its children, and those that have ended."""
        first = int(_stat(self._db.info.backend_pid)[1])
        numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        alive = [number for number in numbers if number == first or _is_child(number, first)]
        ticks = sum(int(ticks) for number in alive for ticks in _stat(number)[11:13])
        ended = sum(int(ticks) for ticks in _stat(first)[13:15])
        return (ticks + ended) / os.sysconf("SC_CLK_TCK")


def _is_child(number: int, first: int) -> bool:
    try:
        return int(_stat(number)[1]) == first
    except OSError:
        return False


def _stat(number: int) -> list[str]:
    """Return what the system tells of a process, from its state on."""
    return Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
