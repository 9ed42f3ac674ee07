"""`crawlfleet migrate`: move a crawl to another store."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

SAID_EVERY_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a move."""
    parser.add_argument("crawl", metavar="FOLDER", type=Path, help="the crawl's folder, such as crawls/demo")
    text = "what `frontier` of its job is to be: postgresql://HOST/DATABASE; or sqlite, for a file in the folder"
    parser.add_argument("to", metavar="TO", help=text)


def execute(args: argparse.Namespace) -> int:
    """Move the crawl; return 0."""
    from crawlfleet.coordinator.offline.migrate import migrate
    from crawlfleet.screen.console import Console

    console = Console()
    said_at = time.monotonic()

    def tell(what: str, rows: int, of: int) -> None:
        nonlocal said_at
        if time.monotonic() >= said_at + SAID_EVERY_S:
            said_at = time.monotonic()
            console.say(f"{what}: {rows:,} of {of:,} rows" if rows else f"{what} {of:,} rows")

    done = migrate(args.crawl, args.to, tell)
    if done.rows:
        console.say(f"moved: {done.rows:,} rows, compared with those they were copied from, and proved")
    console.say(f"go on with it by `frontier: {done.frontier}` in its job, or --frontier '{done.frontier}'")
    console.say(done.left)
    return 0
