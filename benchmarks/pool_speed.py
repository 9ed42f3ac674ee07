"""What it costs to get pages through a pool: URLs a second, beside the same crawl without a program.

    python -m benchmarks.pool_speed [--ways crawl seeds imap submit] [--rounds 5] [--copies 6] [--workers 2]

    crawl    the job has one seed, and finds all pages by their links
    seeds    the job lists all pages as seeds, and follows no links
    imap     a program asks for the same pages by `imap_unordered`, and takes their rows
    submit   a program asks for the same pages by `submit`, and takes their rows by `as_completed`

The site is the PostgreSQL documentation, several copies of it side by side, served by nginx on loopback; each crawl is
durable, as `benchmarks.real_site` runs it. A program asks for its first page once nginx answers. The ways take turns:
each figure is the median of the rounds, with the least and the most. The ratio is the median of those of the rounds.
CPU is user and system time of all threads; that of the program is from its first ask to its last rows.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import requests

from benchmarks.real_site import Cost, Setting, crawl
from benchmarks.report import machine, replace_figures
from benchmarks.waiters import compose
from crawlfleet import Fleet, connect
from crawlfleet.commands.arguments import count

WAYS = ("crawl", "seeds", "imap", "submit")
PATIENCE_S = 120.0
READY = "ready"


class Run(NamedTuple):
    """What one crawl took, and its program's CPU time."""

    cost: Cost
    program_s: float


def pages_of(folder: Path) -> list[str]:
    """Return the pages below a site's folder, as paths from its root."""
    parts = sorted(path for path in folder.iterdir() if path.is_dir())
    return ["index.html", *(f"{part.name}/{page.name}" for part in parts for page in sorted(part.glob("*.html")))]


def ask_inside(way: str, join: Path, listed: Path) -> None:
    """Ask for all pages of a list, whose first line is the site's address; print how many came, and the CPU time."""
    base, *paths = listed.read_text(encoding="utf-8").splitlines()
    urls = [base + path for path in paths]
    with connect(join) as fleet, fleet.Pool() as pool:
        print(READY, flush=True)
        requests.get(base, timeout=PATIENCE_S)
        began_s = time.process_time()
        if way == "imap":
            rows = sum(len(found) for found in pool.imap_unordered(urls))
        else:
            rows = _submitted(fleet, urls)
        print(rows, time.process_time() - began_s, flush=True)


def _submitted(fleet: Fleet, urls: Sequence[str]) -> int:
    futures = [fleet.submit(url) for url in urls]
    return sum(len(future.result()) for future in concurrent.futures.as_completed(futures))


@contextmanager
def asking(way: str, listed: Path, said: list[str], join: Path) -> Iterator[None]:
    """Run the program beside a crawl; note what it says at its end."""
    command = [sys.executable, "-m", "benchmarks.pool_speed", "--inside", way, str(join), str(listed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        if program.stdout.readline().strip() != READY:
            raise SystemExit(f"the program that asks by {way} did not begin")
        try:
            yield
            said.append(program.stdout.readline())
            program.wait(PATIENCE_S)
        finally:
            program.kill()


def run(way: str, setting: Setting, site: Path, folder: Path) -> Run:
    """Crawl once, in one of the ways; fail if not all pages came."""
    paths, listed, said = pages_of(site), folder / "pages.txt", list[str]()

    def seeds(base: str) -> str:
        listed.write_text("\n".join([base, *paths]), encoding="utf-8")
        if way == "crawl":
            return f"seeds: [{base}]\n"
        if way == "seeds":
            return "follow: []\nseeds:\n" + "".join(f"  - {base}{path}\n" for path in paths)
        host = base.split(":")[1].strip("/")
        return f"seeds: []\nscope: {{hosts: [{host}]}}\nfetch: {{allow_private: [{host}]}}\n"

    beside = partial(asking, way, listed, said) if way in ("imap", "submit") else None
    cost = crawl(setting, site, folder, beside, seeds)
    rows, program_s = said[0].split() if said else (str(len(paths)), "0")
    if int(rows) != len(paths) or abs(cost.pages - len(paths)) > 1:
        raise SystemExit(f"{way}: {cost.pages} pages were fetched and {rows} came, not {len(paths)}")
    return Run(cost, float(program_s))


def measure(options: argparse.Namespace) -> dict[str, list[Run]]:
    """Crawl in each way in turn; which comes first changes with the rounds."""
    runs: dict[str, list[Run]] = {way: [] for way in options.ways}
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as name:
        # Started by root, nginx reads as a user of its own.
        Path(name).chmod(0o755)
        compose(Path(name) / "site", options.copies)
        for number in range(options.rounds):
            first = number % len(options.ways)
            for way in (*options.ways[first:], *options.ways[:first]):
                with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
                    found = run(way, Setting("process", options.workers), Path(name) / "site", Path(folder))
                runs[way].append(found)
                said = f"{way}: {found.cost.pages:,} pages in {found.cost.elapsed_s:.2f} s"
                print(f"{number + 1}/{options.rounds} {said}", file=sys.stderr, flush=True)
    return runs


def table(runs: dict[str, list[Run]]) -> str:
    """Return the figures as a Markdown table."""
    bases = [way for way in ("crawl", "seeds") if way in runs]
    heads = ["way", "pages/s", *(f"/ {base}" for base in bases), "coordinator", "workers", "program"]
    lines = [f"| {' | '.join(heads)} |", f"| --- {'| ---: ' * (len(heads) - 1)}|"]
    for way, found in runs.items():
        ratios = [
            statistics.median(_rate(one) / _rate(other) for one, other in zip(found, runs[base], strict=True))
            for base in bases
        ]
        cells = (
            _cell([_rate(each) for each in found]),
            *(f"{ratio:.3f}" for ratio in ratios),
            _cell([1e6 * each.cost.coordinator_s / each.cost.pages for each in found]),
            _cell([1e6 * each.cost.workers_s / each.cost.pages for each in found]),
            _cell([1e6 * each.program_s / each.cost.pages for each in found]),
        )
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rate(found: Run) -> float:
    return found.cost.pages / found.cost.elapsed_s


def _cell(figures: Sequence[float]) -> str:
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f}-{max(figures):,.0f})"


def main() -> None:
    """Measure, print, and write what was asked for; or be the program."""
    if sys.argv[1:2] == ["--inside"]:
        ask_inside(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool_speed", description="Pages through a pool.")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--copies", type=count, default=6, help="so often the site has the documentation")
    parser.add_argument("--workers", type=count, default=2)
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/benchmarks.md")
    options = parser.parse_args()
    runs = measure(options)
    found = f"{table(runs)}\n\nCoordinator, workers, program: microseconds of CPU for each page."
    print(found)
    if options.write_docs:
        pages = next(iter(runs.values()))[0].cost.pages
        replace_figures("pool speed", f"{machine()}; {pages:,} pages; {options.rounds} rounds.\n\n{found}")


if __name__ == "__main__":
    main()
