"""The marks of a crawl's sinks on disk: how far each sink is.

A mark is committed after its bytes were written to the file. So after a crash a file is never shorter than its mark
says, unless the machine lost power or somebody truncated it. The first mark of a sink is always synced: without a mark,
the contents of the file could not be recognised as the crawl's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from crawlfleet.coordinator.folder_sync import sync_folder
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.shared.errors import CrawlFailed

MARKS = "sinks.db"

_SCHEMA = "CREATE TABLE IF NOT EXISTS marks (sink TEXT PRIMARY KEY, mark BLOB NOT NULL) WITHOUT ROWID"


class SqliteMarks:
    """The marks of one crawl by sink. Every call raises `CrawlFailed` if the file cannot be used."""

    def __init__(self, path: Path, *, power: bool) -> None:
        self._path = path
        self._level = "FULL" if power else "NORMAL"
        with self._mapped_errors():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with self._mapped_errors():
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute(_SCHEMA)
                self._known = {name for (name,) in self._db.execute("SELECT sink FROM marks")}
        except BaseException:
            self._db.close()
            raise

    def get(self, sink: str) -> Mark | None:
        """Return a sink's mark; None if it never wrote."""
        with self._mapped_errors():
            found = self._db.execute("SELECT mark FROM marks WHERE sink = ?", (sink,)).fetchone()
        return None if found is None else msgspec.msgpack.decode(found[0], type=Mark)

    def set(self, sink: str, mark: Mark) -> None:
        """Commit a sink's mark."""
        is_first = sink not in self._known
        with self._mapped_errors():
            self._db.execute(f"PRAGMA synchronous = {'FULL' if is_first else self._level}")
            self._db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (sink, msgspec.msgpack.encode(mark)))
            if is_first:
                sync_folder(self._path.parent)
                self._known.add(sink)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            raise CrawlFailed(
                f"cannot use {self._path}: {error}; make room or mend the disk, then run the job again"
            ) from error
