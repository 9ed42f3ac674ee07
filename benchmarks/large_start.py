"""How long a coordinator takes from its start to its first grant, by the number of hosts that its seeds are on.

    python -m benchmarks.large_start [--hosts N [N ...]] [--folder FOLDER]

The coordinator is `python -m crawlfleet.coordinator` over a job with one seed on each host; a session asks it for tasks
until it is given some, and fetches nothing. Prints for each number of hosts the seconds from the start of the process
to the first grant, the coordinator's CPU time until then, and how long a grant of 64 tasks takes from there on.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.coordinator_process import LOOK_S, connect, cpu_s
from crawlfleet.shared.messages import ExchangeRequest, Hello
from crawlfleet.shared.wire.join_token import is_written

NAME = "large-start"
SESSION = "session"
WANT = 64
GRANTS = 20


class Start(NamedTuple):
    """How one start went: seconds to the first grant, CPU seconds until then, seconds of a later grant."""

    first_s: float
    cpu_s: float
    grant_s: float


def measure(folder: Path, hosts: int) -> Start:
    """Start a coordinator over a fresh job of so many hosts; return how long its first grants take."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job, join = _write_job(folder, hosts), folder / "join"
    serve = [sys.executable, "-m", "crawlfleet.coordinator", str(job)]
    serve += ["--crawls", str(folder / "crawls"), "--join-file", str(join)]
    began = time.perf_counter()
    with subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as coordinator:
        try:
            while not is_written(join):
                time.sleep(LOOK_S)
            return _ask(join, coordinator.pid, began)
        finally:
            coordinator.terminate()


def _ask(join: Path, pid: int, began: float) -> Start:
    fleet = connect(join)
    queue = fleet.Queue()
    queue.hello(Hello(session=SESSION))
    request = ExchangeRequest(session=SESSION, want=WANT)
    while not queue.exchange(request).leases:
        time.sleep(LOOK_S)
    first_s, used_s = time.perf_counter() - began, cpu_s(pid)
    holding: tuple[int, ...] = ()
    began = time.perf_counter()
    for _ in range(GRANTS):
        # What it holds is given back with each request, so that all grants are of the same size.
        answer = queue.exchange(ExchangeRequest(session=SESSION, want=WANT, released=holding))
        holding = tuple(lease.id for lease in answer.leases)
    return Start(first_s, used_s, (time.perf_counter() - began) / GRANTS)


def _write_job(folder: Path, hosts: int) -> Path:
    path = folder / "job.yaml"
    seeds = f'"http://h{{1..{hosts}}}.test/"'
    path.write_text(f"name: {NAME}\nseeds: [{seeds}]\nlease: 60s\n", encoding="ascii")
    return path


def main() -> None:
    """Measure, and print a line of a table for each number of hosts."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_start", description="Seconds to a coordinator's first grant."
    )
    parser.add_argument("--hosts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/crawlfleet-large-start"))
    args = parser.parse_args()
    print("| hosts | first grant, s | CPU until then, s | a later grant of 64, ms |")
    print("| ---: | ---: | ---: | ---: |")
    for hosts in args.hosts:
        start = measure(args.folder, hosts)
        print(f"| {hosts:,} | {start.first_s:.1f} | {start.cpu_s:.1f} | {start.grant_s * 1e3:.1f} |", flush=True)


if __name__ == "__main__":
    main()
