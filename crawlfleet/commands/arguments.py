"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments that `run` and `coordinator` share."""
    parser.add_argument("job", metavar="JOB.yaml", type=Path, help="the crawl job")
    parser.add_argument("--fresh", action="store_true", help="move the earlier run aside, and start again")
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="resume although the job's seeds, scope, traps or urls have changed",
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="stay open until the last program that opened a named object has gone; such a job needs no seeds",
    )
    parser.add_argument(
        "--crawls", metavar="DIR", type=Path, default=Path("crawls"), help="where crawls are kept (default: crawls)"
    )
    add_output(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Define how much a crawl prints."""
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--quiet", action="store_true", help="print nothing but errors")
    text = "print nothing but the summary, as one JSON object at the end, and errors"
    much.add_argument("--json", action="store_true", help=text)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Define how many pages a worker process fetches at once."""
    text = "pages that each worker fetches at once (default: 256 with curl, 16 with requests)"
    parser.add_argument("--threads", metavar="N", type=count, help=text)


def add_crawl(parser: argparse.ArgumentParser) -> None:
    """Define the folder that a command about an existing crawl reads: all arguments that some commands have."""
    parser.add_argument("crawl", metavar="CRAWL", type=Path, help="the crawl's folder, such as crawls/demo")


def count(text: str) -> int:
    """Parse a number of processes or threads, from 1 to 1024."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to 1024")
    return int(text)


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0))
