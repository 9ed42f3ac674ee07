"""`crawlfleet check`: report every problem of a job file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from crawlfleet.commands.arguments import add_settings, job_source

if TYPE_CHECKING:
    from crawlfleet.coordinator.job.job import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a check."""
    parser.add_argument("job", metavar="JOB.yaml", type=Path)
    add_settings(parser)


def execute(args: argparse.Namespace) -> int:
    """Load a job and print what it contains, and what is probably not meant; raise a `JobError` with its problems."""
    from crawlfleet.coordinator.job.forewarnings import exposed, forewarnings
    from crawlfleet.coordinator.job.job import load_from
    from crawlfleet.coordinator.job.seeds import files_of
    from crawlfleet.coordinator.job.sinks import name_of
    from crawlfleet.shared.inert import inert
    from crawlfleet.shared.paths import shown

    job = load_from(job_source(args), needs_seeds=False)
    files = files_of(job.seeds)
    number = len(job.seeds) - len(files)
    seeds = "1 seed" if number == 1 else f"{number:,} seeds"
    if not job.seeds:
        seeds = "no seeds (run it with --wait)"
    elif files:
        seeds = " and ".join([*([seeds] if number else []), *(f"those of {shown(each.file)}" for each in files)])
    rules = "1 item rule" if len(job.items) == 1 else f"{len(job.items)} item rules"
    if job.hooks:
        rules = f"{f'{rules}, ' if job.items else ''}the hook {shown(job.hooks.name)} (it is not run here)"
    into = ", ".join(map(shown, map(name_of, job.sinks)))
    print(inert(f"{args.job}: job {job.name!r} is fine: {seeds}, {rules}, into {into}"))
    for sentence in (*forewarnings(job), *exposed(args.set), *map(shown, _bad_lines(job))):
        print(inert(f"{args.job}: warning: {sentence}"))
    return 0


def _bad_lines(job: Job) -> Iterator[str]:
    """Read the seeds files of a job; yield what is wrong with lines, of each the first ones, and with the file."""
    from crawlfleet.coordinator.job.seeds import files_of

    for reader in (seed.reader(()) for seed in files_of(job.seeds)):
        for _ in reader:
            yield from reader.take_told()
        yield from reader.take_told()
        yield from reader.findings()
