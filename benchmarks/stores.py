"""What the frontier's stores cost, at any number of known URLs.

    python -m benchmarks.stores [--known 1e5 1e6 1e7] [--stores memory sqlite postgresql] [--folder FOLDER] [--pages N]

Each store and size has a process of its own: it fills the store, looks up, grants, crawls for a while (see
`simulated_site`), tells its figures and crawls on until it is killed with -9; then the store is opened again, closed
and opened once more. Prints a line of JSON for each, and a table at the end. A store that is in the folder already, of
the size or larger, is not filled again. `memory` is left out where it would not fit. For `postgresql` a server of its
own is started, which syncs, and filled anew; of it CPU time and log are told, and how many calls an exchange made. Its
commits are awaited one by one, as those of SQLite are.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.awaited_postgresql import CountedStore, CrawlMeter
from benchmarks.database_server import SETTINGS
from benchmarks.simulated_crawl import SimulatedCrawl, Stopwatch
from benchmarks.simulated_site import address
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.web.urls import page_fingerprint
from tests.site.postgresql_server import PostgresqlServer

MEMORY_HOLDS = 2_000_000
PER_LOOKUP = 1_280
LOOKUPS = 20
KILLED_AFTER_S = 2.0
Figures = dict[str, Any]


def measure(name: str, folder: Path, known: int, pages: int, address: str) -> None:
    """Fill a store, drive it, print its figures, and crawl on without end."""
    store, at = _open(name, folder, address)
    crawl = SimulatedCrawl(store, _pages(store), at)
    filled = crawl.fill(known)
    figures: Figures = {"store": name, "known": _pages(store)}
    if filled.number:
        figures |= {"new_per_s": filled.per_s, "new_cpu_us": filled.cpu_us, "fill_peak_mb": _peak_mb()}
    figures |= _looked_up(store, known)
    crawl.open()
    granted = crawl.grant()
    crawl.crawl(pages // 5)
    meter = CrawlMeter(store, address) if isinstance(store, CountedStore) else None
    crawled = crawl.crawl(pages)
    if meter is not None:
        figures |= meter.figures(crawled)
    figures |= {
        "grants_per_s": granted.per_s,
        "pages_per_s": crawled.per_s,
        "page_cpu_us": crawled.cpu_us,
        "commit_p50_ms": crawled.commit_ms(0.5),
        "commit_p99_ms": crawled.commit_ms(0.99),
        "rss_mb": _rss_mb(),
        "peak_mb": _peak_mb(),
        "disk_mb": sum(file.stat().st_size for file in folder.glob(f"{name}.db*")) >> 20,
    }
    print(json.dumps(figures), flush=True)
    while True:
        crawl.crawl(pages)


def reopen(name: str, folder: Path, address: str) -> None:
    """Open a store, take the first look at it, and print how long that took."""
    began = time.perf_counter()
    store, at = _open(name, folder, address)
    store.due(at, 64)
    store.waiting(1)
    opened_s = time.perf_counter() - began
    known = _pages(store)
    began = time.perf_counter()
    store.close()
    print(json.dumps({"opened_s": opened_s, "closed_s": time.perf_counter() - began, "known": known}), flush=True)


def _looked_up(store: Store, known: int) -> Figures:
    """Look up known pages anywhere, in batches of the size that an exchange has."""
    chance = random.Random(known)
    watch = Stopwatch()
    for _ in range(LOOKUPS):
        refs = [page_fingerprint(address(chance.randrange(known))) for _ in range(PER_LOOKUP)]
        with watch.running():
            watch.number += len(store.depths(refs))
    return {"known_per_s": watch.per_s, "known_cpu_us": watch.cpu_us}


def _open(name: str, folder: Path, address: str) -> tuple[Store, float]:
    if name == "memory":
        return MemoryStore(), 0.0
    if name == "postgresql":
        awaited = CountedStore(address)
        return awaited, awaited.opened_at
    store = SqliteStore(folder / f"{name}.db", power=name == "sqlite-power")
    return store, store.opened_at


def _pages(store: Store) -> int:
    return sum(number for (kind, _), number in store.counts().items() if kind is Kind.PAGE)


def _rss_mb() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def run(name: str, folder: Path, known: int, pages: int) -> Figures:
    """Measure one store at one size, in processes of its own; return its figures."""
    if name == "postgresql":
        with PostgresqlServer(*SETTINGS, syncs=True) as server:
            return _run(name, folder, known, pages, server.address())
    return _run(name, folder, known, pages, "")


def _run(name: str, folder: Path, known: int, pages: int, address: str) -> Figures:
    folder.mkdir(parents=True, exist_ok=True)
    inside = [sys.executable, "-m", "benchmarks.stores", "--folder", str(folder), "--stores", name]
    inside += ["--address", address]
    crawl = [*inside, "--inside", "measure", "--known", str(known), "--pages", str(pages)]
    with subprocess.Popen(crawl, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        figures: Figures = json.loads(child.stdout.readline())
        time.sleep(KILLED_AFTER_S)
        child.kill()
    if name != "memory":
        for how in ("killed", "closed"):
            done = subprocess.run([*inside, "--inside", "reopen"], stdout=subprocess.PIPE, check=True, text=True)
            figures[f"reopen_{how}_s"] = round(json.loads(done.stdout)["opened_s"], 3)
    print(json.dumps(figures), flush=True)
    return figures


def table(runs: list[Figures]) -> str:
    """Return the figures as a table in Markdown, a row for each store and size."""
    keys = list(dict.fromkeys(key for figures in runs for key in figures))
    lines = [keys, ["---"] * len(keys), *([_cell(figures, key) for key in keys] for figures in runs)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(figures: Mapping[str, object], key: str) -> str:
    value = figures.get(key, "")
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="What the frontier's stores cost.")
    parser.add_argument("--known", type=float, nargs="+", default=[1e5, 1e6, 1e7], help="sizes, in URLs")
    parser.add_argument(
        "--stores", nargs="+", default=["memory", "sqlite"], help="memory, sqlite, sqlite-power, postgresql"
    )
    parser.add_argument("--folder", type=Path, default=Path("/tmp/crawlfleet-stores"), help="where the files go")
    parser.add_argument("--pages", type=int, default=20_000, help="how many pages are measured")
    parser.add_argument("--inside", choices=("measure", "reopen"), help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside == "measure":
        measure(asked.stores[0], asked.folder, int(asked.known[0]), asked.pages, asked.address)
    elif asked.inside == "reopen":
        reopen(asked.stores[0], asked.folder, asked.address)
    else:
        wanted = [(name, int(known)) for known in asked.known for name in asked.stores]
        fitting = [(name, known) for name, known in wanted if name != "memory" or known <= MEMORY_HOLDS]
        print(table([run(name, asked.folder / str(known), known, asked.pages) for name, known in fitting]))


if __name__ == "__main__":
    main()
