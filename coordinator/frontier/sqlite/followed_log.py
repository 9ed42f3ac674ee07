"""The committed log of a crawl that another process writes: its results, as far as there are any at each call."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.result_reader import ResultReader
from crawlfleet.coordinator.frontier.stored_rows import result_in


class SqliteFollowedLog:
    """The port's followed log over the SQLite file in a crawl's folder. Any thread may call it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FRONTIER
        self._reader = ResultReader(self._path)

    def results(self, cursor: int, limit: int) -> Sequence[Result]:
        """See the port."""
        return [result_in(row) for row in self._reader.read(cursor, limit)]

    def result(self, ref: bytes) -> Result | None:
        """See the port."""
        row = self._reader.find(ref)
        return None if row is None else result_in(row)

    def result_count(self) -> int:
        """Return how many results are committed."""
        return self._reader.count()

    def close(self) -> None:
        """Close the file; no thread may read any more."""
        self._reader.close()

    def tidy(self) -> None:
        """Put what the write-ahead log still holds into the file: its last writer left that to its last reader."""
        self._reader.close()
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
