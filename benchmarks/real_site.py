"""What a crawl of real pages costs: pages a second, and CPU of coordinator and workers apart.

    python -m benchmarks.real_site [--workers 1 2] [--durability none process] [--runs 3] [--site FOLDER]

nginx serves a folder (default: the PostgreSQL documentation) on loopback; a coordinator and a node of workers crawl
all of it without delay, and take the title of each page. What it costs to start is not measured: nginx answers once
every worker has joined. CPU is user and system time of all threads. Prints the median of the runs of each setting.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, TypeAlias

from crawlfleet import connect
from crawlfleet.fleet.fleet import Fleet
from crawlfleet.shared.errors import Unreachable
from tests.acceptance.nginx_site import DOCUMENTATION, NginxSite
from tests.acceptance.processes import descendants

JOB = """\
name: site
politeness: {{delay: 0s, per_host: {per_host}}}
items:
  - name: page
    fields: {{title: "title::text"}}
sinks: [items.jsonl]
durability: {durability}
"""
PER_HOST = 32
PATIENCE_S = 60.0
LOOK_EVERY_S = 0.02
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
Beside: TypeAlias = Callable[[Path], AbstractContextManager[object]]
JobText: TypeAlias = Callable[[str], str]


class Setting(NamedTuple):
    """How a crawl is run."""

    durability: str
    workers: int


class Cost(NamedTuple):
    """What a crawl took, from its first page to its end."""

    pages: int
    elapsed_s: float
    coordinator_s: float
    workers_s: float


def crawl(
    setting: Setting, root: Path, folder: Path, beside: Beside | None = None, seeds: JobText = "seeds: [{}]\n".format
) -> Cost:
    """Crawl a site once. `beside` is a program that has a session from its begin on, before the workers start.

    `seeds` returns lines of the job with its seeds, by the address of the site. Without any, the crawl waits for the
    program.
    """
    site = NginxSite(root, folder / "nginx")
    text = JOB.format(per_host=PER_HOST, durability=setting.durability) + seeds(site.base)
    (folder / "site.yaml").write_text(text, encoding="utf-8")
    waits = ("--wait",) if "seeds: []" in text else ()
    with started(folder, "coordinator", "site.yaml", "--join-file", "join", *waits) as coordinator:
        join = folder / "join"
        workers = ("worker", "--join-file", "join", "--processes", str(setting.workers))
        with beside(join) if beside is not None else nullcontext(), started(folder, *workers) as node:
            began_s = _await_all(join, setting.workers + (beside is not None), coordinator, node)
            coordinator_s, workers_s = _cpu_s(coordinator.pid), _cpu_s(node.pid)
            with site:
                coordinator_s = _cpu_at_end_s(coordinator) - coordinator_s
                workers_s = _cpu_at_end_s(node) - workers_s
    summary = json.loads((folder / "crawls" / "site" / "summary.json").read_text(encoding="utf-8"))
    return Cost(summary["fetched"], summary["elapsed_s"] - began_s, coordinator_s, workers_s)


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "crawlfleet", *arguments]
    with (folder / f"{arguments[0]}.txt").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            process.wait()


def _await_all(join: Path, sessions: int, *processes: subprocess.Popen[bytes]) -> float:
    """Wait until so many sessions have joined; return for how long the coordinator serves by then."""
    until = time.monotonic() + PATIENCE_S
    fleet: Fleet | None = None
    while fleet is None or (status := fleet.status()).sessions < sessions:
        if time.monotonic() > until or any(process.poll() is not None for process in processes):
            raise SystemExit(f"the crawl did not begin: see {join.parent}/*.txt")
        time.sleep(LOOK_EVERY_S)
        if fleet is None and join.exists():
            fleet = _connected(join)
    fleet.close()
    return status.elapsed_s


def _connected(join: Path) -> Fleet | None:
    try:
        return connect(join)
    except Unreachable:
        return None


def _cpu_s(pid: int) -> float:
    """Return the CPU time so far of a process and all that it started."""
    return sum(_ticks(each) for each in (pid, *descendants(pid))) / TICKS_PER_S


def _ticks(pid: int) -> int:
    """Return user and system time, also of children that have ended: see proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _cpu_at_end_s(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end of a process; return the CPU time of its life, and of all that it started and waited for."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, process.args))} ended with {process.returncode}")  # type: ignore[arg-type]  # always a list here
    return usage.ru_utime + usage.ru_stime


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    pages, *seconds = (statistics.median(figures) for figures in zip(*costs, strict=True))
    return Cost(int(pages), *seconds)


def main() -> None:
    """Crawl with every setting, and print a table."""
    options = _parser().parse_args()
    print(f"{'durability':<12}{'workers':>8}{'pages':>8}{'pages/s':>10}{'coordinator':>14}{'workers':>10}")
    for setting in (Setting(kind, workers) for kind in options.durability for workers in options.workers):
        costs = []
        for _ in range(options.runs):
            with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
                costs.append(crawl(setting, options.site, Path(folder)))
        print(_line(setting, median(costs)), flush=True)
    print("coordinator, workers: microseconds of CPU for each page")


def _line(setting: Setting, cost: Cost) -> str:
    coordinator_us, workers_us = (1e6 * cpu_s / cost.pages for cpu_s in (cost.coordinator_s, cost.workers_s))
    rate = cost.pages / cost.elapsed_s
    head = f"{setting.durability:<12}{setting.workers:>8}{cost.pages:>8,}"
    return f"{head}{rate:>10,.0f}{coordinator_us:>14,.0f}{workers_us:>10,.0f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_site", description="What a crawl costs.")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--durability", nargs="+", choices=["none", "process", "power"], default=["none", "process"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--site", type=Path, default=DOCUMENTATION["postgresql"], help="the folder to serve")
    return parser


if __name__ == "__main__":
    main()
