"""The committed log of a crawl that another process writes, over whatever reads its stored results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.stored_rows import result_in


class _Reader(Protocol):
    """Reads encoded results, from any thread."""

    def read(self, cursor: int, limit: int) -> Sequence[bytes]: ...
    def find(self, ref: bytes) -> bytes | None: ...
    def count(self) -> int: ...
    def close(self) -> None: ...


class StoredLog:
    """The port's followed log. Any thread may call it."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

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
        """Close all that is open; no thread may read any more."""
        self._reader.close()

    def tidy(self) -> None:
        """Close it: most stores need no more."""
        self.close()
