"""What `crawl()` costs: rows a second through its loop, beside the same job by command; and seconds to its first row.

    python -m benchmarks.embedded_crawls [--ways command folder temporary] [--rounds 5] [--copies 6] [--workers 2]

    command     `crawlfleet run`, into `items.jsonl`
    folder      a program: `for row in crawl(..., folder=...)`, which writes `items.jsonl`, too
    temporary   a program: `for row in crawl(...)`, without a folder

The site is the PostgreSQL documentation, several copies of it side by side, served by nginx on loopback; each page
gives a row. A way takes from the start of its process to its end, its interpreter and all. The ways take turns: each
figure is the median of the rounds, with the least and the most; the ratio is the median of those of the rounds. The
first row of a program counts from the call of `crawl()`, which finds `crawlfleet` imported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import machine, replace_figures
from benchmarks.waiters import compose
from crawlfleet.commands.arguments import count
from tests.acceptance.nginx_site import NginxSite

WAYS = ("command", "folder", "temporary")
PATIENCE_S = 600.0
JOB = """\
name: site
seeds: [{base}]
politeness: {{delay: 0s, per_host: 32}}
items: [{{name: page, fields: {{title: title}}}}]
"""
PROGRAM = """\
import sys, time
from crawlfleet import crawl
base, workers, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None
began, rows, first = time.monotonic(), 0, 0.0
given = dict(items={"title": "title"}, delay=0, set={"politeness.per_host": 32}, workers=workers, folder=folder)
for row in crawl(base, **given):
    rows += 1
    first = first or time.monotonic() - began
print(rows, first)
"""


class Run(NamedTuple):
    """What one way took: its rows, seconds in all, and seconds to the first row, if it is a program."""

    rows: int
    elapsed_s: float
    first_s: float = 0.0


def run(way: str, base: str, folder: Path, workers: int) -> Run:
    """Crawl once, in one of the ways."""
    began = time.monotonic()
    if way == "command":
        (folder / "job.yaml").write_text(JOB.format(base=base))
        command = [sys.executable, "-m", "crawlfleet", "run", "job.yaml", "--workers", str(workers), "--json"]
        said = _output(command, folder)
        return Run(json.loads(said)["rows"], time.monotonic() - began)
    kept = ["crawls/site"] if way == "folder" else []
    said = _output([sys.executable, "-c", PROGRAM, base, str(workers), *kept], folder)
    rows, first_s = said.split()
    return Run(int(rows), time.monotonic() - began, float(first_s))


def _output(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=True)
    return done.stdout


def measure(options: argparse.Namespace) -> dict[str, list[Run]]:
    """Crawl in each way in turn; which comes first changes with the rounds."""
    runs: dict[str, list[Run]] = {way: [] for way in options.ways}
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as name:
        # Started by root, nginx reads as a user of its own.
        Path(name).chmod(0o755)
        compose(Path(name) / "site", options.copies)
        with NginxSite(Path(name) / "site", Path(name) / "nginx", buffered=True) as site:
            for number in range(options.rounds):
                first = number % len(options.ways)
                for way in (*options.ways[first:], *options.ways[:first]):
                    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
                        found = run(way, site.base, Path(folder), options.workers)
                    runs[way].append(found)
                    said = f"{way}: {found.rows:,} rows in {found.elapsed_s:.2f} s"
                    print(f"{number + 1}/{options.rounds} {said}", file=sys.stderr, flush=True)
    rows = {found.rows for each in runs.values() for found in each}
    if len(rows) != 1:
        raise SystemExit(f"the ways differ in their rows: {rows}")
    return runs


def table(runs: dict[str, list[Run]]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| way | rows/s | / command | first row, s |", "| --- | ---: | ---: | ---: |"]
    for way, found in runs.items():
        ratios = [_rate(one) / _rate(other) for one, other in zip(found, runs.get("command", found), strict=True)]
        first = _cell([each.first_s for each in found], ".2f") if found[0].first_s else ""
        rate = _cell([_rate(each) for each in found], ",.0f")
        lines.append(f"| {way} | {rate} | {statistics.median(ratios):.3f} | {first} |")
    return "\n".join(lines)


def _rate(found: Run) -> float:
    return found.rows / found.elapsed_s


def _cell(figures: Sequence[float], form: str) -> str:
    return f"{statistics.median(figures):{form}} ({min(figures):{form}}-{max(figures):{form}})"


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedded_crawls", description="Rows through crawl().")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--copies", type=count, default=6, help="so often the site has the documentation")
    parser.add_argument("--workers", type=count, default=2)
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/benchmarks.md")
    options = parser.parse_args()
    runs = measure(options)
    found = table(runs)
    print(found)
    if options.write_docs:
        rows = next(iter(runs.values()))[0].rows
        replace_figures("embedded crawls", f"{machine()}; {rows:,} rows; {options.rounds} rounds.\n\n{found}")


if __name__ == "__main__":
    main()
