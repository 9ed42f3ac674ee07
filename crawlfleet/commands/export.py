"""`crawlfleet export`: write a crawl's rows, or a table of its URLs or links, during the crawl too."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crawlfleet.commands.arguments import add_crawl

#: `offline.tables` has them; importing that takes long.
TABLES = ("urls", "links", "broken")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of an export."""
    add_crawl(parser)
    text = "where to: a file, whose ending says the format, or an address (default: JSON Lines on standard output)"
    parser.add_argument("--to", metavar="FILE", type=_target, help=text)
    text = f"write this table in the place of the rows of pages: {', '.join(TABLES)}"
    parser.add_argument("--table", metavar="TABLE", choices=TABLES, help=text)
    parser.add_argument("--overwrite", action="store_true", help="replace what is there, if it exists")
    text = "do not mark texts that a spreadsheet would take for a formula (.csv, .tsv)"
    parser.add_argument("--keep-formulas", action="store_true", help=text)


def _target(value: str) -> Path | str:
    return value if "://" in value else Path(value)


def execute(args: argparse.Namespace) -> int:
    """Write the rows; return 0."""
    from crawlfleet.coordinator.offline.export import export, export_table
    from crawlfleet.coordinator.sinks.port import ESCAPE, KEEP
    from crawlfleet.shared.inert import inert

    formulas = KEEP if args.keep_formulas else ESCAPE
    if args.table is not None:
        exported = export_table(args.crawl, args.table, args.to, overwrite=args.overwrite, formulas=formulas)
        of_what = f"table {args.table}"
    else:
        exported = export(args.crawl, args.to, overwrite=args.overwrite, formulas=formulas)
        of_what = "1 fetched page" if exported.results == 1 else f"{exported.results:,} fetched pages"
    if args.to is not None:
        files = ", ".join(map(str, exported.files))
        rows = "1 row" if exported.rows == 1 else f"{exported.rows:,} rows"
        print(inert(f"{files}: {rows} of {of_what}"))
    if exported.rejected:
        told = f"{exported.rejected:,} rows cannot be written in this format and are missing, the first one"
        print(inert(f"crawlfleet: {told} {exported.why}"), file=sys.stderr)
    return 0
