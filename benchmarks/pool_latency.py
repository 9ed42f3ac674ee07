"""From a page's record to its caller: microseconds between the commit and the program that has the rows.

    python -m benchmarks.pool_latency [--urls 2000] [--workers 1] [--write-docs]

The coordinator runs in this process and notes when it has committed each page; the program runs in one of its own, and
notes when it gets the rows. Both read the same monotonic clock of the machine. One way asks for a page when it has the
one before; the others ask for all at once. The whole time of a page is from the program's call to its rows, with one
page at a time. The pages are small, on nginx on loopback; the crawl is durable.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from benchmarks.pool_memory import PAGE
from benchmarks.real_site import started
from benchmarks.report import machine, replace_figures
from crawlfleet import Fleet, Pool, Rows, connect
from crawlfleet.coordinator.conduct.asks import Answered
from crawlfleet.shared.wire.join_token import write_token
from tests.acceptance.nginx_site import NginxSite
from tests.site.served_crawl import served

WAYS = ("apply", "imap_unordered", "submit")
MORE = 'scope: {hosts: [127.0.0.1]}\nitems: [{name: page, fields: {title: "title::text"}}]\n'


def ask_inside(way: str, join: Path, base: str, urls: int) -> None:
    """Ask for pages; print when each came, and how long after it was asked for, both in nanoseconds."""
    seen: list[tuple[str, int, int]] = []
    with connect(join) as fleet, fleet.Pool() as pool:
        pool.apply(f"{base}page.html?warm={way}")
        asked_at = time.monotonic_ns()
        for rows in _rows(way, fleet, pool, [f"{base}page.html?{way}={number}" for number in range(urls)]):
            came_at = time.monotonic_ns()
            seen.append((rows.final_url, came_at, came_at - asked_at))
            asked_at = time.monotonic_ns()
    print("\n".join(f"{url} {came_at} {took}" for url, came_at, took in seen))


def _rows(way: str, fleet: Fleet, pool: Pool, urls: Sequence[str]) -> Iterable[Rows]:
    if way == "apply":
        return map(pool.apply, urls)
    if way == "submit":
        return (future.result() for future in as_completed([fleet.submit(url) for url in urls]))
    return pool.imap_unordered(urls)


def measure(urls: int, workers: int, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return for each way, of each page, the time from its commit to its caller, and from its ask, in µs."""
    folder.chmod(0o755)
    (folder / "site").mkdir()
    (folder / "site" / "page.html").write_text(PAGE, encoding="utf-8")
    committed: dict[str, int] = {}
    found: dict[str, list[tuple[float, float]]] = {}
    with NginxSite(folder / "site", folder / "nginx") as site, served(folder, more=MORE, wait=True) as crawl:
        post = crawl.crawl._pool_post
        deliver = post.deliver

        def noting(answers: Iterable[tuple[str, int, Answered | None]]) -> None:
            now, answers = time.monotonic_ns(), list(answers)
            committed.update((answered.settled.url, now) for _, _, answered in answers if answered is not None)
            deliver(answers)

        post.deliver = noting  # type: ignore[method-assign]  # to see when it is called
        write_token(crawl.crawl.token, folder / "join")
        work = ("worker", "--join-file", "join", "--processes", str(workers))
        with started(folder, *work), connect(crawl.token) as held:
            held.Event("held").is_set()  # the crawl waits for this program
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.pool_latency", "--inside", way]
                command += [str(folder / "join"), site.base, str(urls)]
                said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                lines = [line.rsplit(" ", 2) for line in said.splitlines()]
                found[way] = [((int(came_at) - committed[url]) / 1e3, int(took) / 1e3) for url, came_at, took in lines]
    return found


def table(found: dict[str, list[tuple[float, float]]]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| way | record to caller, µs | 95 % below, µs | ask to caller, µs |",
        "| --- | ---: | ---: | ---: |",
    ]
    for way, pages in found.items():
        after = sorted(took for took, _ in pages)
        whole = f"{statistics.median(took for _, took in pages):,.0f}" if way == "apply" else ""
        low = after[int(len(after) * 0.95)]
        lines.append(f"| {way} | {statistics.median(after):,.0f} | {low:,.0f} | {whole} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write what was asked for; or be the program."""
    if sys.argv[1:2] == ["--inside"]:
        ask_inside(sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool_latency", description="Record to caller.")
    parser.add_argument("--urls", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/benchmarks.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
        found = table(measure(options.urls, options.workers, Path(folder)))
    print(found)
    if options.write_docs:
        replace_figures("pool latency", f"{machine()}; {options.urls:,} pages each.\n\n{found}")


if __name__ == "__main__":
    main()
