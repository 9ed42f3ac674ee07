"""A crawl in a schema of a real PostgreSQL server: commits, locks, fences and lost connections are real, time is not.

The server's clock is that of the simulated machine: `clock_timestamp` of a schema of the keeper's own hides that of the
server. An owner that dies says nothing to the server, which sees its connections end. Another one that takes the crawl
counts its epoch on.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any, cast
from unittest.mock import patch

import psycopg
from psycopg import sql

from crawlfleet.coordinator.frontier.crawl_address import CrawlAddress
from crawlfleet.coordinator.frontier.crawl_clock import ClockReading
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.kept_address import keep_address
from crawlfleet.coordinator.frontier.port import Claim, Conclusion
from crawlfleet.coordinator.frontier.postgresql import database as product
from crawlfleet.coordinator.frontier.postgresql import writing
from crawlfleet.coordinator.frontier.postgresql.connection import Connection, Place, connect
from crawlfleet.coordinator.frontier.postgresql.database import PostgresqlDatabase
from tests.property.test_store_machine import SMALL
from tests.simulation.chronicle import Fault
from tests.simulation.fragile import Fuse
from tests.simulation.keepers import FEW_PAGES, POSTGRESQL, SQLITE, Settings, SimDatabase
from tests.site.postgresql_schemas import empty, open_unsynced
from tests.site.postgresql_server import PostgresqlServer

Clocks = Callable[[], ClockReading]

FULL = "disk is full"
_TICKS_PER_S = 1_000_000
_CLOCK = """
CREATE SCHEMA IF NOT EXISTS {0};
CREATE SEQUENCE IF NOT EXISTS {0}.ticks;
CREATE OR REPLACE FUNCTION {0}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT pg_catalog.to_timestamp(last_value / 1e6::float8) FROM {0}.ticks'
"""


class PostgresqlKeeper:
    """One schema of a server, for one seed after another, and its clock."""

    is_elsewhere = True

    def __init__(self, address: str, crawl: str) -> None:
        self._at = CrawlAddress(address, crawl)
        self._clock = f"clock_of_{self._at.schema}"
        self._control: Connection = psycopg.connect(address, autocommit=True)
        self._control.execute("SET client_min_messages = warning")
        self._control.execute(sql.SQL(_CLOCK).format(sql.Identifier(self._clock)))
        self._is_new = True
        self._patches = ExitStack()

    def open(self, folder: Path, settings: Settings, clocks: Clocks, _fuse: Fuse) -> SimDatabase:
        """See the port. There is no point to die between two commits of a batch: it has one."""
        self.set_clock(clocks().wall_s)
        if self._is_new:
            empty(self._control, self._at.schema)
            keep_address(folder, self._at, "simulated")
            self._keep_little(settings)
            self._is_new = False
        self.make_room()
        connections: list[Connection] = []

        def connect_by_clock(place: Place, **options: Any) -> Connection:
            connections.append(connect(place, **options))
            path = f'"{place.schema}", "{self._clock}", pg_catalog'
            connections[-1].execute("SELECT set_config('search_path', %s, false)", (path,))
            return connections[-1]

        with patch.object(product, "connect", connect_by_clock):
            opened = open_unsynced(*self._at_schema, while_owned=_wait)
        database = SimPostgresql(opened, connections, self, clocks, settings.inline_bytes)
        return cast(SimDatabase, database)

    def log_bytes(self, _folder: Path) -> int:
        """See the port. What a server has acknowledged no other machine's power cut takes."""
        return 0

    def cut_log(self, folder: Path, size_bytes: int) -> None:
        """See the port."""

    def forget_marks(self, _folder: Path) -> None:
        """See the port."""
        self.execute("DELETE FROM {}", "marks")

    def close(self) -> None:
        """See the port."""
        self._patches.close()
        self._control.close()

    def _keep_little(self, settings: Settings) -> None:
        """Let the store of a seed with a small cache keep little in memory: then it reads in pages of few rows."""
        if settings.cache_pages == FEW_PAGES:
            for module, values in SMALL.items():
                for name, value in values.items():
                    self._patches.enter_context(patch.object(module, name, value))

    def set_clock(self, wall_s: float) -> None:
        """Set the server's clock."""
        self._control.execute("SELECT setval(%s, %s)", (f'"{self._clock}".ticks', round(wall_s * _TICKS_PER_S)))

    def take_over(self) -> None:
        """Let another coordinator have the crawl, as one that was taken for dead is not told."""
        self.execute("UPDATE {} SET epoch = epoch + 1", "ledger")

    def fill_disk(self) -> None:
        """Let the server refuse what a commit of any task writes."""
        self.make_room()
        self.execute(f'ALTER TABLE {{}} ADD CONSTRAINT "{FULL}" CHECK (false) NOT VALID', "story")

    def make_room(self) -> None:
        """Let it take that again."""
        self.execute(f'ALTER TABLE IF EXISTS {{}} DROP CONSTRAINT IF EXISTS "{FULL}"', "story")

    def execute(self, statement: str, *tables: str) -> None:
        """Execute a statement over tables of the crawl, past its owner."""
        names = [sql.Identifier(self._at.schema, table) for table in tables]
        self._control.execute(sql.SQL(statement).format(*names))

    @property
    def _at_schema(self) -> tuple[str, str]:
        return self._at.database, self._at.schema


