"""The command line. Each command has a file in `crawlfleet.commands`."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Collection, Sequence
from typing import NoReturn

from crawlfleet.commands.registry import add_commands
from crawlfleet.shared import exits

EXIT_CODES = """\
exit codes: 0 finished, even if some URLs failed; 1 no seed gave a page, a sink or the store failed, or verify or
            audit-politeness found something; 2 usage, job, address, key or version; 3 the crawl finished, but
            is not what its job expects; 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    multiprocessing.freeze_support()
    argv = sys.argv[1:] if argv is None else argv
    parser = command_line(argv)
    args = parser.parse_args(argv)
    if "execute" not in args:  # no command
        parser.print_help()
        return 0
    return exits.exit_code_of(lambda: args.execute(args))


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


def run_and_exit() -> NoReturn:
    """Run the command that the command line names, and end the process."""
    exits.run_and_exit(main)


class _Version(argparse.Action):
    """Prints the version, which it reads from the installed metadata."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from crawlfleet import __version__

        print(f"crawlfleet {__version__}")
        parser.exit()


if __name__ == "__main__":
    run_and_exit()
