"""What an honest host keeps beside hosts that are slow or broken: pages a second, by fetch engine.

    python -m benchmarks.held_up [--engine NAME] [--case NAME] [--others 300] [--seconds 15] [--rounds 1] [--first]

One server answers for all hosts, on addresses of their own in 127.0.0.0/8, after 20 ms; a name server resolves their
names. The cases: the honest host `alone`; `beside` as many well-behaved hosts; beside hosts whose names take 3 s
(`slow-names`), are never answered (`dead-names`), or which answer after 25 s (`slow-hosts`). One worker crawls them, up
to 16 requests at a time on each host; the honest host is seeded last, or, with `--first`, first. Measured are the
arrivals at the honest host in so many seconds from its first page on, and when that came. The last figure compares with
what it has beside well-behaved hosts.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.many_hosts import host_name, read_arrivals
from crawlfleet.shared.engines import FETCH_ENGINES
from tests.site.name_server import NameServer

JOB = """\
name: held-up
seeds:
{seeds}
politeness: {{delay: 0s, per_host: 16, adaptive: false}}
fetch: {{engine: {engine}, timeout: 60s, first_byte_timeout: 60s}}
"""
HONEST_PAGES = 20_000
OTHER_PAGES = 100
ANSWER_MS = 20
SLOW_ANSWER_MS = 25_000
HONEST = host_name(0)
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.2
# The names of the other hosts, and whether they answer slowly.
CASES = {
    "alone": ("", False),
    "beside": ("quick", False),
    "slow-names": ("slow", False),
    "dead-names": ("dead", False),
    "slow-hosts": ("quick", True),
}


class Outcome(NamedTuple):
    """Pages of the honest host a second, and when its first page was asked for, since the first request of all."""

    pages_s: float
    first_s: float


class Setting(NamedTuple):
    """What is crawled, and how long it is measured."""

    case: str
    engine: str
    others: int
    seconds: float
    is_first: bool


def measure(setting: Setting, folder: Path, server: str) -> Outcome:
    """Crawl once, with names that a server at this address resolves."""
    log = folder / "arrivals.txt"
    with _web(setting, log) as port:
        (folder / "job.yaml").write_text(_job(setting, port), encoding="utf-8")
        command = [sys.executable, "-m", "crawlfleet", "run", "job.yaml", "--workers", "1"]
        environment = os.environ | {"CRAWLFLEET_TEST_NAME_SERVERS": server}
        began_at = time.monotonic()
        with (folder / "out.txt").open("w") as out:
            crawl = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        try:
            _watch(crawl, log, setting.seconds)
        finally:
            crawl.send_signal(signal.SIGINT)
            crawl.send_signal(signal.SIGINT)
            crawl.wait()
    times = _times(log)
    if not times:
        raise SystemExit(f"the honest host was not asked for a page within {PATIENCE_S:g} s")
    counted = sum(at <= times[0] + setting.seconds for at in times)
    return Outcome(counted / setting.seconds, times[0] - began_at)


def _times(log: Path) -> list[float]:
    """Return when the honest host was asked for pages."""
    return sorted(arrival.at for arrival in read_arrivals(log) if arrival.host == HONEST and arrival.is_page)


def _watch(crawl: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Wait until the honest host was crawled for so long, or not at all for too long."""
    give_up_at = time.monotonic() + PATIENCE_S
    while crawl.poll() is None and time.monotonic() < give_up_at:
        time.sleep(LOOK_EVERY_S)
        times = _times(log)
        if times and time.monotonic() > times[0] + seconds:
            return


@contextmanager
def _web(setting: Setting, log: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.many_hosts", "--log", str(log), "--pages", "1"]
    command += ["--hosts", str(1 + setting.others), "--answer-ms", str(ANSWER_MS)]
    if CASES[setting.case][1]:
        command += ["--slow", str(setting.others), "--slow-answer-ms", str(SLOW_ANSWER_MS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.send_signal(signal.SIGTERM)


def _job(setting: Setting, port: int) -> str:
    kind = CASES[setting.case][0]
    others = [f"{number}.{kind}.test" for number in range(1, 1 + setting.others)] if kind else []
    seeds = [f"  - http://{host}:{port}/p/{{1..{OTHER_PAGES}}}" for host in others]
    # Otherwise the others are there before the honest host.
    seeds.insert(0 if setting.is_first else len(seeds), f"  - http://0.quick.test:{port}/p/{{1..{HONEST_PAGES}}}")
    return JOB.format(seeds="\n".join(seeds), engine=setting.engine)


def main() -> None:
    """Measure the cases, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.held_up", description="Crawl beside slow hosts.")
    parser.add_argument("--engine", choices=list(FETCH_ENGINES), action="append")
    parser.add_argument("--case", choices=list(CASES), action="append")
    parser.add_argument("--others", type=int, default=300, help="how many other hosts")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--first", action="store_true", help="seed the honest host before the others")
    parser.add_argument("--name-server", default="127.0.0.1:0", help="the address of the name server")
    args = parser.parse_args()
    address, _, port = args.name_server.partition(":")
    with NameServer(address=address, port=int(port)) as server:
        for engine in args.engine or list(FETCH_ENGINES):
            beside = 0.0
            for case in args.case or list(CASES):
                outcomes = []
                for _ in range(args.rounds):
                    with tempfile.TemporaryDirectory() as folder:
                        setting = Setting(case, engine, args.others, args.seconds, args.first)
                        outcomes.append(measure(setting, Path(folder), server.address))
                pages_s = statistics.median(outcome.pages_s for outcome in outcomes)
                first_s = statistics.median(outcome.first_s for outcome in outcomes)
                beside = pages_s if case == "beside" else beside
                share = f"{pages_s / beside:8.0%}" if beside and case != "beside" else ""
                print(f"{engine:9} {case:11} {pages_s:8.1f} pages/s, first after {first_s:5.1f} s {share}", flush=True)


if __name__ == "__main__":
    main()
