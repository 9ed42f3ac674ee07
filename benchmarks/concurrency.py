"""The tutorial's own comparison: 50 listing pages that take 160 ms each, by a loop, pools, asyncio and the fleet.

    python -m benchmarks.concurrency [--runs 5] [--pages 50] [--latency-ms 160] [--only WORD ...] [--write-docs]

Two times are shown for each. *Work* is from the first request to the last result; for a pool it begins before the pool
is started, for the fleet it begins with the request for robots.txt (which only the fleet makes) and ends when the last
row is in the file. *Command* is all of it, from typing it to its end. A speed-up compares with the loop; its limit is
the number of pages, when all of them are waited for at once and nothing else takes time.
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
from pathlib import Path
from typing import NamedTuple

from benchmarks.bars import Bar, draw
from benchmarks.concurrency_ways import WAYS
from benchmarks.report import machine, replace_figures
from benchmarks.slow_site import page_path
from crawlfleet.shared.engines import FETCH_ENGINES

DOCS = Path(__file__).parents[1] / "docs"
BOOKS_A_PAGE = 20
THREADS = 32
JOB = """\
name: lists
seeds: ["{base}{path}{{1..{pages}}}"]
politeness: {{delay: 0s, per_host: 64}}
fetch: {{engine: {engine}}}
items:
  - name: link
    each: article.product h3 > a
    fields: {{address: "::attr(href)", text: "::text"}}
follow: []
"""


class Times(NamedTuple):
    """What one run took, in seconds."""

    work_s: float
    command_s: float


class Site:
    """The slow site, and when it was first asked since `forget`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.base = f"http://127.0.0.1:{int(process.stdout.readline())}"
        self._lines = process.stdout
        self._first_at: float | None = None
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def first_at(self) -> float:
        if self._first_at is None:
            raise SystemExit("the site was not asked for anything")
        return self._first_at

    def forget(self) -> None:
        self._first_at = None

    def _read(self) -> None:
        for line in self._lines:
            if self._first_at is None:
                self._first_at = float(line.split()[0])


@contextmanager
def serving(latency_ms: float) -> Iterator[Site]:
    """Run the slow site."""
    command = [sys.executable, "-m", "benchmarks.slow_site", "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Site(process)
        finally:
            process.terminate()


def by_script(way: str, site: Site, pages: int) -> Times:
    """Run one of the tutorials' ways."""
    command = [sys.executable, "-m", "benchmarks.concurrency_ways", way, site.base, str(pages)]
    began = time.perf_counter()
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    command_s = time.perf_counter() - began
    found, work_s = said.split()
    _check(way, int(found), pages)
    return Times(float(work_s), command_s)


def by_fleet(engine: str, site: Site, pages: int) -> Times:
    """Run `crawlfleet run` with two workers."""
    site.forget()
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
        job = JOB.format(base=site.base, path=page_path(0)[:-1], pages=pages, engine=engine)
        Path(folder, "lists.yaml").write_text(job, encoding="utf-8")
        command = [sys.executable, "-m", "crawlfleet", "run", "lists.yaml"]
        # Enough for two workers to wait for all pages at once; one that has many at once waits for more anyway.
        command += ["--threads", str(THREADS)] if not FETCH_ENGINES[engine].many_at_once else []
        began = time.perf_counter()
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        command_s = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"crawlfleet ended with {done.returncode}: {done.stdout}{done.stderr}")
        items = Path(folder, "crawls", "lists", "items.jsonl")
        _check(engine, len(items.read_text(encoding="utf-8").splitlines()), pages)
        return Times(items.stat().st_mtime - site.first_at, command_s)


def _check(way: str, found: int, pages: int) -> None:
    if found != pages * BOOKS_A_PAGE:
        raise SystemExit(f"{way}: found {found:,} links, not {pages * BOOKS_A_PAGE:,}")


def table(medians: dict[str, Times], pages: int, latency_ms: float) -> str:
    """Return the medians as a Markdown table."""
    loop = medians["loop"]
    lines = ["| way | work, s | speed-up | command, s | speed-up |", "| --- | ---: | ---: | ---: | ---: |"]
    for way, times in medians.items():
        work, command = loop.work_s / times.work_s, loop.command_s / times.command_s
        lines.append(f"| {way} | {times.work_s:.2f} | {work:.1f} | {times.command_s:.2f} | {command:.1f} |")
    lines.append(f"| limit ({pages} at once, nothing but {latency_ms:g} ms) | {latency_ms / 1e3:.2f} | {pages} | | |")
    return "\n".join(lines)


def measure(ways: Sequence[str], runs: int, pages: int, latency_ms: float) -> dict[str, Times]:
    """Run each way so often, one after another; return the medians."""
    found: dict[str, list[Times]] = {way: [] for way in ways}
    with serving(latency_ms) as site:
        for number in range(runs):
            for way in ways:
                engine = way.partition("fleet, ")[2]
                times = by_fleet(engine, site, pages) if engine else by_script(way, site, pages)
                found[way].append(times)
                said = f"{number + 1}/{runs} {way}: {times.work_s:.2f} s, command {times.command_s:.2f} s"
                print(said, file=sys.stderr, flush=True)
    return {way: Times(*map(statistics.median, zip(*times, strict=True))) for way, times in found.items()}


def write_docs(medians: dict[str, Times], options: argparse.Namespace) -> None:
    """Write the figures into `docs/benchmarks.md`, and draw their chart."""
    figures = f"""\
{machine()}; the median of {options.runs} runs.

![Speed-up against the loop](concurrency.svg)

{table(medians, options.pages, options.latency_ms)}"""
    replace_figures("concurrency", figures)
    loop = medians["loop"].work_s
    bars = [
        Bar(way, loop / times.work_s, f"{loop / times.work_s:.1f} x, {times.work_s:.2f} s", way.startswith("fleet"))
        for way, times in medians.items()
    ]
    title = f"{options.pages} pages at {options.latency_ms:g} ms: speed-up against the loop (limit {options.pages})"
    if not draw(bars, title, "times as fast", DOCS / "concurrency", limit=options.pages):
        print("no chart: install the extra `bench` (matplotlib)", file=sys.stderr)


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.concurrency", description="Fifty pages, many ways.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--latency-ms", type=float, default=160)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only ways whose name has one of these, and the loop")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the figures into docs/benchmarks.md, and a chart"
    )
    options = parser.parse_args()
    every = [*WAYS, *(f"fleet, {engine}" for engine in FETCH_ENGINES)]
    ways = [way for way in every if not options.only or way == "loop" or any(word in way for word in options.only)]
    medians = measure(ways, options.runs, options.pages, options.latency_ms)
    print(table(medians, options.pages, options.latency_ms))
    if options.write_docs:
        write_docs(medians, options)


if __name__ == "__main__":
    main()
