"""Owners in PostgreSQL whose crawl is taken in the middle of their answers.

They are fenced, since another owner has numbered its opening, or the session is ended that has the lock. They say so,
answer nothing that was not committed, and open the crawl again when it is their turn.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path

import psycopg
import pytest

from crawlfleet.coordinator.frontier.crawl_address import schema_of
from tests.fault import object_torture
from tests.fault.fleet_processes import await_that
from tests.fault.two_coordinators import AGAIN, END_S, two_coordinators
from tests.site.postgresql_server import PostgresqlServer, programs

TAKES = 3
# What takes a crawl, by what its owner then says.
HOW = {
    "another coordinator has taken": "UPDATE {schema}.ledger SET epoch = epoch + 1",
    "was lost": "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'",
}

pytestmark = [
    pytest.mark.server,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
    pytest.mark.parametrize("words", HOW, ids=["fenced", "cut off"]),
]


class Taker:
    """Takes a crawl from its owners."""

    def __init__(self, server: PostgresqlServer, crawl: str, words: str) -> None:
        self._address = server.address()
        self._schema = schema_of(crawl)
        self._words = words

    def take(self) -> None:
        """Take it."""
        with psycopg.connect(self._address, autocommit=True) as db:
            db.execute(HOW[self._words].format(schema=self._schema).encode())


def test_pages_count_once_whoever_takes_the_crawl(tmp_path: Path, words: str) -> None:
    with two_coordinators(tmp_path) as two:
        taker = Taker(two.server, "torture", words)

        def said(what: str) -> int:
            return sum(fleet.output("coordinator").count(what) for fleet in (two.one, two.other))

        for _ in range(TAKES):
            hits, epoch = len(two.site.hits), two.progress().epoch
            taker.take()
            await_that(partial(two.is_opened_after, epoch), END_S, "next owner")
            assert two.site.await_hits(hits + 10, END_S), "nobody serves the crawl"
        assert said(words) > 0
        assert said(AGAIN) > 0
        assert said("Traceback") == 0
        assert two.ends_of(two.one, two.other) == []


def test_what_programs_were_answered_is_true_whoever_takes_the_crawl(tmp_path: Path, words: str) -> None:
    kills = (object_torture.plan(seed) for seed in count())
    seed = next(seed for seed, plan in enumerate(kills) if [each.victim for each in plan].count("coordinator") >= TAKES)
    with PostgresqlServer(syncs=True) as server:
        taker = Taker(server, "objects", words)
        run = object_torture.run_seed(seed, tmp_path, frontier=server.address(), take=taker.take)
    assert (run.is_clean, run.coordinator_kills >= TAKES) == (True, True), run
    said = (tmp_path / "coordinator.txt").read_text()
    assert (words in said, AGAIN in said, "Traceback" in said) == (True, True, False)
