"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawlfleet.coordinator.job.source import JobSource, Setting


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Define the options that `run` and `coordinator` share."""
    add_settings(parser)
    parser.add_argument("--fresh", action="store_true", help="move the earlier run aside, and start again")
    text = "let the files that rows go to replace others, which the crawl did not write"
    parser.add_argument("--overwrite", action="store_true", help=text)
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="resume although the job's seeds, scope, traps or urls have changed",
    )
    text = "go on although the crawl's store has lost commits that were acknowledged: their pages are fetched again"
    parser.add_argument("--accept-loss", action="store_true", help=text)
    parser.add_argument(
        "--wait",
        action="store_true",
        help="stay open until the last program that opened a named object has gone; such a job needs no seeds",
    )
    text = "where the crawl is stored: sqlite, a file in its folder, or postgresql://HOST/DATABASE (default: sqlite)"
    parser.add_argument("--frontier", metavar="ADDRESS", help=text)
    parser.add_argument(
        "--crawls", metavar="DIR", type=Path, default=Path("crawls"), help="where crawls are kept (default: crawls)"
    )
    add_output(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Define values of a job that beat its file."""
    text = "a value of the job that beats its file, such as politeness.delay=2s; may be repeated"
    parser.add_argument("--set", metavar="KEY=VALUE", type=_setting, action="append", default=[], help=text)


def command_words(command: str, what: Sequence[str], args: argparse.Namespace) -> tuple[str, ...]:
    """Return the words of a command that say what is crawled: its job or its addresses, and what beats the job.

    They are kept with the crawl, and have no value that may be a secret.
    """
    from crawlfleet.coordinator.job.source import without_secret, written

    words = [command, *what]
    for name in ("pages", "depth", "delay", "name", "frontier"):
        if getattr(args, name, None) is not None:
            words += [f"--{name}", str(getattr(args, name))]
    for output in getattr(args, "output", ()):
        words += ["-o", output if "://" in output else str(Path.cwd() / output)]
    for each in args.set:
        words += ["--set", without_secret(written(each))]
    return tuple(words)


def _setting(text: str) -> Setting:
    from crawlfleet.coordinator.job.source import setting

    try:
        return setting(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def job_source(args: argparse.Namespace) -> JobSource:
    """Return the job that the arguments of `add_job_arguments` or `add_settings` name."""
    from crawlfleet.coordinator.job.source import JobSource

    return JobSource(path=args.job, settings=(*frontier_settings(args), *args.set))


def frontier_settings(args: argparse.Namespace) -> tuple[Setting, ...]:
    """Return where a crawl is stored, as the environment and an option say, the later beating the earlier."""
    from crawlfleet.coordinator.frontier.crawl_address import VARIABLE
    from crawlfleet.coordinator.job import stored

    return stored.frontier_settings(os.environ.get(VARIABLE), getattr(args, "frontier", None), "--frontier")


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
    """Define the crawl that a command about an existing one reads: all arguments that some commands have."""
    text = "the crawl's folder, such as crawls/demo, or its address, such as postgresql://HOST/DATABASE?crawl=demo"
    parser.add_argument("crawl", metavar="CRAWL", type=_crawl, help=text)


def _crawl(text: str) -> Path | str:
    return text if "://" in text else Path(text)


def count(text: str) -> int:
    """Parse a number of processes or threads, from 1 to 1024."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to 1024")
    return int(text)


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0))
