"""What calls that wait for named objects cost a crawl at full speed.

    python -m benchmarks.waiters [--waiters 0 100 1000] [--rounds 5] [--copies 6] [--workers 2] [--write-docs]

Beside each crawl a program is connected. So many of its threads wait, one half for a lock that is held, the other half
for an event that nobody sets, from before the first page to the end of the crawl, which ends their waits. The site is
the PostgreSQL documentation, several copies of it side by side, served by nginx on loopback; the crawl is durable, as
`benchmarks.real_site` runs it. The numbers of waiters take turns: each figure is the median of the rounds, with the
least and the most. CPU is user and system time of all threads of coordinator and workers. The ratio is the median of
those of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.real_site import Cost, Setting, crawl
from benchmarks.report import machine, replace_figures
from crawlfleet import JobFinished, connect
from crawlfleet.commands.arguments import count
from tests.acceptance.nginx_site import DOCUMENTATION

PATIENCE_S = 60.0
# From the last thread's last step before its call, until that certainly waits.
SETTLE_S = 0.5
STARTED = "all wait"


def wait_inside(join: Path, waiters: int) -> None:
    """Wait in so many threads until the crawl ends; say when all wait, and then how many waits its end has ended."""
    ended: list[int] = []
    with connect(join) as fleet:
        lock, event, begun = fleet.Lock("held"), fleet.Event("never"), threading.Barrier(waiters + 1)
        lock.acquire()

        def work(number: int) -> None:
            begun.wait()
            try:
                if number % 2:
                    lock.acquire()
                else:
                    event.wait()
            except JobFinished:
                ended.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(waiters)]
        for thread in threads:
            thread.start()
        begun.wait()
        time.sleep(SETTLE_S)
        print(STARTED, flush=True)
        for thread in threads:
            thread.join()
        print(len(ended), flush=True)
        sys.stdin.read()


@contextmanager
def waiting(waiters: int, join: Path) -> Iterator[None]:
    """Run the program beside a crawl; fail unless all of its waits last until the crawl ends."""
    command = [sys.executable, "-m", "benchmarks.waiters", "--inside", str(join), "--waiters", str(waiters)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        give_up = threading.Timer(PATIENCE_S, program.kill)
        give_up.start()
        try:
            assert program.stdout is not None
            assert program.stdin is not None
            if program.stdout.readline().strip() != STARTED:
                raise SystemExit(f"the program with {waiters} waiters did not come to wait")
            yield
            ended = program.stdout.readline().strip()
            if ended != str(waiters):
                raise SystemExit(f"the crawl's end ended {ended or 'no'} waits, not {waiters}")
            program.stdin.close()
            program.wait()
        finally:
            give_up.cancel()
            program.kill()


def compose(folder: Path, copies: int) -> None:
    """Make a site of several copies of the documentation, in a folder that does not exist yet."""
    folder.mkdir()
    for number in range(copies):
        (folder / f"copy-{number}").symlink_to(DOCUMENTATION["postgresql"])
    links = "".join(f'<p><a href="copy-{number}/index.html">{number}</a></p>' for number in range(copies))
    (folder / "index.html").write_text(f"<!DOCTYPE html><title>Copies</title><h1>Copies</h1>{links}", encoding="ascii")


def measure(options: argparse.Namespace) -> dict[int, list[Cost]]:
    """Crawl with each number of waiters in turn; which comes first changes with the rounds."""
    costs: dict[int, list[Cost]] = {waiters: [] for waiters in options.waiters}
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as name:
        # Started by root, nginx reads as a user of its own.
        Path(name).chmod(0o755)
        compose(Path(name) / "site", options.copies)
        for number in range(options.rounds):
            first = number % len(options.waiters)
            for waiters in (*options.waiters[first:], *options.waiters[:first]):
                with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
                    setting = Setting("process", options.workers)
                    cost = crawl(setting, Path(name) / "site", Path(folder), partial(waiting, waiters))
                costs[waiters].append(cost)
                said = f"{waiters} waiters: {cost.pages:,} pages in {cost.elapsed_s:.2f} s"
                print(f"{number + 1}/{options.rounds} {said}", file=sys.stderr, flush=True)
    return costs


def table(costs: dict[int, list[Cost]]) -> str:
    """Return the figures as a Markdown table."""
    base = next(iter(costs.values()))
    lines = [
        f"| waiters | pages/s | / {next(iter(costs))} waiters | coordinator, CPU µs/page | workers, CPU µs/page |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for waiters, found in costs.items():
        rates = [_rate(cost) for cost in found]
        ratio = statistics.median(rate / _rate(first) for rate, first in zip(rates, base, strict=True))
        cells = (
            _cell(rates),
            f"{ratio:.3f}",
            _cell([1e6 * cost.coordinator_s / cost.pages for cost in found]),
            _cell([1e6 * cost.workers_s / cost.pages for cost in found]),
        )
        lines.append(f"| {waiters:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rate(cost: Cost) -> float:
    return cost.pages / cost.elapsed_s


def _cell(figures: Sequence[float]) -> str:
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f}-{max(figures):,.0f})"


def main() -> None:
    """Measure, print, and write what was asked for; or wait."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiters", description="A crawl beside waiters.")
    parser.add_argument("--waiters", type=int, nargs="+", default=[0, 100, 1000])
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--copies", type=count, default=6, help="so often the site has the documentation")
    parser.add_argument("--workers", type=count, default=2)
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/benchmarks.md")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        wait_inside(options.inside, options.waiters[0])
        return
    began = time.perf_counter()
    costs = measure(options)
    found = table(costs)
    print(found)
    print(f"took {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if options.write_docs:
        pages = next(iter(costs.values()))[0].pages
        replace_figures("waiters", f"{machine()}; {pages:,} pages; {options.rounds} rounds.\n\n{found}")


if __name__ == "__main__":
    main()
