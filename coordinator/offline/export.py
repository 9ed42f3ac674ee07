"""`crawlfleet export`: writes a crawl's rows from its log at any time, also while the crawl runs."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import IO, NamedTuple, cast

from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.frontier.registry import open_reader
from crawlfleet.coordinator.results.rows import columns_of
from crawlfleet.coordinator.sinks.port import LineKind
from crawlfleet.coordinator.sinks.registry import SINKS, SinkEntry
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.streams import Output

USUAL = ".jsonl"


class Exported(NamedTuple):
    """How many pages and rows were written, how many rows the format cannot hold, and why the first one is not."""

    results: int
    rows: int
    rejected: int
    why: str


def export(folder: Path, target: Path | None, *, overwrite: bool = False) -> Exported:
    """Write all committed rows to a file (standard output if None); return how many.

    The file's ending selects the format, as for a sink; none means JSON Lines. The file is written
    completely or not at all. Raises `UsageError` if it exists already or has an unknown ending, or if there is no
    standard output, `CrawlFailed` if it cannot be written.
    """
    if target is not None and target.exists() and not overwrite:
        raise UsageError(f"{target} exists already: name another file, or replace it by --overwrite")
    if target is None and isinstance(sys.stdout, Output) and sys.stdout.was_closed:
        raise UsageError("the standard output is closed: name a file by --to")
    entry = _entry_for(target)
    with closing(open_reader(folder)) as reader:
        try:
            kind = cast("LineKind", entry.made_for(columns_of(reader.job)))
            if target is None:
                exported = _write(reader, kind, sys.stdout.buffer)
                sys.stdout.buffer.flush()
                return exported
            draft = target.with_name(target.name + ".tmp")
            with draft.open("wb") as file:
                exported = _write(reader, kind, file)
            draft.replace(target)
            return exported
        except OSError as error:
            raise CrawlFailed(f"cannot write {target or 'standard output'}: {error.strerror}") from error


def _entry_for(target: Path | None) -> SinkEntry:
    ending = target.suffix if target is not None else ""
    entry = SINKS.get(ending or USUAL)
    if entry is None or entry.transactional:
        written = ", ".join(entry.name for entry in SINKS.values() if not entry.transactional)
        raise UsageError(f"an export cannot be written as {ending}: name a file that ends in {written}")
    return entry


def _write(reader: StoreReader, kind: LineKind, file: IO[bytes]) -> Exported:
    count = rows = rejected = 0
    why = ""
    for _, result in reader.results():
        file.write(kind.lines_of(result) if count else kind.head + kind.lines_of(result))
        count += 1
        rows += len(result.rows)
        for each in kind.rejects_of(result):
            rejected += 1
            why = why or f"of {result.url}: {each.reason}"
    return Exported(count, rows - rejected, rejected, why)
