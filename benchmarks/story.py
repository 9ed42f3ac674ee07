"""What the story costs: bytes and microseconds for each page of a simulated crawl over SQLite.

    python -m benchmarks.story [--known 100000] [--pages 20000] [--folder FOLDER]

Fills a store, crawls, and reads the story back: its lines are encoded as they are stored, and again as they were before
format 6, without time, workers and answers. `encode` is what a commit spends on that, `decode` what a reader does.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.simulated_crawl import SimulatedCrawl
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.frontier.story import LEASED, StoryLine, decode_block, encode_block

RUNS = 5

Lines = list[tuple[Any, ...]]


def crawl(path: Path, known: int, pages: int) -> tuple[float, int]:
    """Crawl so many pages over a store; return the CPU microseconds for each, and the last block before them."""
    with closing(SqliteStore(path)) as store:
        simulated = SimulatedCrawl(store)
        simulated.fill(known)
        simulated.open()
        with closing(sqlite3.connect(path)) as db:
            (last,) = db.execute("SELECT max(seq) FROM story").fetchone()
        return simulated.crawl(pages).cpu_us, last


def blocks(path: Path, after: int) -> list[list[StoryLine]]:
    """Read the blocks of the story beyond a number."""
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT lines FROM story WHERE seq > ? ORDER BY seq", (after,)).fetchall()
    return [decode_block(lines) for (lines,) in found]


def as_stored(block: Sequence[StoryLine]) -> Lines:
    """Return the lines of a block as the store passes them to the encoder."""
    return [_stored(line) for line in block]


def as_before(block: Sequence[StoryLine]) -> Lines:
    """Return the lines of a block as a store of format 5 did."""
    lines = ((line.task, line.event, line.lease, line.outlinks, line.start) for line in block if line.event != LEASED)
    return [line if line[-1] is not None else line[:-1] for line in lines]


def _stored(line: StoryLine) -> tuple[Any, ...]:
    values = msgspec.structs.astuple(line)
    return values if line.worker else values[:-1] if line.answer is not None else values[:4]


def cost_us(work: Callable[[Any], Any], inputs: Sequence[Any], pages: int) -> float:
    """Return the CPU microseconds for each page that some work takes, of the quickest run."""
    best = float("inf")
    for _ in range(RUNS):
        began = time.thread_time()
        for each in inputs:
            work(each)
        best = min(best, time.thread_time() - began)
    return best / pages * 1e6


def main() -> None:
    """Crawl, and print a line for each way to write the story."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.story", description="What the story costs.")
    parser.add_argument("--known", type=int, default=100_000, help="URLs that are known at the start")
    parser.add_argument("--pages", type=int, default=20_000, help="pages that are measured")
    parser.add_argument("--folder", type=Path, help="where the store is (default: a new folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "frontier.db"
        cpu_us, before = crawl(path, options.known, options.pages)
        found = blocks(path, before)
    lines = sum(len(block) for block in found)
    print(f"{options.pages:,} pages, {cpu_us:.0f} us of CPU and {lines / options.pages:.1f} lines of story for each")
    for name, form in (("as stored", as_stored), ("before format 6", as_before)):
        ready = [form(block) for block in found]
        encoded = [encode_block(block) for block in ready]
        size = sum(map(len, encoded)) / options.pages
        encode, decode = cost_us(encode_block, ready, options.pages), cost_us(decode_block, encoded, options.pages)
        print(f"{name:<16}{size:8.1f} bytes {encode:6.2f} us to encode {decode:6.2f} us to decode, for each page")


if __name__ == "__main__":
    main()
