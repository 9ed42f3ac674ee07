"""Writes the tables that a job asks for when its crawl is finished: whole files, in the place of earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import structlog

from crawlfleet.coordinator.frontier.registry import open_reader
from crawlfleet.coordinator.offline.export import write_table
from crawlfleet.shared.errors import CrawlfleetError


class TableFiles:
    """The files in a crawl's folder, by the names of their tables. `failure` is the error that ended the writing."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self._folder = folder
        self._files = files
        self.failure: CrawlfleetError | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are there."""
        found = (self._folder / file for file in self._files.values())
        return tuple(path for path in found if path.exists())

    def write(self, is_stopped: Callable[[], bool]) -> bool:
        """Write all tables from the store's file; return False if that was stopped before all were written."""
        try:
            for name, file in self._files.items():
                if is_stopped():
                    return False
                self._write(name, self._folder / file, is_stopped)
        except CrawlfleetError as error:
            self.failure = error
        return not is_stopped()

    def _write(self, name: str, path: Path, is_stopped: Callable[[], bool]) -> None:
        log = structlog.get_logger()
        log.info("writing a table", table=name, detail=str(path))
        with closing(open_reader(self._folder)) as reader:
            path.parent.mkdir(parents=True, exist_ok=True)
            written = write_table(reader, name, path, is_stopped)
        if written is not None:
            log.info("a table is written", table=name, rows=written.rows, detail=str(path))
