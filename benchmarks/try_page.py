"""How long `crawlfleet try` takes, from its start to its end: a page of the demo site, and one of real documentation.

    python -m benchmarks.try_page [--rounds N]

The sites are the bundled shop and, if it is installed, the documentation of PostgreSQL served by nginx. The command
runs with an item rule that matches, and with selectors that do not, for which the nearest ones are looked for. Prints
the median of the seconds, the least and the most, and the CPU time of the command's processes; and the same for
`crawlfleet check`, which loads the job and does no more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from crawlfleet.demo.server import serve
from tests.acceptance.nginx_site import DOCUMENTATION, NginxSite

JOB = """\
name: tried
seeds: ["{url}"]
items:
  - name: page
    fields: {{title: {title}, first: "{first}", links: ["{links}"]}}
"""
RIGHT = {"title": "title", "first": "h1, h2", "links": "a::attr(href)"}
WRONG = {"title": "title.page", "first": "div.headng > h1, h2.titel", "links": "ul.tocc a.intern::attr(href)"}


class Case(NamedTuple):
    """One page, and the selectors of its job."""

    name: str
    url: str
    selectors: dict[str, str]
    command: str = "try"


class Took(NamedTuple):
    """What one run took."""

    whole_s: float
    cpu_s: float


def measure(folder: Path, case: Case) -> Took:
    """Run the command once."""
    job = folder / "job.yaml"
    job.write_text(JOB.format(url=case.url, **case.selectors), encoding="utf-8")
    before, began = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "crawlfleet", case.command, str(job)]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    whole_s, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(whole_s, used)


def cases(folder: Path, opened: ExitStack) -> Iterator[Case]:
    """Yield the cases, with their sites running."""
    shop = serve()
    opened.callback(shop.shutdown)
    pages = {"shop": f"{shop.base}book/the-silent-harbour-1.html"}
    root = DOCUMENTATION["postgresql"]
    if root.is_dir():
        page = max(root.glob("*.html"), key=lambda file: file.stat().st_size if file.name != "bookindex.html" else 0)
        documentation = opened.enter_context(NginxSite(root, folder / "nginx"))
        pages |= {
            "PostgreSQL, sql-select.html": f"{documentation.base}sql-select.html",
            f"PostgreSQL, {page.name}": f"{documentation.base}{page.name}",
        }
    yield Case("the job alone: crawlfleet check", pages["shop"], RIGHT, "check")
    for name, url in pages.items():
        yield Case(name, url, RIGHT)
        yield Case(f"{name}, no selector matches", url, WRONG)


def main() -> None:
    """Measure, and print a line of a table for each case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.try_page", description="Seconds of crawlfleet try.")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        print("| page | s, median (least-most) | CPU, s |")
        print("| --- | ---: | ---: |")
        for case in cases(folder, opened):
            runs = [measure(folder, case) for _ in range(args.rounds)]
            whole, cpu = [run.whole_s for run in runs], [run.cpu_s for run in runs]
            times = f"{statistics.median(whole):.2f} ({min(whole):.2f}-{max(whole):.2f})"
            print(f"| {case.name} | {times} | {statistics.median(cpu):.2f} |", flush=True)


if __name__ == "__main__":
    main()
