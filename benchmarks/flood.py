"""What a host that floods the crawl with links takes from the others.

    python -m benchmarks.flood [--seconds S] [--sessions N] [--links N] [--folder FOLDER]

The coordinator is `python -m crawlfleet.coordinator`; each session is a process that talks to it through the fleet's
proxies and fetches nothing: pages are made up when they are granted. A page of the honest host has 20 links, of which
three are new; each page of the flooding host has `--links` new ones. The crawl of both hosts is measured beside the
crawl of the honest one alone.

Prints pages of the honest host, pages of the flooding one, the longest time that an answer of the coordinator took, how
large the write-ahead log became, how many URLs were known at the end, and CPU time and peak of memory of the
coordinator.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from benchmarks.coordinator_process import LOOK_S, connect, cpu_s, peak_mb
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.shared.messages import ExchangeRequest, Hello, Kind, Lease, Outcome, Report, Task, encode
from crawlfleet.shared.wire.join_token import is_written

NAME = "flood"
HONEST, FLOODING = "honest.test", "flooding.test"
WANT = 32
REQUEST_BYTES = 4 * 1024 * 1024
MB = 1_000_000


class Figures(NamedTuple):
    """What a crawl came to."""

    honest: int
    flooding: int
    longest_s: float
    wal_bytes: int
    known: int
    peak_bytes: int
    cpu_s: float


def session(join: Path, number: int, links: int) -> None:
    """Report made-up pages until the coordinator goes away or this process is ended."""
    fleet = connect(join)
    queue, name = fleet.Queue(), f"session-{number}"
    queue.hello(Hello(session=name))
    waiting: list[Report] = []
    while True:
        reports = _portion(waiting)
        answer = queue.exchange(ExchangeRequest(session=name, reports=reports, want=max(0, WANT - len(waiting))))
        waiting += [_report(lease, task, links) for lease in answer.leases for task in lease.tasks]
        if not waiting:
            time.sleep(answer.idle_s)


def measure(folder: Path, hosts: tuple[str, ...], asked: argparse.Namespace) -> Figures:
    """Crawl these hosts for a while; return what that came to."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job, join = _write_job(folder, hosts), folder / "join"
    crawl = folder / "crawls" / NAME
    serve = [sys.executable, "-m", "crawlfleet.coordinator", str(job)]
    serve += ["--crawls", str(crawl.parent), "--join-file", str(join)]
    with subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as coordinator:
        while not is_written(join):
            time.sleep(LOOK_S)
        talk = [sys.executable, "-m", "benchmarks.flood", "--join", str(join), "--links", str(asked.links)]
        children = [subprocess.Popen([*talk, "--inside", str(number)]) for number in range(asked.sessions)]
        watch = _Watch(join, crawl)
        time.sleep(asked.seconds)
        watch.stop()
        peak_bytes, used_s = round(peak_mb(coordinator.pid) * 2**20), cpu_s(coordinator.pid)
        for child in children:
            child.kill()
            child.wait()
        coordinator.terminate()
    pages, known = _count(crawl)
    return Figures(pages[HONEST], pages[FLOODING], watch.longest_s, watch.wal_bytes, known, peak_bytes, used_s)


class _Watch:
    """Asks for the status all the time, and looks at the size of the log."""

    def __init__(self, join: Path, crawl: Path) -> None:
        self.longest_s = 0.0
        self.wal_bytes = 0
        self._wal = crawl / f"{FRONTIER}-wal"
        self._over = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (lambda: self._ask(join), self._look)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, join: Path) -> None:
        control = connect(join).Control()
        while not self._over.is_set():
            began = time.perf_counter()
            control.status()
            self.longest_s = max(self.longest_s, time.perf_counter() - began)
            time.sleep(LOOK_S)

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            if self._wal.exists():
                self.wal_bytes = max(self.wal_bytes, self._wal.stat().st_size)


def _portion(waiting: list[Report]) -> tuple[Report, ...]:
    """Take as many of the reports as fit into a request."""
    size = number = 0
    for report in waiting:
        size += len(encode(report))
        if number and size > REQUEST_BYTES:
            break
        number += 1
    some = tuple(waiting[:number])
    del waiting[:number]
    return some


def _report(lease: Lease, task: Task, links: int) -> Report:
    if task.kind is Kind.ROBOTS:
        return Report(lease=lease.id, ref=task.ref, outcome=Outcome.HTTP_ERROR, status=404, age_s=0.0)
    base = f"http://{lease.host}/"
    unique = task.ref.hex()
    if lease.host == FLOODING:
        outlinks = tuple(f"{base}{unique}/{number}" for number in range(links))
    else:
        outlinks = (*(f"{base}menu/{number}" for number in range(17)), *(f"{base}{unique}/{n}" for n in range(3)))
    return Report(
        lease=lease.id,
        ref=task.ref,
        outcome=Outcome.FETCHED,
        status=200,
        age_s=0.0,
        elapsed_s=0.01,
        size_bytes=sum(map(len, outlinks)),
        outlinks=outlinks,
    )


def _count(crawl: Path) -> tuple[Counter[str], int]:
    """Return how many pages of each host have a result, and how many URLs are known."""
    with closing(SqliteReader(crawl / FRONTIER)) as reader:
        pages = Counter(result.url.split("/")[2] for _, result in reader.results())
        return pages, sum(1 for _ in reader.tasks())


def _write_job(folder: Path, hosts: tuple[str, ...]) -> Path:
    path = folder / "job.yaml"
    seeds = ", ".join(f'"http://{host}/"' for host in hosts)
    path.write_text(
        f"name: {NAME}\nseeds: [{seeds}]\npoliteness: {{delay: 0s, per_host: 16}}\nlease: 60s\n",
        encoding="ascii",
    )
    return path


def main() -> None:
    """Measure both crawls, and print a line of a table for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description="What a flood takes from others.")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--links", type=int, default=10_000, help="new links on each page of the flooding host")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/crawlfleet-flood"), help="where the files go")
    parser.add_argument("--join", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside is not None:
        session(asked.join, asked.inside, asked.links)
        return
    print("| crawl | honest pages | flooding | longest answer, s | WAL, MB | known URLs | CPU, s | peak, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, hosts in (("alone", (HONEST,)), ("beside a flood", (HONEST, FLOODING))):
        found = measure(asked.folder, hosts, asked)
        print(
            f"| {name} | {found.honest:,} | {found.flooding:,} | {found.longest_s:.2f} | {found.wal_bytes / MB:.0f} "
            f"| {found.known:,} | {found.cpu_s:.1f} | {found.peak_bytes / MB:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
