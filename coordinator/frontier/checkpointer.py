"""Moving committed pages from the write-ahead log into the file, beside the crawl and not in its way.

A thread with a connection of its own copies pages while the store's owner goes on writing. Since the owner never
pauses, the log would never be empty and so never begin anew; once it is long, the owner itself copies what little is
left. The thread begins when there is enough to copy, so a small crawl has none. A power cut between two steps costs
nothing: SQLite syncs the log before it touches the file, and the file before the log begins anew.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

PAGES_PER_COPY = 8_000
LONG_LOG_PAGES = 32_000


class Checkpointer:
    """The thread, and how far it has come. Both methods are for the store's owner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pages = 0
        self._asked = threading.Event()
        self._is_over = False
        self._is_long = False
        self._thread: threading.Thread | None = None
        self._failure: sqlite3.Error | None = None

    def committed(self, db: sqlite3.Connection, pages: int) -> None:
        """Take note of a commit over `db` of about so many pages; raise `sqlite3.Error` if they cannot be copied."""
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
        """End the thread; wait for a copy that is under way."""
        self._is_over = True
        self._asked.set()
        if self._thread is not None:
            self._thread.join()

    def _ask(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
            self._thread.start()
        self._asked.set()

    def _run(self) -> None:
        try:
            db = sqlite3.connect(self._path, isolation_level=None)
            while self._asked.wait() and not self._is_over:
                self._asked.clear()
                self._is_long = _copy(db) > LONG_LOG_PAGES
            db.close()
        except sqlite3.Error as error:
            self._failure = error


def _copy(db: sqlite3.Connection) -> int:
    """Copy all that no reader holds back; return how many pages the log has by now."""
    _, pages, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)
