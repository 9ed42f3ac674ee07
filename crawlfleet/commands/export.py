"""`crawlfleet export`: write a crawl's rows, during the crawl too."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crawlfleet.commands.arguments import add_crawl


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of an export."""
    add_crawl(parser)
    text = "where to; the ending says the format, as that of a sink (default: JSON Lines on standard output)"
    parser.add_argument("--to", metavar="FILE", type=Path, help=text)
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    text = "do not mark texts that a spreadsheet would take for a formula (.csv, .tsv)"
    parser.add_argument("--keep-formulas", action="store_true", help=text)


def execute(args: argparse.Namespace) -> int:
    """Write the rows; return 0."""
    from crawlfleet.coordinator.offline.export import export
    from crawlfleet.coordinator.sinks.port import ESCAPE, KEEP

    formulas = KEEP if args.keep_formulas else ESCAPE
    exported = export(args.crawl, args.to, overwrite=args.overwrite, formulas=formulas)
    if args.to is not None:
        files = ", ".join(map(str, exported.files))
        rows = "1 row" if exported.rows == 1 else f"{exported.rows:,} rows"
        pages = "1 fetched page" if exported.results == 1 else f"{exported.results:,} fetched pages"
        print(f"{files}: {rows} of {pages}")
    if exported.rejected:
        print(
            f"crawlfleet: {exported.rejected:,} rows cannot be written in this format and are missing, "
            f"the first one {exported.why}",
            file=sys.stderr,
        )
    return 0
