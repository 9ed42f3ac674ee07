"""`crawlfleet init`: look at a page, and print a starter job for it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from crawlfleet.shared.errors import CrawlfleetError, UsageError
from crawlfleet.shared.inert import inert
from crawlfleet.shared.paths import shown

if TYPE_CHECKING:
    from crawlfleet.trial.run import Trials
    from crawlfleet.worker.fetch.port import Fetched

#: What the job is called in its own comments if it is printed.
PRINTED = "job.yaml"
#: If this file is beside the job, as `crawlfleet schema` prints it, the job names it for editors.
SCHEMA = "job.schema.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a starter job."""
    parser.add_argument("url", metavar="URL", help="the page to look at, such as a list of what you want to have")
    text = "write the job into a new file (default: print it)"
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help=text)


def execute(args: argparse.Namespace) -> int:
    """Print or write a starter job; return 0 if the page was read."""
    from crawlfleet.trial.run import Trials

    file: Path | None = args.output
    if file is not None and (file.exists() or file.is_symlink()):
        raise _taken(file)
    # Its process gets ready while the page's address is looked at.
    with Trials(_say) as trials:
        from crawlfleet.run.quick_job import address_in, crawl_name

        address = address_in(args.url)
        if address is None:
            raise UsageError(f"{args.url[:200]!r} is no address: write one such as https://example.org/")
        fetched = _look_at(address, trials)
    from crawlfleet.starter.starter_job import starter_job

    has_schema = file is not None and (file.parent / SCHEMA).is_file()
    starter = starter_job(fetched, crawl_name(address), str(file or PRINTED), SCHEMA if has_schema else "")
    if file is None:
        print(starter.text, end="")
        _say(starter.summary)
    else:
        _write(file, starter.text)
        print(inert(f"{shown(file)}: {starter.summary}. Next: crawlfleet try {shown(file)} --watch"))
    return 0


def _look_at(address: str, trials: Trials) -> Fetched:
    """Return the answer to one polite request for a page; raise `CrawlfleetError` with a sentence if there is none."""
    from signal import SIGINT, SIGTERM

    from crawlfleet.coordinator.job.job import load_from
    from crawlfleet.run.quick_job import QuickOptions, quick_job
    from crawlfleet.trial.errand import errand_of
    from crawlfleet.tried import READ
    from crawlfleet.worker.process.wakeup import Signals

    job = load_from(quick_job(QuickOptions(urls=[address]), lambda _: address))
    with Signals([SIGINT, SIGTERM]) as signals:
        tried = trials.run(errand_of(job, address), signals, lambda: False, _get_ready)
    fetched = trials.answer(tried.url)
    if tried.state != READ or fetched is None:
        detail = f" ({tried.detail})" if tried.detail else ""
        raise CrawlfleetError(inert(f"{tried.url} was not read: {tried.reason}. {tried.meaning}{detail}"))
    return fetched


def _get_ready() -> None:
    import crawlfleet.starter.starter_job  # noqa: F401  # it takes a while


def _write(file: Path, text: str) -> None:
    """Write a new file; raise `UsageError` if there is one already, or it cannot be written."""
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise _taken(file) from error
    except OSError as error:
        raise UsageError(f"{shown(file)} cannot be written ({error.strerror}): name another file") from error


def _taken(file: Path) -> UsageError:
    return UsageError(f"{shown(file)} is there already, and no file is written over: name another one, or move it away")


def _say(sentence: str) -> None:
    print(inert(sentence), file=sys.stderr, flush=True)
