"""The store over PostgreSQL as benchmarks of stores drive it: one commit after another; and what its server spends."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.database_server import ServerMeter
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


class CrawlMeter:
    """What a crawl costs its server from here on, and how often it calls it."""

    def __init__(self, store: CountedStore, address: str) -> None:
        self._store = store
        self._server = ServerMeter(address)
        self._calls = store.calls.copy()
        self._log_bytes, self._cpu_s = self._server.log_bytes(), self._server.cpu_s()

    def figures(self, watch: Stopwatch) -> dict[str, Any]:
        """Return CPU time and log by page, and calls by exchange."""
        calls = self._store.calls - self._calls
        exchanges = len(watch.commits_s)
        return {
            "server_cpu_us": round((self._server.cpu_s() - self._cpu_s) / watch.number * 1e6, 1),
            "log_bytes": round((self._server.log_bytes() - self._log_bytes) / watch.number),
            "trips": round(calls.total() / exchanges, 2),
            "calls": ", ".join(f"{name} {number / exchanges:.2f}" for name, number in calls.most_common()),
        }
