"""How long somebody waits for the first row of a site.

    python -m benchmarks.first_row [--runs 5]

The bundled demo site is crawled on loopback. Measured is the time from the start of the process until the first row can
be read: in the file that `crawlfleet run` writes, or in the loop of a program over `crawl()`; and the CPU time of all
processes of the crawl until then. The first request of a crawl is for robots.txt, and the first page follows after the
delay. Prints the median of the runs, and the least and the most time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.coordinator_process import cpu_s
from crawlfleet.demo.server import serve
from tests.acceptance.processes import descendants

PATIENCE_S = 60.0
LOOK_EVERY_S = 0.002


class Way(NamedTuple):
    """A way to crawl a site: its name, the command for an address, and the file that the rows are in."""

    name: str
    command: Callable[[str], list[str]]
    rows: str


def run_url(*options: str) -> Callable[[str], list[str]]:
    """Return the command that crawls an address into a file."""
    return lambda url: [sys.executable, "-m", "crawlfleet", "run", url, "-o", "rows.jsonl", *options]


PROGRAM = """\
import sys
from pathlib import Path
from crawlfleet import crawl
for row in crawl(sys.argv[1], delay=float(sys.argv[2])):
    Path("row.txt").write_text(row["url"])
    break
"""


def loop(delay_s: str) -> Callable[[str], list[str]]:
    """Return the command of a program that crawls an address, and writes its first row."""
    return lambda url: [sys.executable, "-c", PROGRAM, url, delay_s]


WAYS = (
    Way("crawlfleet run URL", run_url(), "rows.jsonl"),
    Way("crawlfleet run URL --delay 0s", run_url("--delay", "0s"), "rows.jsonl"),
    Way("crawl(URL)", loop("1"), "row.txt"),
    Way("crawl(URL, delay=0)", loop("0"), "row.txt"),
)


def first_row(way: Way, url: str) -> tuple[float, float]:
    """Begin a crawl; return the time until it has a row, and the CPU time that it took until then. End it."""
    with tempfile.TemporaryDirectory() as name, (Path(name) / "out.txt").open("w") as out:
        rows = Path(name) / way.rows
        began = time.monotonic()
        process = subprocess.Popen(way.command(url), cwd=name, stdout=out, stderr=out)
        try:
            while not (rows.exists() and rows.stat().st_size):
                assert time.monotonic() < began + PATIENCE_S, (Path(name) / "out.txt").read_text()
                time.sleep(LOOK_EVERY_S)
            elapsed_s = time.monotonic() - began
            return elapsed_s, sum(map(cpu_s, (process.pid, *descendants(process.pid))))
        finally:
            process.terminate()
            process.wait()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_row", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args(argv)
    site = serve(slow_s=0.0)
    for way in WAYS:
        first_row(way, site.base)  # reads the files of the interpreter into memory
        elapsed, cpu = zip(*(first_row(way, site.base) for _ in range(args.runs)), strict=True)
        print(
            f"{way.name:<32} {statistics.median(elapsed):6.2f} s ({min(elapsed):.2f} to {max(elapsed):.2f}), "
            f"CPU {statistics.median(cpu):.2f} s",
            flush=True,
        )
    site.shutdown()
    site.server_close()


if __name__ == "__main__":
    main()
