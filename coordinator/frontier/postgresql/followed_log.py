"""The committed log of a crawl in a schema that another process writes: its results, as far as there are any at each
call."""

from __future__ import annotations

from collections.abc import Sequence

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.postgresql.connection import Place, connect
from crawlfleet.coordinator.frontier.postgresql.results import StoredResults
from crawlfleet.coordinator.frontier.postgresql.statements import Session
from crawlfleet.coordinator.frontier.stored_rows import result_in


class PostgresqlFollowedLog:
    """The port's followed log over one schema. Any thread may call it; a standby will do."""

    def __init__(self, address: str, schema: str) -> None:
        place = Place(address, schema)
        self._results = StoredResults(lambda: Session(connect(place, reads_only=True), place))

    def results(self, cursor: int, limit: int) -> Sequence[Result]:
        """See the port."""
        return [result_in(row) for row in self._results.read(cursor, limit)]

    def result(self, ref: bytes) -> Result | None:
        """See the port."""
        row = self._results.find(ref)
        return None if row is None else result_in(row)

    def result_count(self) -> int:
        """Return how many results are committed."""
        return self._results.count()

    def close(self) -> None:
        """Close all connections; no thread may read any more."""
        self._results.close()

    def tidy(self) -> None:
        """Close all connections: the database needs no more."""
        self.close()
