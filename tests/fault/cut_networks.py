"""Tests that run on machines of their own: `test_cut_networks.py` runs them, where these can be made.

One seed by default; the variable CRAWLFLEET_CUTS asks for another number. In every second one the owner that is cut off
from the database is left alone until it notices that by itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from crawlfleet.shared.errors import NotOwner, Unreachable
from tests.fault.fleet_processes import await_that
from tests.fault.machines import Machine, Network
from tests.fault.networked_crawl import (
    AGAIN,
    END_S,
    EVERYWHERE,
    OWNED_BY_OTHER,
    PAGES_PER_S,
    SERVING,
    WORKERS,
    NetworkedCrawl,
    crawling,
    database_on,
)
from tests.fault.test_promotion import promote, stopping
from tests.site.replicated_servers import synchronous_standby

NUMBER = int(os.environ.get("CRAWLFLEET_CUTS", "1"))
#: How long one crawl may take.
PATIENCE_S = 240
# So many pages are there that the crawl lasts longer than its cuts; that of the owner lasts as long as it must.
TAKE_OVER_S, NOTICED_S = 16.0, 32.0
# How soon a silent database is given up, as the query of its address; and a crawl that is not over meanwhile.
SOON = "&tcp_user_timeout=3000&connect_timeout=2"
PAGES = 120
# Some cuts are shorter than the time that a worker waits for an answer, some are longer than a lease.
SHORTEST_S, LONGEST_S = 0.2, 2.4
OWNER, STANDBY, DATABASE, SITE = "owner", "standby", "database", "site"
NAMES = [f"worker {number}" for number in range(WORKERS)]
TAKES_OVER = (OWNER, DATABASE)
PAIRS = [
    TAKES_OVER,
    (STANDBY, DATABASE),
    (OWNER, STANDBY),
    *((coordinator, worker) for coordinator in (OWNER, STANDBY) for worker in NAMES),
    *((worker, SITE) for worker in NAMES),
]

pytestmark = pytest.mark.timeout(PATIENCE_S)


class Cut(NamedTuple):
    """Whom to cut off from whom, by the roles that they have then, and for how long."""

    one: str
    other: str
    lasts_s: float


def plan(seed: int) -> list[Cut]:
    """Draw an order of all pairs, and how long each is cut."""
    rng = Random(f"cuts {seed}")
    return [Cut(*pair, rng.uniform(SHORTEST_S, LONGEST_S)) for pair in rng.sample(PAIRS, len(PAIRS))]


def machine_of(role: str, crawl: NetworkedCrawl) -> Machine:
    if role in NAMES:
        return crawl.workers[NAMES.index(role)]
    owner = crawl.owner
    return {
        OWNER: owner.machine,
        STANDBY: crawl.other(owner).machine,
        DATABASE: crawl.databases[0],
        SITE: crawl.network.here,
    }[role]


def cut_for_a_while(cut: Cut, crawl: NetworkedCrawl) -> None:
    """Make a cut after which all goes on as before."""
    owner = crawl.owner
    with crawl.network.cut_between(machine_of(cut.one, crawl), machine_of(cut.other, crawl)):
        time.sleep(cut.lasts_s)
    assert crawl.owner is owner, cut


def cut_off_the_owner(crawl: NetworkedCrawl, *, is_patient: bool) -> None:
    """Cut the owner off from the database: the other coordinator takes over, and this one serves nobody any more.

    With `is_patient` the cut is healed only when it has noticed that.
    """
    former = crawl.owner
    other = crawl.other(former)
    stood_by, served = former.count(OWNED_BY_OTHER), other.count(SERVING)
    with ThreadPoolExecutor(1) as stranger:
        with crawl.network.cut_between(former.machine, crawl.databases[0]):
            putting = stranger.submit(crawl.put, former)
            other.await_said(SERVING, served + 1)
            crawl.await_workers(other)
            if is_patient:
                former.await_said(AGAIN)
        refusal = putting.exception(END_S)
    assert isinstance(refusal, NotOwner | Unreachable), refusal
    former.await_said(AGAIN)
    former.await_said(OWNED_BY_OTHER, stood_by + 1)
    assert crawl.owner is other


@pytest.mark.parametrize("seed", range(NUMBER))
def test_the_crawl_goes_on_whatever_is_cut(seed: int, tmp_path: Path) -> None:
    cuts, is_patient = plan(seed), seed % 2 == 1
    lasts_s = sum(cut.lasts_s for cut in cuts) + (NOTICED_S if is_patient else TAKE_OVER_S)
    with (
        Network() as network,
        database_on(network) as (database, _),
        crawling(tmp_path, seed, round(PAGES_PER_S * lasts_s), network, database) as crawl,
    ):
        for cut in cuts:
            assert not crawl.is_over()
            if cut[:2] == TAKES_OVER:
                cut_off_the_owner(crawl, is_patient=is_patient)
            else:
                cut_for_a_while(cut, crawl)
        crawl.await_workers(crawl.owner)
        crawl.site.pause_s = 0.0
        assert crawl.problems() == []


def test_the_crawl_goes_on_with_a_standby_when_the_machine_of_the_primary_is_silent(tmp_path: Path) -> None:
    with Network() as network, database_on(network) as (first, primary):
        second = network.add()
        with (
            synchronous_standby(primary, EVERYWHERE, preface=second.enter) as standby,
            crawling(tmp_path, 0, PAGES, network, first, second, query=SOON) as crawl,
        ):
            before = crawl.epoch
            with ExitStack() as cuts:
                for coordinator in crawl.coordinators:
                    cuts.enter_context(network.cut_between(coordinator.machine, first))
                assert promote(primary, standby, *stopping(primary))[0] == 0
                await_that(lambda: crawl.epoch > before, END_S, "owner with the other database")
                crawl.await_workers(crawl.owner)
            crawl.site.pause_s = 0.0
            assert crawl.problems() == []


def test_what_is_cut_loses_packets_and_nobody_is_told() -> None:
    with Network() as network, socket.create_server((network.here.address, 0)) as listener:
        far, near = network.add(), network.add()

        def asks(machine: Machine) -> str:
            """Connect from a machine; return how that fails."""
            code = f"import socket; socket.create_connection({listener.getsockname()!r}, {LONGEST_S})"
            command = (*machine.enter, sys.executable, "-c", code)
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
            return done.stderr.strip().rpartition("\n")[2]

        with network.cut_between(network.here, far):
            assert (asks(far), asks(near)) == ("TimeoutError: timed out", "")
        assert asks(far) == ""
