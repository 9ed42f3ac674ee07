"""How much memory a pool takes while a million URLs go through it.

    python -m benchmarks.pool_memory [--urls 1000000] [--every 100000] [--workers 2] [--slow-s 0] [--write-docs]

A program asks for so many URLs by `imap_unordered`, whose iterable is a generator, and counts the rows. The URLs name
one small page, with a number each, on nginx on loopback; the crawl is durable. After every so many URLs the resident
size of program and coordinator is read, and that of the frontier's file. With `--slow-s` the program rests for so long
then, so that rows come faster than it takes them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.coordinator_process import resident_mb
from benchmarks.real_site import started
from benchmarks.report import machine, replace_figures
from crawlfleet import connect
from crawlfleet.commands.arguments import count
from crawlfleet.coordinator.frontier.registry import FRONTIER
from tests.acceptance.nginx_site import NginxSite

JOB = """\
name: million
seeds: []
scope: {hosts: [127.0.0.1]}
politeness: {delay: 0s, per_host: 64}
fetch: {allow_private: [127.0.0.1]}
items:
  - name: page
    fields: {title: "title::text", price: ".price::text"}
sinks: [items.jsonl]
"""
PAGE = '<!DOCTYPE html><title>An article</title><p class="price">£9.99</p><a href="other.html">other</a>' + "x" * 400


class Point(NamedTuple):
    """What was seen after so many URLs."""

    urls: int
    elapsed_s: float
    program_mb: float
    coordinator_mb: float
    frontier_mb: float


def measure(options: argparse.Namespace, folder: Path) -> list[Point]:
    """Let all URLs go through; return what was seen on the way, the first before any was asked for."""
    # Started by root, nginx reads as a user of its own.
    folder.chmod(0o755)
    (folder / "site").mkdir()
    (folder / "site" / "page.html").write_text(PAGE, encoding="utf-8")
    (folder / "million.yaml").write_text(JOB, encoding="utf-8")
    serve = ("coordinator", "million.yaml", "--wait", "--join-file", "join")
    work = ("worker", "--join-file", "join", "--processes", str(options.workers))
    site = NginxSite(folder / "site", folder / "nginx", buffered=True)
    with site, started(folder, *serve) as coordinator, started(folder, *work):
        return list(_through(site.base, folder, coordinator.pid, options))


def _through(base: str, folder: Path, coordinator: int, options: argparse.Namespace) -> Iterator[Point]:
    began = time.monotonic()
    came = 0

    def seen() -> Point:
        frontier_mb = sum(path.stat().st_size for path in folder.glob(f"crawls/million/{FRONTIER}*")) / 1e6
        elapsed_s = time.monotonic() - began
        return Point(came, elapsed_s, resident_mb(os.getpid()), resident_mb(coordinator), frontier_mb)

    with connect(folder / "join") as fleet, fleet.Pool() as pool:
        yield seen()
        began = time.monotonic()
        for rows in pool.imap_unordered(f"{base}page.html?number={number}" for number in range(options.urls)):
            came += len(rows)
            if not came % options.every:
                yield (point := seen())
                print(f"{came:,} of {options.urls:,}: {_line(point)}", file=sys.stderr, flush=True)
                time.sleep(options.slow_s)
    if came != options.urls:
        raise SystemExit(f"{came} rows came, not {options.urls}")


def _line(point: Point) -> str:
    cells = (f"{point.urls:,}", f"{point.elapsed_s:,.0f}", f"{point.program_mb:,.0f}", f"{point.coordinator_mb:,.0f}")
    return f"| {' | '.join((*cells, f'{point.frontier_mb:,.0f}'))} |"


def table(points: list[Point]) -> str:
    """Return what was seen as a Markdown table."""
    head = "| URLs | s | program, MB | coordinator, MB | frontier, MB |\n| ---: | ---: | ---: | ---: | ---: |"
    return "\n".join([head, *map(_line, points)])


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool_memory", description="Memory of a pool.")
    parser.add_argument("--urls", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=100_000)
    parser.add_argument("--workers", type=count, default=2)
    parser.add_argument("--slow-s", type=float, default=0.0, help="rest for so long after every so many URLs")
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/benchmarks.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
        found = table(measure(options, Path(folder)))
    print(found)
    if options.write_docs:
        replace_figures("pool memory", f"{machine()}.\n\n{found}")


if __name__ == "__main__":
    main()
