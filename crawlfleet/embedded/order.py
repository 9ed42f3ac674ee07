"""Makes the options of a run of what `crawl()` was told. An error names the parameter."""

from __future__ import annotations

import os
from pathlib import Path

from crawlfleet.coordinator.frontier.crawl_address import VARIABLE
from crawlfleet.coordinator.frontier.registry import USUAL
from crawlfleet.coordinator.job.source import JobSource, Setting, may_hold_secret, read
from crawlfleet.coordinator.job.stored import frontier_settings
from crawlfleet.coordinator.job.values import job_name
from crawlfleet.embedded.messages import Begin
from crawlfleet.run.messages import RunOptions
from crawlfleet.run.quick_job import QuickOptions, address_in, quick_job
from crawlfleet.shared.errors import JobError, UsageError

_ORIGIN_CHARS = 80
_NOT_STORED = "set={'durability': 'none'}: crawl() reads rows from the stored crawl: choose process or power"
_UNNAMED = "frontier=: a crawl in a database is kept by the name of its folder: say that by folder=, or leave this out"
# What commands call an option, and what `crawl()` calls it.
_PARAMETERS = {
    "--accept-changes": "accept_changes=True",
    "--accept-loss": "accept_loss=True",
    "--fresh": "fresh=True",
    "--crawls": "folder=",
    "the same command": "the same call",
}


def options_of(begin: Begin, crawls: Path | None) -> RunOptions:
    """Return the options of a run, whose folder is below `crawls`, if that is given; raise `UsageError`."""
    name = None
    if crawls is None:
        folder = Path(begin.folder).absolute()
        crawls, name = folder.parent, _name_of(folder)
    source = _source(begin, name)
    document = read(source).value
    if isinstance(document, dict) and document.get("durability") == "none":
        raise JobError((_NOT_STORED,))
    if not begin.folder and isinstance(document, dict) and document.get("frontier") not in (None, USUAL):
        raise JobError((_UNNAMED,))
    return RunOptions(
        job=source,
        crawls=crawls,
        fresh=begin.fresh,
        accept_changes=begin.accept_changes,
        accept_loss=begin.accept_loss,
        workers=begin.workers,
        threads=None,
        wait=False,
        quiet=True,
        is_embedded=True,
    )


def _source(begin: Begin, name: str | None) -> JobSource:
    settings = [Setting(key, value, _origin(key, value)) for key, value in begin.settings]
    if not begin.folder:
        settings.insert(0, Setting("sinks", [], "crawl()"))  # the rows are read from the store
    # What is temporary stays in its folder, whatever the environment says.
    known = os.environ.get(VARIABLE) if begin.folder else None
    settings[:0] = frontier_settings(known, begin.frontier, "frontier=")
    options = QuickOptions(
        urls=[address_in(url) or url for url in begin.urls],
        pages=begin.pages,
        depth=begin.depth,
        delay=begin.delay,
        items=begin.items,
        follow=begin.follow,
        parse=begin.parse,
        name=name,
        settings=settings,
    )
    return quick_job(options, _label)


def _label(option: str) -> str:
    return {"urls": "crawl()", "name": "folder="}.get(option, f"{option}=")


def _origin(key: str, value: object) -> str:
    said = f"{value!r}"
    text = f"set={{{key!r}: {'...' if may_hold_secret(f'{key}={said}') else said}}}"
    return text if len(text) <= _ORIGIN_CHARS else f"{text[:_ORIGIN_CHARS]}..."


def _name_of(folder: Path) -> str:
    try:
        return job_name(folder.name)
    except ValueError as error:
        raise UsageError(f"folder={str(folder)!r}: its last part names the crawl, and {error}") from None


def for_program(text: str) -> str:
    """Return a sentence for users of commands as one for callers of `crawl()`."""
    for option, parameter in _PARAMETERS.items():
        text = text.replace(option, parameter)
    return text
