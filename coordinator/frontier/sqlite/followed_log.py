"""The committed log of a crawl in a file that another process writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.result_reader import ResultReader
from crawlfleet.coordinator.frontier.stored_log import StoredLog


class SqliteFollowedLog(StoredLog):
    """The port's followed log over the SQLite file in a crawl's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FRONTIER
        super().__init__(ResultReader(self._path))

    def tidy(self) -> None:
        """Put what the write-ahead log still holds into the file: its last writer left that to its last reader."""
        self.close()
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
