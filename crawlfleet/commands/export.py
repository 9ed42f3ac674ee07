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
        print(f"{args.to}: the rows of {exported.results:,} pages")
    if exported.rejected:
        print(
            f"crawlfleet: {exported.rejected:,} rows cannot be written in this format and are missing, "
            f"the first one {exported.why}",
            file=sys.stderr,
        )
    return 0
