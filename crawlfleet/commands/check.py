"""`crawlfleet check`: report every problem of a job file."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a check."""
    parser.add_argument("job", metavar="JOB.yaml", type=Path)


def execute(args: argparse.Namespace) -> int:
    """Load a job and print what it contains, and what is probably not meant; raise a `JobError` with its problems."""
    from crawlfleet.coordinator.job.forewarnings import forewarnings
    from crawlfleet.coordinator.job.job import load
    from crawlfleet.coordinator.job.sinks import name_of
    from crawlfleet.shared.paths import shown

    job = load(args.job, needs_seeds=False)
    seeds = "1 seed" if len(job.seeds) == 1 else f"{len(job.seeds):,} seeds"
    if not job.seeds:
        seeds = "no seeds (run it with --wait)"
    rules = "1 item rule" if len(job.items) == 1 else f"{len(job.items)} item rules"
    if job.hooks:
        rules = f"{f'{rules}, ' if job.items else ''}the hook {shown(job.hooks.name)} (it is not run here)"
    print(
        f"{args.job}: job {job.name!r} is fine: {seeds}, {rules}, into {', '.join(map(shown, map(name_of, job.sinks)))}"
    )
    for sentence in forewarnings(job):
        print(f"{args.job}: warning: {sentence}")
    return 0
