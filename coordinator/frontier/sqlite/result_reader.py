"""Reads committed results from any thread: the latest from memory, older ones over connections of their own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.core.rows import Result

_result = msgspec.msgpack.Decoder(Result).decode


RECENT_BYTES = 8 * 1024 * 1024
#: So many bytes of rows are read at once, or one row, if that has more.
READ_BYTES = 8 * 1024 * 1024


def up_to(size_bytes: int, found: sqlite3.Cursor) -> list[tuple[Any, ...]]:
    """Return the first rows that a query finds, whose last columns have so many bytes together, and one at least."""
    rows: list[tuple[Any, ...]] = []
    with closing(found):
        for row in found:
            size_bytes -= len(row[-1])
            if rows and size_bytes < 0:
                break
            rows.append(row)
    return rows


class ResultReader:
    """The committed log of one store. `count` is how many results are committed."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        # As many as threads have ever read at the same time.
        self._idle: list[sqlite3.Connection] = []
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
        query = "SELECT row FROM results WHERE seq > ? AND seq <= ? ORDER BY seq"
        with self._connection() as db:
            rows = up_to(READ_BYTES, db.execute(query, (cursor, min(cursor + limit, self.count))))
        return [_result(row) for (row,) in rows]

    def find(self, ref: bytes) -> Result | None:
        """Return the result of a task."""
        recent = self._recent_by_ref.get(ref)
        if recent is not None:
            return recent
        query = "SELECT row FROM results WHERE task = (SELECT id FROM tasks WHERE ref = ?)"
        with self._connection() as db:
            found = db.execute(query, (ref,)).fetchone()
        return None if found is None else _result(found[0])

    def close(self) -> None:
        """Close all connections; no thread may read any more."""
        for db in self._idle:
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