class SimPostgresql:
    """The database of one incarnation."""

    def __init__(
        self,
        database: PostgresqlDatabase,
        connections: list[Connection],
        keeper: PostgresqlKeeper,
        clocks: Clocks,
        call_bytes: int,
    ) -> None:
        self._database = database
        self._connections = connections
        self._keeper = keeper
        self._clocks = clocks
        self._call_bytes = call_bytes or writing.CALL_BYTES

    def __getattr__(self, name: str) -> Any:
        """Return what else the database has."""
        return getattr(self._database, name)

    def write(self, batch: Batch, _began: ClockReading) -> None:
        """See the port. A server reads its clock when it writes."""
        self._keeper.set_clock(self._clocks().wall_s)
        conclusion = self._commit(batch)
        assert conclusion is Conclusion.DONE, f"a commit is {conclusion}, though nothing is wrong"

    def lose(self, batch: Batch, fault: Fault) -> None:
        """See the port."""
        expected = Conclusion.FENCED if fault is Fault.COMMIT_FENCED else Conclusion.UNKNOWN
        if fault is Fault.COMMIT_FENCED:
            self._keeper.take_over()
        else:
            _cut(self._connections[0])
        if fault is not Fault.COMMIT_UNKNOWN_IN:
            conclusion = self._commit(batch)
            assert conclusion is expected, f"a commit is {conclusion}, not {expected}"

    def fill_disk(self, _spare_pages: int) -> None:
        """See the port. Nothing is spare."""
        self._keeper.fill_disk()

    def make_room(self) -> None:
        """See the port."""
        self._keeper.make_room()

    def checkpoint(self) -> None:
        """See the port."""
        self._keeper.execute("CHECKPOINT")

    def die(self) -> None:
        """See the port."""
        for connection in self._connections:
            _cut(connection)

    def _commit(self, batch: Batch) -> Conclusion | None:
        over = Event()
        with patch.object(writing, "CALL_BYTES", self._call_bytes):
            self._database.begin(batch, over.set)
        over.wait()
        return self._database.conclude()


@contextmanager
def served(store: str) -> Iterator[str]:
    """Give the address of the database that a store needs, for as long as the block runs; of SQLite an empty one."""
    if store == POSTGRESQL:
        with PostgresqlServer() as server:
            yield server.address()
    else:
        yield "" if store == SQLITE else store


def _cut(connection: Connection) -> None:
    """End a connection without a word, for both sides."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


def _wait(_claim: Claim) -> None:
    """The server has not noticed yet that the last owner is dead."""
    time.sleep(0.005)
