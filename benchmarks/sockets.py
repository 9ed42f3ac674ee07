"""The rate at which a real coordinator settles pages that simulated sessions report to it through its sockets.

    python -m benchmarks.sockets [--store FILE] [--sessions N] [--seconds S] [--pages N] [--folder FOLDER]
    python -m benchmarks.sockets --frontiers sqlite postgresql standby --durability power --rounds 5

The coordinator is `python -m crawlfleet.coordinator`; each session is a process that talks to it through the fleet's
proxies and fetches nothing: the pages (see `simulated_site`) are made up before it begins, `--pages` of them by all
sessions together, since what a worker costs is not of interest here. `--store` is a store of SQLite that
`benchmarks.stores` has filled; it is copied. With several `--frontiers`, crawls are stored in each by turns. Prints
pages settled a second, and how much CPU time of the coordinator each took, and of servers of databases.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.by_turns import KINDS, Crawled, Place, table, take_turns
from benchmarks.coordinator_process import cpu_s, peak_mb, resident_mb
from benchmarks.simulated_site import SimulatedSite, address, site_hosts
from crawlfleet.commands.arguments import count
from crawlfleet.coordinator.frontier.registry import FRONTIER, USUAL
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.shared.messages import AckState, ExchangeRequest, Hello, Kind, Report
from crawlfleet.shared.wire.join_token import read_token
from crawlfleet.shared.wire.manager import FleetManager

NAME = "sockets"
WANT = 64
# So many pages wait at any time, since each page names a new one: enough for every session to be given what it wants.
SEEDS = 2_000
WARM_S = 3.0


def session(join: Path, number: int, sessions: int, known: int, pages: int) -> None:
    """Make pages up, then report and ask, until the coordinator goes away or this process is ended."""
    site = SimulatedSite(known, number, sessions)
    site.foresee(pages // sessions, WANT)
    fleet = FleetManager.joining(read_token(join))
    fleet.connect()
    queue, name = fleet.Queue(), f"session-{number}"
    queue.hello(Hello(session=name))
    reports: tuple[Report, ...] = ()
    while True:
        answer = queue.exchange(ExchangeRequest(session=name, reports=reports, want=WANT))
        assert all(ack.state is AckState.OK for ack in answer.acks), answer.acks
        reports = site.reports(answer.leases)
        if not reports:
            time.sleep(answer.idle_s)


def measure(asked: argparse.Namespace, place: Place) -> Crawled:
    """Run a coordinator and its sessions; return what they came to."""
    folder: Path = asked.folder
    shutil.rmtree(folder, ignore_errors=True)
    crawl = folder / "crawls" / NAME
    crawl.mkdir(parents=True)
    known = SEEDS
    if asked.store is not None:
        shutil.copy(asked.store, crawl / FRONTIER)
        known = max(SEEDS, _pages(crawl / FRONTIER))
    with place.frontier() as frontier:
        job, join = _write_job(folder, asked.durability), folder / "join"
        serve = [sys.executable, "-m", "crawlfleet.coordinator", str(job), "--frontier", frontier]
        serve += ["--crawls", str(crawl.parent), "--join-file", str(join)]
        with subprocess.Popen(serve, stdout=subprocess.DEVNULL) as coordinator:
            _wait_for(join)
            talk = [sys.executable, "-m", "benchmarks.sockets", "--join", str(join), "--known", str(known)]
            talk += ["--pages", str(asked.pages), "--sessions", str(asked.sessions)]
            children = [subprocess.Popen([*talk, "--inside", str(number)]) for number in range(asked.sessions)]
            try:
                return _watch(join, coordinator.pid, asked.sessions, asked.seconds, place)
            finally:
                for child in children:
                    child.kill()
                    child.wait()
                coordinator.terminate()


def _watch(join: Path, pid: int, sessions: int, seconds: float, place: Place) -> Crawled:
    fleet = FleetManager.joining(read_token(join))
    fleet.connect()
    control = fleet.Control()
    while control.status().sessions < sessions:
        time.sleep(0.2)
    time.sleep(WARM_S)
    before, spent, used_s, began = control.status().done, place.spent(), cpu_s(pid), time.perf_counter()
    time.sleep(seconds)
    settled = control.status().done - before
    used_s, elapsed_s, spent = cpu_s(pid) - used_s, time.perf_counter() - began, place.spent().since(spent)
    turn = Crawled(settled, elapsed_s, used_s, servers=spent)
    print(
        f"{turn.per_s:,.0f} pages/s, {turn.coordinator_us:.0f} us of the coordinator's CPU a page "
        f"({used_s / elapsed_s:.2f} cores), RSS {resident_mb(pid):.0f} MB, peak {peak_mb(pid):.0f} MB"
    )
    return turn


def _pages(path: Path) -> int:
    """Return how many pages a store knows."""
    with closing(SqliteStore(path)) as store:
        return sum(number for (kind, _), number in store.counts().items() if kind is Kind.PAGE)


def _write_job(folder: Path, durability: str) -> Path:
    seeds = "".join(f"  - {address(number)}\n" for number in range(SEEDS))
    path = folder / "job.yaml"
    path.write_text(
        f"name: {NAME}\nseeds:\n{seeds}scope: {{hosts: [{', '.join(site_hosts())}]}}\n"
        f"politeness: {{delay: 0s, per_host: 64}}\nlease: 60s\ndurability: {durability}\n",
        encoding="ascii",
    )
    return path


def _wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.05)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="Pages settled a second through real sockets.")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/crawlfleet-sockets"), help="where the files go")
    parser.add_argument("--store", type=Path, help="a filled store to begin with; it is copied")
    parser.add_argument("--frontiers", nargs="+", choices=KINDS, default=[USUAL], help="where crawls are stored")
    parser.add_argument("--durability", choices=["process", "power"], default="process")
    parser.add_argument("--rounds", type=count, default=1)
    parser.add_argument("--known", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pages", type=int, default=200_000, help="how many pages to make up before")
    parser.add_argument("--join", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside is not None:
        session(asked.join, asked.inside, asked.sessions, asked.known, asked.pages)
    else:
        if asked.store is not None and asked.frontiers != [USUAL]:
            parser.error(f"--store: expected no --frontiers but {USUAL}")
        turns = take_turns(asked.frontiers, asked.rounds, partial(measure, asked))
        if len(turns) > 1:
            print(table(turns))


if __name__ == "__main__":
    main()
