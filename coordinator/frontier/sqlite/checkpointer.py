"""Copies committed pages from the write-ahead log into the file, concurrently with the crawl.

A thread with its own connection copies pages while the store's owner keeps writing. Since the owner never pauses, the
log would never be empty, and so never start over: when a commit leaves it longer than `LONG_LOG_PAGES`, the owner
itself copies the few pages left (SQLite does that: `wal_autocheckpoint`), and its next commit starts the log over. What
others read may prevent that: when the log is longer than `LONGEST_LOG_BYTES`, the owner waits for them. So they have to
be brief, and the log is never longer than that and one transaction. Only for a reader that is not brief it does not
wait: then it tries again when the log has grown. The thread starts when there is enough to copy, so a small crawl has
none. A power cut between two steps is harmless: SQLite syncs the log before it writes to the file, and the file before
the log starts over.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

PAGES_PER_COPY = 1_000
#: 12 MB.
LONG_LOG_PAGES = 3_000
LONGEST_LOG_BYTES = 18_000_000
#: How long the owner waits for readers, and by how much the log grows until it does so again.
WAIT_MS = 250
GROWTH_BYTES = 4_000_000


class Checkpointer:
    """The thread and its progress. Only the store's owner calls the methods."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._pages = 0
        self._longest = LONGEST_LOG_BYTES
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failure: sqlite3.Error | None = None
        # SQLite refuses a second copy at the same time at once, and does not wait for the first.
        self._copying = threading.Lock()

    def committed(self, db: sqlite3.Connection, pages: int) -> None:
        """Count a commit over `db` of about `pages` pages; raise `sqlite3.Error` if an earlier copy failed."""
        if self._failure is not None:
            raise self._failure
        size = self._log.stat().st_size
        if size > self._longest:
            with self._copying:
                self._longest = LONGEST_LOG_BYTES if _truncate(db) else size + GROWTH_BYTES
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
                    with self._copying:
                        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            self._failure = error


def _truncate(db: sqlite3.Connection) -> bool:
    """Copy all pages, wait for readers, and truncate the log; say whether that was possible."""
    (usual_ms,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
    is_busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.execute(f"PRAGMA busy_timeout = {usual_ms}")
    return not is_busy
