"""Whole crawls of a real site by turns: stored in a file, in PostgreSQL, and there with a synchronous standby.

    python -m benchmarks.whole_crawls [--frontiers sqlite postgresql standby] [--rounds 5] [--copies 6] [--workers 2]

The site is the PostgreSQL documentation, several copies of it side by side, served by nginx on loopback, and crawled
as `benchmarks.real_site` does it, with `durability: power`. Crawlers, nginx and all servers of databases share the
machine. Prints pages a second, CPU time of each part, and of PostgreSQL its log; `--setting` is one of its settings.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.by_turns import KINDS, Crawled, Place, table, take_turns
from benchmarks.real_site import Setting, crawl
from benchmarks.waiters import compose
from crawlfleet.commands.arguments import count


def crawl_once(place: Place, site: Path, workers: int) -> Crawled:
    """Crawl the site once. What the server spends counts from before the coordinator's start."""
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder, place.frontier() as frontier:

        def seeds(base: str) -> str:
            return f"seeds: [{base}]\nfrontier: {frontier}\n"

        before = place.spent()
        cost = crawl(Setting("power", workers), site, Path(folder), seeds=seeds)
        return Crawled(*cost, place.spent().since(before))


def main() -> None:
    """Crawl by turns, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_crawls", description="Whole crawls by turns.")
    parser.add_argument("--frontiers", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--copies", type=count, default=6, help="so often the site has the documentation")
    parser.add_argument("--workers", type=count, default=2)
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="of the servers")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as name:
        # Started by root, nginx reads as a user of its own.
        Path(name).chmod(0o755)
        site = Path(name) / "site"
        compose(site, asked.copies)
        crawls = take_turns(
            asked.frontiers, asked.rounds, lambda place: crawl_once(place, site, asked.workers), asked.setting
        )
    print(table(crawls))


if __name__ == "__main__":
    main()
