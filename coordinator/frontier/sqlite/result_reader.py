"""Reads committed results from any thread: the latest from memory, older ones over a connection for each thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from crawlfleet.coordinator.core.rows import Result

_result = msgspec.msgpack.Decoder(Result).decode


RECENT_BYTES = 8 * 1024 * 1024


class ResultReader:
    """The committed log of one store. `count` is how many results are committed."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        self._mine = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._recent: list[tuple[Result, int]] = []
        self._recent_by_ref: dict[bytes, Result] = {}
        self._recent_bytes = 0
        self.count = 0

    def committed(self, results: Iterable[tuple[Result, int]]) -> None:
        """Add results that the store's owner has committed, each with its encoded size.

        The latest are kept in memory: followers of the log read them next.
        """
        with self._lock:
            for result, size in results:
                self._recent.append((result, size))
                self._recent_by_ref[result.ref] = result
                self._recent_bytes += size
                self.count += 1
            if self._recent_bytes > RECENT_BYTES:
                self._forget_half()

    def read(self, cursor: int, limit: int) -> Sequence[Result]:
        """Return results from place `cursor` on; places count from 0 and have no gaps."""
        with self._lock:
            first = cursor - (self.count - len(self._recent))
            if first >= 0:
                return [result for result, _ in self._recent[first : first + limit]]
        rows = self._db().execute(
            "SELECT row FROM results WHERE seq > ? AND seq <= ? ORDER BY seq", (cursor, min(cursor + limit, self.count))
        )
        return [_result(row) for (row,) in rows]

    def find(self, ref: bytes) -> Result | None:
        """Return the result of a task."""
        recent = self._recent_by_ref.get(ref)
        if recent is not None:
            return recent
        query = "SELECT row FROM results WHERE task = (SELECT id FROM tasks WHERE ref = ?)"
        found = self._db().execute(query, (ref,)).fetchone()
        return None if found is None else _result(found[0])

    def close(self) -> None:
        """Close all connections; no thread may read any more."""
        for db in self._all:
            db.close()

    def _forget_half(self) -> None:
        """Forget the older results, many at once, so that each of the others moves up only once."""
        gone = 0
        while self._recent_bytes > RECENT_BYTES // 2:
            result, size = self._recent[gone]
            self._recent_bytes -= size
            del self._recent_by_ref[result.ref]
            gone += 1
        del self._recent[:gone]

    def _db(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._mine, "db", None)
        if db is None:
            db = self._mine.db = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
            self._all.append(db)
        return db
