"""Crawls that are stored where most are, and in a database."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from crawlfleet.coordinator.frontier.crawl_address import VARIABLE
from tests.site.postgresql_server import PostgresqlServer, programs

_numbers = count()
_NEEDS_SERVER = (pytest.mark.server, pytest.mark.skipif(programs() is None, reason="not installed: postgresql"))


@pytest.fixture(scope="session")
def database_server() -> Iterator[PostgresqlServer]:
    """A server for all tests of a process."""
    with PostgresqlServer(syncs=True) as running:
        yield running


@pytest.fixture
def in_postgresql(database_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all commands of a test store their crawl in a database of its own."""
    monkeypatch.setenv(VARIABLE, database_server.create_database(f"crawl_{next(_numbers)}"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=_NEEDS_SERVER)])
def each_store(request: pytest.FixtureRequest) -> None:
    """Let all commands of a test store their crawl in a file of its folder, or in a database of its own."""
    if request.param == "postgresql":
        request.getfixturevalue("in_postgresql")
