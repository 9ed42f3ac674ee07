"""PostgreSQL servers that benchmarks start, and what they spend: CPU time of all of their processes, and log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from tests.site.postgresql_server import PostgresqlServer

#: A server of a small machine: a quarter of its memory, and no checkpoint while little is written.
SETTINGS = ("shared_buffers=512MB", "max_wal_size=8GB")
DATABASE = "crawls"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STANDBY_SYNCS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"


class Spent(NamedTuple):
    """What servers have spent since they were started: CPU time, that of standbys apart, and bytes of log."""

    cpu_s: float = 0.0
    standby_cpu_s: float = 0.0
    log_bytes: int = 0

    def since(self, earlier: Spent) -> Spent:
        """Return what was spent after an earlier moment."""
        return Spent(
            self.cpu_s - earlier.cpu_s, self.standby_cpu_s - earlier.standby_cpu_s, self.log_bytes - earlier.log_bytes
        )


class ServerMeter:
    """What one server has spent."""

    def __init__(self, address: str) -> None:
        self._db = psycopg.connect(address, autocommit=True)
        self._first = int(_stat(self._db.info.backend_pid)[1])

    def log_bytes(self) -> int:
        """Return how many bytes of write-ahead log there are; a standby does not know."""
        return int(self.ask("SELECT pg_current_wal_insert_lsn() - '0/0'"))

    def cpu_s(self) -> float:
        """Return the CPU time of the server's first process, its children, and those that have ended."""
        first = _stat(self._first)
        ticks = sum(map(int, first[11:15]))
        for path in Path("/proc").glob("[0-9]*"):
            try:
                fields = _stat(int(path.name))
            except OSError:  # it is gone meanwhile
                continue
            if int(fields[1]) == self._first:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS_PER_S

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows that a statement yields."""
        found = self._db.execute(query)
        return found.fetchall() if found.description else []

    def ask(self, query: str) -> Any:
        """Return the one value that a statement yields, None if it yields none."""
        return next(iter(self.rows(query)), (None,))[0]

    def close(self) -> None:
        """Close the meter's connection."""
        self._db.close()


class Servers:
    """A primary, and perhaps its synchronous standby. Both sync, and run on this machine."""

    def __init__(self, primary: PostgresqlServer, meters: list[ServerMeter]) -> None:
        self._primary = primary
        self._meters = meters

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create an empty database, and remove it at the end; yields its address."""
        meter = self._meters[0]
        meter.ask(f"CREATE DATABASE {DATABASE}")
        try:
            yield self._primary.address(DATABASE)
        finally:
            meter.ask(f"DROP DATABASE {DATABASE} WITH (FORCE)")

    def spent(self) -> Spent:
        """Return what was spent so far."""
        cpu_s, *standby_s = (meter.cpu_s() for meter in self._meters)
        return Spent(cpu_s, sum(standby_s), self._meters[0].log_bytes())


@contextmanager
def servers(*settings: str, with_standby: bool = False) -> Iterator[Servers]:
    """Run a primary with more settings, and its standby if that is asked for."""
    with ExitStack() as running:
        primary = running.enter_context(PostgresqlServer(*SETTINGS, *settings, syncs=True))
        started = [primary]
        if with_standby:
            standby = PostgresqlServer(*SETTINGS, *settings, syncs=True, of=primary)
            started.append(running.enter_context(standby))
        meters = [running.enter_context(closing(ServerMeter(server.address()))) for server in started]
        if with_standby:
            _await_standby(meters[0])
        yield Servers(primary, meters)


def _await_standby(meter: ServerMeter) -> None:
    meter.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    meter.ask("SELECT pg_reload_conf()")
    while not meter.ask(_STANDBY_SYNCS):
        time.sleep(0.02)


def _stat(number: int) -> list[str]:
    """Return what the system tells of a process, from its state on."""
    return Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
