"""Pools whose workers, coordinator or program are killed in the middle of every verb: nobody waits in vain.

Each verb is used by a thread of its own, over pages of its own and some that all ask for. The variable
CRAWLFLEET_POOL_TORTURE asks for more than three plans of kills.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from crawlfleet import connect
from crawlfleet.coordinator.crawl_folder import JOIN
from crawlfleet.coordinator.offline.verify import verify
from tests.acceptance.crawls import lines
from tests.fault.fleet_processes import FleetProcesses, await_that, signal_one
from tests.fault.pool_program import VERBS, rows_by
from tests.site.small_site import SmallSite, page, serving

PLANS = int(os.environ.get("CRAWLFLEET_POOL_TORTURE", "3"))
OWN, SHARED = 40, 20
PAGE_S = 0.03
# Of each plan: a coordinator that dies once a second serves nobody.
KILLS = 5
PATIENCE_S = 100.0
JOB = """\
name: pools
seeds: []
scope: {hosts: [127.0.0.1]}
politeness: {delay: 0s, per_host: 8}
fetch: {retries: 3, allow_private: [127.0.0.1]}
lease: 2s
items:
  - name: page
    fields: {title: "title::text"}
sinks: [items.jsonl]
"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


class SlowSite(SmallSite):
    """A site whose pages take a while."""

    def note(self, path: str) -> None:
        super().note(path)
        time.sleep(PAGE_S)


@contextmanager
def pool_crawl(folder: Path, places: int = 1, lease: str = "2s") -> Iterator[tuple[FleetProcesses, SmallSite]]:
    """Serve pages for all verbs, and start a coordinator and a node of two workers, without any seed."""
    names = [f"{verb} {number}" for verb in (*VERBS, "shared") for number in range(OWN)]
    pages = {f"/{name.replace(' ', '-').replace(chr(39), '')}": page(name) for name in names}
    job = folder / "pools.yaml"
    job.write_text(JOB.replace("lease: 2s", f"lease: {lease}"))
    with serving(pages, SlowSite) as site, FleetProcesses(folder, job, start_method="fork", places=places) as processes:
        processes.start_coordinator("--wait")
        await_that((processes.crawl / JOIN).is_file, 30, "the join token")
        processes.start_node()
        yield processes, site


def urls_of(site: SmallSite, verb: str) -> list[str]:
    """Return the pages that only this verb asks for, and those that all do."""
    own = [f"{verb} {number}" for number in range(OWN)]
    shared = [f"shared {number}" for number in range(SHARED)]
    by_title = {str(text).split("<title>")[1].split("<")[0]: path for path, text in site.pages.items()}
    return [site.base + by_title[title] for title in (*own, *shared)]


def expected(verb: str) -> list[str]:
    return [f"{verb} {number}" for number in range(OWN)] + [f"shared {number}" for number in range(SHARED)]


def check_crawl(processes: FleetProcesses, verbs: tuple[str, ...]) -> None:
    """Wait for the end of the crawl; every page is recorded once, and the crawl can prove it."""
    assert processes.coordinator is not None
    assert processes.coordinator.wait(PATIENCE_S) == 0, processes.output("coordinator")
    recorded = Counter(row["title"] for row in lines(processes.crawl / "items.jsonl"))
    assert recorded == Counter({title for verb in verbs for title in expected(verb)})
    proof = verify(processes.crawl)
    assert proof.holds, [found for found in proof.invariants if found.broken]
    assert proof.unfinished == 0


def kill_by(plan: int, processes: FleetProcesses, is_over: threading.Event, stopped_s: float = 0.0) -> list[str]:
    """Kill a worker or the coordinator now and then, and start the latter again; return what was killed."""
    chance, killed = Random(plan), list[str]()
    while len(killed) < KILLS and not is_over.wait(chance.uniform(0.3, 1.5)):
        if chance.random() < 0.5:
            workers = processes.workers()
            if workers and signal_one(chance.choice(workers), signal.SIGKILL):
                killed.append("worker")
        else:
            processes.replace_coordinator(chance.uniform(0.0, 0.5), "--wait", stopped_s=stopped_s)
            killed.append("coordinator")
    return killed


@pytest.mark.parametrize("plan", range(PLANS))
@pytest.mark.parametrize(("places", "stopped_s"), [(1, 0.0), (2, 0.0), (2, 1.5)], ids=["back", "elsewhere", "stopped"])
def test_every_verb_survives_the_death_of_workers_and_coordinators(
    tmp_path: Path, plan: int, places: int, stopped_s: float
) -> None:
    is_over = threading.Event()
    # A silent address is tried for a second: a program that has less time for all of them counts as gone.
    lease = "8s" if stopped_s else "2s"
    with pool_crawl(tmp_path, places, lease) as (processes, site), ThreadPoolExecutor(len(VERBS) + 1) as threads:
        killing = threads.submit(kill_by, plan, processes, is_over, stopped_s)
        with connect(processes.crawl / JOIN, patience_s=PATIENCE_S) as fleet, fleet.Pool() as pool:

            def use(verb: str) -> list[str]:
                return [str(rows[0]["title"]) for rows in rows_by(verb, fleet, pool, urls_of(site, verb))]

            using = {verb: threads.submit(use, verb) for verb in VERBS}
            try:
                found = {verb: result.result(PATIENCE_S) for verb, result in using.items()}
            finally:
                is_over.set()
                killed = killing.result(PATIENCE_S)
        check_crawl(processes, VERBS)
    for verb in VERBS:
        is_ordered = verb not in ("imap_unordered", "submit")
        assert (found[verb] if is_ordered else sorted(found[verb])) == (
            expected(verb) if is_ordered else sorted(expected(verb))
        ), verb
    assert len(killed) >= 2, killed


@pytest.mark.parametrize("verb", VERBS)
def test_a_program_that_is_killed_in_the_middle_gets_everything_when_it_asks_again(tmp_path: Path, verb: str) -> None:
    with pool_crawl(tmp_path) as (processes, site):
        command = [sys.executable, "-m", "tests.fault.pool_program", str(processes.crawl / JOIN), verb]
        command += urls_of(site, verb)
        with connect(processes.crawl / JOIN) as held:
            held.Event("held").is_set()  # the crawl waits for this program, however slowly the next one starts
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
                assert first.stdout is not None
                assert first.stdout.readline() == "open\n"
                await_that(lambda: len(site.requests) > OWN // 2, 30, "page in the middle")
                first.kill()
            again = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert again.returncode == 0, again.stderr
        head, *titles, last = again.stdout.splitlines()
        assert (head, sorted(titles), last) == ("open", sorted(expected(verb)), "done")
        check_crawl(processes, (verb,))
        # Nobody who fetches was killed.
        assert set(Counter(path for path, _ in site.requests).values()) == {1}
