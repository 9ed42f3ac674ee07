"""The command line. Each command has a file in `crawlfleet.commands`."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from typing import NoReturn

from crawlfleet.commands.command_line import command_line
from crawlfleet.shared import exits


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


def run_and_exit() -> NoReturn:
    """Run the command that the command line names, and end the process."""
    exits.run_and_exit(main)


if __name__ == "__main__":
    run_and_exit()
