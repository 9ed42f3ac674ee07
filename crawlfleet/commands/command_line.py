"""The parser of the whole command line."""

from __future__ import annotations

import argparse
from collections.abc import Collection

from crawlfleet.commands.registry import add_commands

EXIT_CODES = """\
exit codes: 0 finished, even if some URLs failed; 1 no seed gave a page, a sink or the store failed, try read no
            page, or verify or audit-politeness found something; 2 usage, job, address, key or version; 3 the
            crawl finished, but is not what its job expects; 130 interrupted"""


def command_line(named: Collection[str]) -> argparse.ArgumentParser:
    """Return the parser of the whole command line, with the arguments of the commands that are named."""
    parser = argparse.ArgumentParser(
        prog="crawlfleet",
        description="A distributed crawler: one coordinator, any number of workers.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    add_commands(parser, named)
    return parser


class _Version(argparse.Action):
    """Prints the version, which it reads from the installed metadata."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from crawlfleet import __version__

        print(f"crawlfleet {__version__}")
        parser.exit()
