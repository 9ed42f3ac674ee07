"""Copies committed pages from the write-ahead log into the file, concurrently with the crawl.

A thread with its own connection copies pages while the store's owner keeps writing. Since the owner never pauses, the
log would never be empty, and so never start over: once it is long, the owner itself copies the few pages left. The
thread starts when there is enough to copy, so a small crawl has none. A power cut between two steps is harmless: SQLite
syncs the log before it writes to the file, and the file before the log starts over.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

PAGES_PER_COPY = 8_000
LONG_LOG_PAGES = 32_000


class Checkpointer:
    """The thread and its progress. Only the store's owner calls the methods."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pages = 0
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._is_long = False
        self._thread: threading.Thread | None = None
        self._failure: sqlite3.Error | None = None

    def committed(self, db: sqlite3.Connection, pages: int) -> None:
        """Count a commit over `db` of about `pages` pages; raise `sqlite3.Error` if an earlier copy failed."""
        if self._failure is not None:
            raise self._failure
        if self._is_long:
            self._is_long = False
            _copy(db)
        self._pages += pages
        if self._pages >= PAGES_PER_COPY:
            self._pages = 0
            self._ask()

    def close(self) -> None:
        """Wait for the requested copy, and end the thread."""
        if self._thread is not None:
            self._asked.put(False)
            self._thread.join()

    def _ask(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
            self._thread.start()
        if self._asked.empty():
            self._asked.put(True)

    def _run(self) -> None:
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as db:
                while self._asked.get():
                    self._is_long = _copy(db) > LONG_LOG_PAGES
        except sqlite3.Error as error:
            self._failure = error


def _copy(db: sqlite3.Connection) -> int:
    """Copy all pages that no reader still needs in the log; return how many pages the log has now."""
    _, pages, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)
