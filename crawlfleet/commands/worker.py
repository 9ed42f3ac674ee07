"""`crawlfleet worker`, or `python -m crawlfleet.worker`: a node on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from crawlfleet.commands.arguments import add_threads, cores, count
from crawlfleet.shared.inert import inert

if TYPE_CHECKING:
    from crawlfleet.shared.wire.join_token import JoinToken
    from crawlfleet.worker.process.wakeup import Signals

START_METHODS = ("spawn", "forkserver", "fork")
STANDARD_INPUT = "-"
LONGEST_LINE = 65_536
LOOK_EVERY_S = 0.2
STILL_WAITING_EVERY_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a node."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--join",
        metavar="TOKEN",
        help="the join token that the coordinator printed; - reads it from standard input, where no other user sees it",
    )
    where.add_argument(
        "--join-file",
        metavar="FILE",
        type=Path,
        help="a file with the join token; if it does not exist yet, wait for it",
    )
    parser.add_argument(
        "--processes", metavar="N", type=count, default=cores(), help="worker processes (default: cores)"
    )
    add_threads(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument(
        "--start-method", choices=START_METHODS, default="fork", help="how processes start (default: fork)"
    )


def execute(args: argparse.Namespace) -> int:
    """Run a node as the arguments say; return its exit code. Raise `UsageError` for an invalid token."""
    from crawlfleet.shared.lean import load_structlog

    load_structlog()
    from crawlfleet.shared import log
    from crawlfleet.shared.wire.join_token import JoinToken
    from crawlfleet.worker.app import WorkerOptions
    from crawlfleet.worker.node import SIGNALS, Node, NodeOptions
    from crawlfleet.worker.process.wakeup import Signals

    level = "error" if args.quiet else "info"
    log.configure(level=level)
    # Before signals are caught, so that Ctrl-C ends the wait for a line.
    pasted = read_line() if args.join == STANDARD_INPUT else args.join
    with Signals(SIGNALS) as signals:
        token = JoinToken.parse(pasted) if pasted is not None else await_token(args.join_file, signals)
        if token is None:
            return 0
        options = NodeOptions(
            token=token,
            processes=args.processes,
            start_method=args.start_method,
            worker=WorkerOptions(fetches=args.threads, log_level=level),
            say=_say_nothing if args.quiet else _say,
        )
        return Node(options, signals).run()


def _say(line: str) -> None:
    print(inert(line), flush=True)


def _say_nothing(_line: str) -> None:
    pass


def read_line() -> str:
    """Read one line from standard input, and ask for it if a person types there; empty if there is none."""
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        print("join token: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.buffer.readline(LONGEST_LINE).decode("ascii", errors="replace")


def await_token(path: Path, signals: Signals) -> JoinToken | None:
    """Wait until a file exists and is not empty; return its token, or None if a signal came before."""
    import structlog

    from crawlfleet.shared.wire.join_token import is_written, read_token

    looks = 0
    while not is_written(path):
        if looks % round(STILL_WAITING_EVERY_S / LOOK_EVERY_S) == 0:
            structlog.get_logger(__name__).info("waiting for the join token", reason=f"{path} is not there yet")
        looks += 1
        if signals.wait(LOOK_EVERY_S):
            return None
    return read_token(path)
