"""`crawlfleet try`: show what one page of a job gives."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from crawlfleet.commands.arguments import add_settings
from crawlfleet.shared.errors import CrawlfleetError, JobError, UsageError
from crawlfleet.shared.inert import inert

if TYPE_CHECKING:
    from crawlfleet.trial.session import Options
    from crawlfleet.tried import Tried

#: A name that ends so is that of a file, though it may be that of a host.
FILE_ENDINGS = (".html", ".htm", ".xhtml", ".json", ".xml", ".txt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a trial."""
    parser.add_argument("job", metavar="JOB.yaml", help="the crawl job; or a URL, for a job without rules")
    text = "the page: its address, or a file to be read in its place (default: the first seed)"
    parser.add_argument("page", metavar="URL|FILE", nargs="?", default="", help=text)
    parser.add_argument("--url", metavar="URL", default="", help="the address that a file is read as")
    add_settings(parser)
    parser.add_argument("--watch", action="store_true", help="run again after each edit of the job or its hook")
    parser.add_argument("--json", action="store_true", help="print one JSON object, which has all of it")


def execute(args: argparse.Namespace) -> int:
    """Try a page; return 0 if it was read."""
    from crawlfleet.shared.lean import load_structlog
    from crawlfleet.trial.run import Trials

    view = _View(as_json=args.json, watches=args.watch)
    # Its process gets ready while the job is loaded.
    with Trials(view.say) as trials:
        load_structlog()
        from crawlfleet.trial.session import Session

        return Session(_options(args), view).run(trials)


class _View:
    """Shows pages on standard output, and says all else on standard error."""

    def __init__(self, *, as_json: bool, watches: bool) -> None:
        self._as_json = as_json
        self._watches = watches

    def get_ready(self) -> None:
        import crawlfleet.screen.tried_page  # noqa: F401  # it takes a while

    def show(self, tried: Tried) -> None:
        from crawlfleet.screen.console import Console
        from crawlfleet.screen.tried_page import show_tried

        console = Console()
        if self._watches and not self._as_json:
            console.clear()
        show_tried(tried, console, as_json=self._as_json)

    def say(self, sentence: str) -> None:
        print(inert(sentence), file=sys.stderr, flush=True)

    def fail(self, error: CrawlfleetError) -> None:
        text = str(error) if isinstance(error, JobError) else f"crawlfleet: {error}"
        for line in text.splitlines():
            self.say(line)


def _options(args: argparse.Namespace) -> Options:
    from crawlfleet.commands.arguments import job_source
    from crawlfleet.run.quick_job import QuickOptions, address_in, quick_job
    from crawlfleet.trial.session import Options

    first = address_in(args.job)
    if first is None:
        args.job = Path(args.job)
        address, file = _page(args.page)
        if args.url and file is None:
            raise UsageError("--url is the address that a file is read as: name a file, or leave it out")
        return Options(source=job_source(args), address=args.url or address, file=file, watch=args.watch)
    if args.page or args.url:
        raise UsageError(f"{args.job} is an address: name the job first, as in try JOB.yaml URL, or the address alone")
    source = quick_job(QuickOptions(urls=[first], settings=args.set), lambda _: args.job)
    return Options(source=source, watch=args.watch)


def _page(text: str) -> tuple[str, Path | None]:
    """Return the address, or the file, that the argument for the page names."""
    from crawlfleet.run.quick_job import address_in

    if not text or "://" in text:
        return text, None
    if Path(text).is_file():
        return "", Path(text)
    address = address_in(text) if Path(text).suffix.lower() not in FILE_ENDINGS else None
    if address is None:
        raise UsageError(f"{text[:200]} is no address, and there is no such file: write https://... or its path")
    return address, None
