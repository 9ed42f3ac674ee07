"""Reading committed results from any thread: each has a read-only connection of its own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from coordinator.core.rows import Result

_result = msgspec.msgpack.Decoder(Result).decode


class ResultReader:
    """The committed log of one store. `count` is how many results are committed; the store's owner raises it."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        self._mine = threading.local()
        self._all: list[sqlite3.Connection] = []
        self.count = 0

    def read(self, cursor: int, limit: int) -> Sequence[Result]:
        """Return results from place `cursor` on; places count from 0 and have no gaps."""
        rows = self._db().execute(
            "SELECT row FROM results WHERE seq > ? AND seq <= ? ORDER BY seq", (cursor, min(cursor + limit, self.count))
        )
        return [_result(row) for (row,) in rows]

    def find(self, ref: bytes) -> Result | None:
        """Return the result of a task."""
        query = "SELECT row FROM results WHERE task = (SELECT id FROM tasks WHERE ref = ?)"
        found = self._db().execute(query, (ref,)).fetchone()
        return None if found is None else _result(found[0])

    def close(self) -> None:
        """Close all connections; no thread may read any more."""
        for db in self._all:
            db.close()

    def _db(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._mine, "db", None)
        if db is None:
            db = self._mine.db = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
            self._all.append(db)
        return db
