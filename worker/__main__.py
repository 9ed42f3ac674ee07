"""`python -m worker`, and the `worker` command of crawlfleet: a node on this machine.

What a node needs is imported once it is asked for, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shared.exits import exit_code_of

if TYPE_CHECKING:
    from shared.join_token import JoinToken
    from worker.wakeup import Signals

START_METHODS = ("spawn", "forkserver", "fork")
LOOK_EVERY_S = 0.2
STILL_WAITING_EVERY_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a node."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--join", metavar="TOKEN", help="the join token that the coordinator printed")
    where.add_argument("--join-file", metavar="FILE", type=Path, help="a file with it; waited for if need be")
    parser.add_argument(
        "--processes", metavar="N", type=count, default=cores(), help="worker processes (default: cores)"
    )
    add_threads(parser)
    parser.add_argument(
        "--start-method", choices=START_METHODS, default="fork", help="how processes start (default: fork)"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Define how many pages a worker process fetches at once."""
    text = "pages that each fetches at once (default: 256 by curl, 16 by requests)"
    parser.add_argument("--threads", metavar="N", type=count, help=text)


def from_args(args: argparse.Namespace) -> int:
    """Run a node as the arguments say; return its exit code. Raise `UsageError` for a token that is none."""
    from shared.lean import load_structlog

    load_structlog()
    from shared import log
    from shared.join_token import JoinToken
    from worker.app import WorkerOptions
    from worker.node import SIGNALS, Node, NodeOptions
    from worker.wakeup import Signals

    log.configure()
    with Signals(SIGNALS) as signals:
        token = JoinToken.parse(args.join) if args.join is not None else await_token(args.join_file, signals)
        if token is None:
            return 0
        options = NodeOptions(
            token=token,
            processes=args.processes,
            start_method=args.start_method,
            worker=WorkerOptions(fetches=args.threads),
        )
        return Node(options, signals).run()


def await_token(path: Path, signals: Signals) -> JoinToken | None:
    """Read a token from a file, waiting until it is there and not empty; None if a signal came before."""
    import structlog

    from shared.join_token import read_token

    looks = 0
    while not (path.is_file() and path.stat().st_size):
        if looks % round(STILL_WAITING_EVERY_S / LOOK_EVERY_S) == 0:
            structlog.get_logger(__name__).info("waiting for the join token", reason=f"{path} is not there yet")
        looks += 1
        if signals.wait(LOOK_EVERY_S):
            return None
    return read_token(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a node from a command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Fetch and parse for a crawl.")
    add_arguments(parser)
    args = parser.parse_args(argv)
    return exit_code_of(lambda: from_args(args))


def count(text: str) -> int:
    """Read how many processes or threads there shall be."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to 1024")
    return int(text)


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
