"""Servers of databases that benchmarks start: each crawl finds an empty database, and what it spends is told."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from benchmarks.contestants import DATABASE, Site, choose
from benchmarks.database_server import servers
from benchmarks.meter import Command, measure
from tests.site.postgresql_server import programs

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
ROWS = 200_000
# A row takes more than this of the log.
LEAST_BYTES = 40


def test_each_crawl_has_an_empty_database_and_what_servers_spend_is_told() -> None:
    with servers("fsync=off", with_standby=True) as running:
        for _ in range(2):
            with running.database() as address, psycopg.connect(address, autocommit=True) as db:
                before = running.spent()
                db.execute(f"CREATE TABLE filled AS SELECT * FROM generate_series(1, {ROWS})")
                assert db.execute("SELECT sync_state FROM pg_stat_replication").fetchall() == [("sync",)]
                spent = running.spent().since(before)
            assert spent.log_bytes > LEAST_BYTES * ROWS
            assert spent.cpu_s > 0


def test_the_server_of_a_contestant_answers_before_the_crawl_begins_and_ends_with_it() -> None:
    (contestant,) = choose([f"in {DATABASE}"])
    # Not in a folder of pytest's: the server's user may not enter those of root.
    with TemporaryDirectory(prefix="crawlfleet-") as folder:
        work = Path(folder) / "work"
        work.mkdir()
        service, crawl = contestant.prepare(Site("http://site.test/", []), work)
        ask = f"import psycopg; psycopg.connect({_frontier(work)!r}).execute('SELECT 1')"
        cost = measure([service, Command([crawl.arguments[0], "-c", ask])], work)
        assert cost.cpu_s > 0
        assert not service.answers()


def _frontier(work: Path) -> str:
    lines = (work / "site.yaml").read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("frontier: ") for line in lines if line.startswith("frontier: "))
