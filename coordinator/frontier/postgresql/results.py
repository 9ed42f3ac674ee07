"""The committed results of a crawl, as the database has them. Any thread reads them: each borrows a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from crawlfleet.coordinator.frontier.postgresql.arrays import UUID_BYTES, int8_in
from crawlfleet.coordinator.frontier.postgresql.portions import first_of, portion
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Session, statement

T = TypeVar("T")

RESULTS = portion("results", "seq", "task")
_OF_TASK = statement(
    "result_of",
    "SELECT row FROM results WHERE task = (SELECT id FROM tasks WHERE ref = encode($1::bytea, 'hex')::uuid)",
)
_LAST = statement("results_last", "SELECT coalesce(max(seq), 0) FROM results")


class StoredResults:
    """The log of one crawl; `connect` opens a connection."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        # As many as threads have ever read at the same time.
        self._idle: list[Session] = []

    def read(self, cursor: int, limit: int) -> Sequence[bytes]:
        """Return results from place `cursor` on; places count from 0 and have no gaps. See the port."""
        with self._session() as session:
            return [row[-1] for row in first_of(session, RESULTS, cursor, cursor + limit, limit)]

    def find(self, ref: bytes) -> bytes | None:
        """Return the result of a task."""
        if len(ref) != UUID_BYTES:
            return None
        with self._session() as session:
            found = session.values(Call(_OF_TASK, (ref,)))
        return found[0] if found else None

    def count(self) -> int:
        """Return how many results are committed."""
        with self._session() as session:
            return int8_in(session.values(Call(_LAST))[0])

    def ask(self, question: Callable[[Session], T]) -> T:
        """Ask the database something else."""
        with self._session() as session:
            return question(session)

    def close(self) -> None:
        """Close all connections; no thread may read meanwhile."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """Lend an idle connection, or open one; one that failed is not used again."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._connect()
        try:
            yield session
        except BaseException:
            session.close()
            raise
        self._idle.append(session)
