"""A page that goes in parts, while the worker, and then the coordinator, is killed between two of them."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.offline.verify import verify
from tests.fault.crawl_checks import read_items
from tests.fault.fleet_processes import FleetProcesses, await_that, kill
from tests.site.small_site import page, serving

ROWS, LINKS = 20, 10_050
HOOK = f"""\
def parse(page):
    if page.url.endswith("/"):
        for number in range({ROWS}):
            yield {{"number": number, "text": "x" * 1_000_000}}
"""
JOB = """\
name: large
seeds: ["{seed}/"]
scope: {{depth: 1}}
politeness: {{delay: 0s, per_host: 4}}
hooks: hook.py
lease: 5s
limits: {{known_per_host: 3}}
"""


def kept(crawl: Path) -> int:
    """Return how many pieces of reports the coordinator keeps."""
    if not (crawl / FRONTIER).exists():
        return 0
    with closing(sqlite3.connect(f"file:{crawl / FRONTIER}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM kept_parts").fetchone()[0])
        except sqlite3.OperationalError:  # its tables are not there yet
            return 0


def test_a_page_in_parts_is_recorded_once_whoever_dies_between_them(tmp_path: Path) -> None:
    (tmp_path / "hook.py").write_text(HOOK)
    pages = {"/": page("home", *(f"/{number}" for number in range(LINKS)))}
    with serving(pages) as site, FleetProcesses(tmp_path, tmp_path / "large.yaml", workers=1) as fleet:
        fleet.job.write_text(JOB.format(seed=site.base))
        fleet.start_coordinator()
        fleet.token()
        fleet.start_node()
        await_that(lambda: kept(fleet.crawl), 30, "part of the page")
        (worker,) = fleet.workers()
        os.kill(worker, signal.SIGKILL)
        await_that(lambda: not kept(fleet.crawl), 30, "end of its lease")
        assert not read_items(fleet.crawl / "items.jsonl")
        await_that(lambda: kept(fleet.crawl), 30, "part of the page once more")
        assert fleet.coordinator is not None
        kill(fleet.coordinator)
        assert kept(fleet.crawl)
        coordinator = fleet.start_coordinator()
        assert coordinator.wait(30) == 0, fleet.output("coordinator")
    assert [str(row["number"]) for row in read_items(fleet.crawl / "items.jsonl")] == [str(n) for n in range(ROWS)]
    assert kept(fleet.crawl) == 0
    assert verify(fleet.crawl).holds
    assert site.hits("/") == 2
