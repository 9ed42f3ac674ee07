"""The committed log of a durable store, for any thread: the latest results are in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.durable.database import Database
from crawlfleet.coordinator.frontier.stored_rows import result_in

RECENT_BYTES = 8 * 1024 * 1024

decode_result = msgspec.msgpack.Decoder(Result).decode


class RecentResults:
    """Results by their place and by the task's fingerprint. `count` is how many are committed."""

    def __init__(self, database: Database, count: int) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._recent: list[tuple[Result, int]] = []
        self._recent_by_ref: dict[bytes, Result] = {}
        self._recent_bytes = 0
        self.count = count

    def committed(self, results: Iterable[tuple[Result, int]]) -> None:
        """Add results that were committed, each with the size of its row: followers of the log read them next."""
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
        rows = self._database.results(cursor, min(cursor + limit, self.count) - cursor)
        return [result_in(row) for row in rows]

    def find(self, ref: bytes) -> Result | None:
        """Return the result of a task."""
        recent = self._recent_by_ref.get(ref)
        if recent is not None:
            return recent
        row = self._database.result(ref)
        return None if row is None else result_in(row)

    def _forget_half(self) -> None:
        """Forget the older results, many at once, so that each of the others moves up only once."""
        gone = 0
        while self._recent_bytes > RECENT_BYTES // 2:
            result, size = self._recent[gone]
            self._recent_bytes -= size
            del self._recent_by_ref[result.ref]
            gone += 1
        del self._recent[:gone]
