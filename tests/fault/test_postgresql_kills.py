"""Real processes killed by -9 at random instants, and their crawl in PostgreSQL: nothing is lost, nothing doubled.

Four seeds by default; the variable CRAWLFLEET_TORTURE asks for another number.
"""

from __future__ import annotations

import os
from itertools import count, islice
from pathlib import Path

import pytest

from tests.fault.seeded_runs import run_many
from tests.fault.torture import Run, plan, run_seed, totals
from tests.site.generated_site import make_graph
from tests.site.postgresql_server import PostgresqlServer, programs

NUMBER = int(os.environ.get("CRAWLFLEET_TORTURE", "4"))
AT_ONCE = 2
RUN_S = 90

pytestmark = [
    pytest.mark.server,
    pytest.mark.long,
    pytest.mark.timeout(120 + NUMBER * RUN_S // AT_ONCE),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]


def begins_with_coordinator(seed: int) -> bool:
    """Say whether a plan begins with the coordinator's death: its successor takes the crawl over."""
    return plan(seed, len(make_graph(seed).pages))[0].victim == "coordinator"


def test_every_page_is_fetched_and_recorded_exactly_once_whoever_dies(tmp_path: Path) -> None:
    seeds = list(islice(filter(begins_with_coordinator, count()), NUMBER))
    with PostgresqlServer(syncs=True) as server:

        def run_stored(seed: int, folder: Path) -> Run:
            """Crawl with a database for this seed alone."""
            return run_seed(seed, folder, frontier=server.create_database(f"seed_{seed}"))

        runs = list(run_many(run_stored, seeds, tmp_path, AT_ONCE))
    print(totals(runs))
    assert [run for run in runs if not run.is_clean] == []
    assert sum(run.coordinator_kills for run in runs) >= NUMBER
