"""`crawlfleet run`: crawl a job, or an address without one, with a coordinator and workers on this machine."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from crawlfleet.commands.arguments import (
    add_job_options,
    add_threads,
    command_words,
    cores,
    count,
    frontier_settings,
)
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.exits import Verdict

if TYPE_CHECKING:
    from crawlfleet.coordinator.job.source import JobSource

# With more workers, the coordinator would be the bottleneck.
MOST_WORKERS = 8
AGAIN = (
    "The same command resumes a crawl that was interrupted. A crawl of an address that has finished begins anew, and "
    "its earlier run is moved aside, with the files that it wrote."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a run."""
    parser.description = f"{parser.description} {AGAIN}"
    text = "the crawl job, or addresses to begin at: example.org means https://example.org/"
    parser.add_argument("what", metavar="JOB.yaml|URL", nargs="+", help=text)
    add_quick_options(parser)
    add_job_options(parser)
    text = f"worker processes (default: one for each core, {MOST_WORKERS} at most)"
    parser.add_argument("--workers", metavar="N", type=count, default=min(cores(), MOST_WORKERS), help=text)
    add_threads(parser)


def add_quick_options(parser: argparse.ArgumentParser) -> None:
    """Define the options that stand for keys of a job."""
    group = parser.add_argument_group("what is crawled", "These beat the job file, and --set beats them.")
    group.add_argument("--pages", metavar="N", type=_number, help="fetch N pages at most (default: all of the site)")
    text = "follow links N times at most, 0: none (default: without a limit)"
    group.add_argument("--depth", metavar="N", type=_number, help=text)
    text = "the least time between two requests to a host, such as 500ms (default: 1s)"
    group.add_argument("--delay", metavar="TIME", help=text)
    text = "the name of the crawl, and of its folder (default: the host of the first URL, with - for dots)"
    group.add_argument("--name", metavar="NAME", help=text)
    text = (
        "where rows go, in the working directory: pages.parquet, .csv, .jsonl, ...; may be repeated "
        "(default: items.jsonl in the folder of the crawl)"
    )
    group.add_argument("-o", "--output", metavar="FILE", action="append", default=[], help=text)
    text = "write the job that this is to FILE, which `crawlfleet run FILE` resumes or repeats"
    group.add_argument("--save-job", metavar="FILE", type=Path, help=text)


def execute(args: argparse.Namespace) -> int:
    """Run a job to its end; return the exit code."""
    import msgspec

    from crawlfleet.run.local import run
    from crawlfleet.run.messages import RunOptions

    path, urls, remarks = _sort(args.what)
    args.job = _source(args, path, urls)
    args.anew = path is None
    args.remarks = remarks
    args.command = command_words("run", [str(Path.cwd() / path)] if path else urls, args)
    # A crawl that ended well has ended well, whatever became of what was printed.
    return Verdict(run(msgspec.convert(args, RunOptions, from_attributes=True)))


def _sort(given: list[str]) -> tuple[Path | None, list[str], tuple[str, ...]]:
    """Return the job file or the addresses that are given, and what is to be said of them."""
    from crawlfleet.run.quick_job import address_in

    found = [(text, address_in(text)) for text in given]
    files = [text for text, address in found if address is None]
    if files and len(given) > 1:
        raise UsageError(
            f"{files[0]} is no address: give one job file alone, or addresses such as https://example.org/"
        )
    if files:
        return Path(files[0]), [], ()
    remarks = (_remark(text, address) for text, address in found if address not in (None, text))
    return None, [address for _, address in found if address is not None], tuple(remarks)


def _remark(text: str, address: str | None) -> str:
    scheme, _, bare = (address or "").partition("://")
    other = "https" if scheme == "http" else "http"
    return f"{text} is taken for {address}: write {other}://{bare} if that is meant"


def _source(args: argparse.Namespace, path: Path | None, urls: list[str]) -> JobSource:
    from crawlfleet.run.quick_job import QuickOptions, quick_job

    options = QuickOptions(
        urls=urls,
        pages=args.pages,
        depth=args.depth,
        delay=args.delay,
        outputs=args.output,
        name=args.name,
        settings=[*frontier_settings(args), *args.set],
    )
    labels = {"urls": "URL", "outputs": "-o", **{name: f"--{name} {getattr(args, name)}" for name in _SHOWN}}
    return quick_job(options, labels.__getitem__, path)


_SHOWN = ("pages", "depth", "delay", "name")


def _number(text: str) -> int | str:
    """Return a whole number as one; the job refuses anything else."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text
