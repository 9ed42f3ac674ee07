"""A crawl in PostgreSQL whose rows go into a database: the next owner writes it, though the last one has it open."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from crawlfleet.coordinator.frontier.port import CrawlTaken
from crawlfleet.coordinator.sinks.database import DatabaseSink
from crawlfleet.coordinator.sinks.port import Sink
from crawlfleet.coordinator.sinks.postgresql_sink import PostgresqlTables
from tests.fault.crawl_checks import check, read_items
from tests.fault.fleet_processes import await_that
from tests.fault.torture import see_off, write_job
from tests.fault.two_coordinators import END_S, SERVING, TwoCoordinators
from tests.site.driven_crawl import driven
from tests.site.generated_site import make_graph, serving_graph
from tests.site.postgresql_server import PostgresqlServer, programs

SEED = 1
DELAY = "politeness: {delay: 50ms, per_host: 4, adaptive: false}"

pytestmark = [
    pytest.mark.server,
    pytest.mark.long,
    pytest.mark.timeout(240),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]


@pytest.fixture
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer(syncs=True) as server:
        with psycopg.connect(server.address(), autocommit=True) as db:
            db.execute("CREATE DATABASE rows")
        yield server


def test_the_next_owner_writes_into_the_database_that_a_stopped_one_has_open(
    server: PostgresqlServer, tmp_path: Path
) -> None:
    with (
        serving_graph(make_graph(SEED), 0.01) as site,
        psycopg.connect(server.address("rows"), autocommit=True) as rows,
    ):
        job = write_job(tmp_path, site.base, DELAY, f"sinks: [items.jsonl, '{server.address('rows')}']")
        with TwoCoordinators(tmp_path, job, [server.address()] * 2) as two:
            await_that(lambda: rows.execute("SELECT to_regclass('page')").fetchone() != (None,), END_S, "row")
            assert two.one.coordinator is not None
            two.one.coordinator.send_signal(signal.SIGSTOP)
            two.await_said(two.other, SERVING)
            assert see_off(two.other, END_S) == []
            findings = check(two.other.crawl, site)
            assert findings.is_clean, findings
            written = [url for (url,) in rows.execute("SELECT url FROM page")]
            assert sorted(written) == sorted(row["url"] for row in read_items(two.other.crawl / "items.jsonl"))
            two.one.coordinator.send_signal(signal.SIGCONT)
            assert see_off(two.one, END_S) == []


def test_an_owner_that_loses_its_crawl_while_it_opens_a_sink_changes_nothing_there(
    server: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks, stored = (server.address("rows"),), f"frontier: '{server.address()}'"
    with driven(tmp_path, 1, sinks, more=stored):
        pass
    opens = PostgresqlTables.open

    def lose(*place: Any, **options: Any) -> Sink:
        sink = opens(*place, **options)
        with psycopg.connect(server.address(), autocommit=True) as db:
            db.execute("UPDATE crawl_driven.ledger SET epoch = epoch + 1")
        return sink

    restored: list[object] = []
    monkeypatch.setattr(PostgresqlTables, "open", lose)
    monkeypatch.setattr(DatabaseSink, "restore", lambda *given: restored.append(given))
    with pytest.raises(CrawlTaken), driven(tmp_path, 0, sinks, more=stored):
        pass
    assert restored == []
