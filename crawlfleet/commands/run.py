"""`crawlfleet run`: crawl a job with a coordinator and workers on this machine."""

from __future__ import annotations

import argparse

from crawlfleet.commands.arguments import add_job_arguments, add_threads, cores, count
from crawlfleet.shared.exits import Verdict

# With more workers, the coordinator would be the bottleneck.
MOST_WORKERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a run."""
    add_job_arguments(parser)
    text = f"worker processes (default: one for each core, {MOST_WORKERS} at most)"
    parser.add_argument("--workers", metavar="N", type=count, default=min(cores(), MOST_WORKERS), help=text)
    add_threads(parser)


def execute(args: argparse.Namespace) -> int:
    """Run a job to its end; return the exit code."""
    import msgspec

    from crawlfleet.run.local import run
    from crawlfleet.run.messages import RunOptions

    # A crawl that ended well has ended well, whatever became of what was printed.
    return Verdict(run(msgspec.convert(args, RunOptions, from_attributes=True)))
