"""The store over PostgreSQL against the one in memory, over any order of changes (`test_store_machine`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.coordinator.frontier.postgresql.database import PostgresqlDatabase, open_database
from tests.property.test_store_machine import StoreMachine
from tests.site.postgresql_schemas import empty
from tests.site.postgresql_server import PostgresqlServer, programs
from tests.unit.late_database import nobody

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
    pytest.mark.timeout(600),
]
SCHEMA = "crawl"


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer(syncs=True) as running:
        PostgresqlMachine.address = running.address()
        yield running


class LatePostgresql:
    """A database whose commits end with `end`. `is_seen`: what is read before has their changes already."""

    def __init__(self, database: PostgresqlDatabase, *, is_seen: bool) -> None:
        self._database = database
        self._is_seen = is_seen
        self._ended: Callable[[], None] = nobody
        self._batch: Batch | None = None
        self._is_over = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    def begin(self, batch: Batch, ended: Callable[[], None]) -> None:
        self._batch, self._ended, self._is_over = batch, ended, False
        if self._is_seen:
            self._carry_out()

    def conclude(self) -> Conclusion | None:
        return self._database.conclude() if self._is_over else None

    def end(self) -> None:
        """Let the commit under way be done."""
        if not self._is_seen:
            self._carry_out()
        self._is_over = True
        self._ended()

    def _carry_out(self) -> None:
        over = Event()
        assert self._batch is not None
        self._database.begin(self._batch, over.set)
        over.wait()


class PostgresqlMachine(StoreMachine):
    """All crawls have one schema, one after another: to make its tables takes longer than a crawl."""

    address: ClassVar[str]

    @initialize(is_seen=st.booleans())
    def open(self, is_seen: bool) -> None:
        with psycopg.connect(self.address, autocommit=True) as db:
            empty(db, SCHEMA)
        super().open(is_seen)

    def _open(self) -> None:
        self.database = LatePostgresql(open_database(self.address, SCHEMA), is_seen=self.is_seen)  # type: ignore[assignment]  # it ends commits as that of the base does
        self.store = DurableStore(self.database)


TestPostgresqlMachine = PostgresqlMachine.TestCase
TestPostgresqlMachine.settings = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
