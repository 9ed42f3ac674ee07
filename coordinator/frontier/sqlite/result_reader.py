"""Reads committed results from a file, from any thread, over connections of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.frontier.sqlite.segments import whole

#: So many bytes of rows are read at once, or one row, if that has more.
READ_BYTES = 8 * 1024 * 1024


def up_to(size_bytes: int, db: sqlite3.Connection, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    """Return the first rows that a query finds, whose last columns have so many bytes together, and one at least."""
    rows: list[tuple[Any, ...]] = []
    with closing(db.execute(query, values)) as found:
        for *others, stored in found:
            row = whole(db, stored)
            size_bytes -= len(row)
            if rows and size_bytes < 0:
                break
            rows.append((*others, row))
    return rows


class ResultReader:
    """The committed log of one file, whoever committed it."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        # As many as threads have ever read at the same time.
        self._idle: list[sqlite3.Connection] = []

    def read(self, cursor: int, limit: int) -> Sequence[bytes]:
        """Return encoded results from place `cursor` on; places count from 0 and have no gaps."""
        query = "SELECT row FROM results WHERE seq > ? AND seq <= ? ORDER BY seq"
        with self._connection() as db:
            rows = up_to(READ_BYTES, db, query, (cursor, cursor + limit))
        return [row for (row,) in rows]

    def count(self) -> int:
        """Return how many results there are."""
        with self._connection() as db:
            found: int = db.execute("SELECT coalesce(max(seq), 0) FROM results").fetchone()[0]
        return found

    def find(self, ref: bytes) -> bytes | None:
        """Return the encoded result of a task."""
        query = "SELECT row FROM results WHERE task = (SELECT id FROM tasks WHERE ref = ?)"
        with self._connection() as db:
            found = db.execute(query, (ref,)).fetchone()
            return None if found is None else whole(db, found[0])

    def close(self) -> None:
        """Close all connections; no thread may read meanwhile."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend an idle connection, or open one; a thread that ends leaves none behind."""
        try:
            db = self._idle.pop()
        except IndexError:
            db = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            yield db
        finally:
            self._idle.append(db)
