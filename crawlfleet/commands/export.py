"""`crawlfleet export`: write a crawl's rows, during the crawl too."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crawlfleet.commands.arguments import add_crawl


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of an export."""
    add_crawl(parser)
    parser.add_argument("--to", metavar="FILE", type=Path, help="where to (default: standard output)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")


def execute(args: argparse.Namespace) -> int:
    """Write the rows; return 0."""
    from crawlfleet.coordinator.offline.export import export

    exported = export(args.crawl, args.to, overwrite=args.overwrite)
    if args.to is not None:
        rows = "1 row" if exported.rows == 1 else f"{exported.rows:,} rows"
        pages = "1 fetched page" if exported.results == 1 else f"{exported.results:,} fetched pages"
        print(f"{args.to}: {rows} of {pages}")
    if exported.rejected:
        print(
            f"crawlfleet: {exported.rejected:,} rows cannot be written in this format and are missing, "
            f"the first one {exported.why}",
            file=sys.stderr,
        )
    return 0
