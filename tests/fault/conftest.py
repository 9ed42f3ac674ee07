"""Crawls that are stored where most are, and in a database."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from crawlfleet.coordinator.frontier.crawl_address import VARIABLE
from tests.site.postgresql_server import PostgresqlServer, programs

_numbers = count()
_ONLY_WITH_SERVER = (
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
)


@pytest.fixture(scope="session")
def database_server() -> Iterator[PostgresqlServer]:
    """A server for all tests of a process."""
    with PostgresqlServer(syncs=True) as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=_ONLY_WITH_SERVER)])
def each_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all commands of a test store their crawl in a file of its folder, or in a database of its own."""
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("database_server")
        monkeypatch.setenv(VARIABLE, server.create_database(f"crawl_{next(_numbers)}"))
