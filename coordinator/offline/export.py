"""`crawlfleet export`: a crawl's rows, written from its log at any time, during the crawl too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

from crawlfleet.coordinator.crawl_folder import FRONTIER
from crawlfleet.coordinator.frontier.crawl_reader import CrawlReader
from crawlfleet.coordinator.sinks.jsonl_sink import lines_of
from crawlfleet.shared.errors import CrawlFailed, UsageError


def export(folder: Path, target: Path | None, *, overwrite: bool = False) -> int:
    """Write all committed rows as JSON Lines to a file (standard output if None); return how many results they are of.

    The file is there whole or not at all. Raises `UsageError` if it exists already, `CrawlFailed` if it cannot be
    written.
    """
    if target is not None and target.exists() and not overwrite:
        raise UsageError(f"{target} exists already: name another file, or replace it by --overwrite")
    reader = CrawlReader(folder / FRONTIER)
    try:
        if target is None:
            return _write(reader, sys.stdout.buffer)
        draft = target.with_name(target.name + ".tmp")
        with draft.open("wb") as file:
            count = _write(reader, file)
        draft.replace(target)
        return count
    except OSError as error:
        raise CrawlFailed(f"cannot write {target or 'standard output'}: {error.strerror}") from error
    finally:
        reader.close()


def _write(reader: CrawlReader, file: IO[bytes]) -> int:
    count = 0
    for _, result in reader.results():
        file.write(lines_of(result))
        count += 1
    return count
