"""Any order of events of a crawl, over PostgreSQL (`test_crawl_machine`): each commit is one of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import psycopg
import pytest

from crawlfleet.coordinator.frontier.port import Store
from tests.commits import AwaitedStore
from tests.property.test_crawl_machine import CrawlMachine, settings_of
from tests.site.postgresql_schemas import empty, open_unsynced
from tests.site.postgresql_server import PostgresqlServer, programs

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
    pytest.mark.timeout(900),
]
SCHEMA = "crawl"


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as running:
        PostgresqlCrawlMachine.address = running.address()
        yield running


class PostgresqlCrawlMachine(CrawlMachine):
    """All crawls have one schema, one after another."""

    address: ClassVar[str]

    def _open(self) -> Store:
        with psycopg.connect(self.address, autocommit=True) as db:
            empty(db, SCHEMA)
        return AwaitedStore(open_unsynced(self.address, SCHEMA))


TestPostgresqlCrawl = PostgresqlCrawlMachine.TestCase
TestPostgresqlCrawl.settings = settings_of(25, long=200)
