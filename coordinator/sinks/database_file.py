"""What databases that are one file have in common."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from crawlfleet.coordinator.sinks.database import ROW_ID, STATE, State, StoredTable, foreign, quoted
from crawlfleet.shared.errors import UsageError

BATCH = 1_000


class Cursor(Protocol):
    """What executing a statement returns."""

    def fetchone(self) -> Any:
        """Return the next row, if any."""

    def fetchmany(self, size: int, /) -> Sequence[Any]:
        """Return some more rows."""

    def close(self) -> object:
        """Close it."""


class DatabaseFile:
    """Base of open files with one table for each table of the job. It executes SQL that they all understand.

    A kind defines `execute`, `cursor`, `names`, `mapped_errors`, and of `Database` `create`, `insert`, `close`.
    """

    begin = "BEGIN"

    def __init__(self, path: Path, tables: tuple[StoredTable, ...]) -> None:
        self.path = path
        self.tables = tables

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        """Execute a statement."""
        raise NotImplementedError

    def cursor(self, query: str) -> Cursor:
        """Return the rows of a query, apart from those of others."""
        raise NotImplementedError

    def names(self) -> Iterable[str]:
        """Return the names of all tables in the file."""
        raise NotImplementedError

    def mapped_errors(self) -> AbstractContextManager[object]:
        """Return a context that turns errors into `CrawlFailed`, or into `UsageError` if the file is something else."""
        raise NotImplementedError

    def state(self) -> State | None:
        """See the port."""
        with self.mapped_errors():
            names = set(self.names())
            if STATE not in names:
                if names:
                    raise UsageError(foreign(self.path))
                return None
            return State(*self.execute(f"SELECT results, rows, digest FROM {STATE}").fetchone())  # noqa: S608  no value

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See the port."""
        with self.mapped_errors():
            self.execute(self.begin)
            try:
                yield
            except BaseException:
                self.execute("ROLLBACK")
                raise
            self.execute("COMMIT")

    def save(self, state: State) -> None:
        """See the port."""
        self.execute(f"UPDATE {STATE} SET results = ?, rows = ?, digest = ?", state)  # noqa: S608  no value

    def cut(self, rows: int) -> None:
        """See the port."""
        for table in self.tables:
            self.execute(f"DELETE FROM {quoted(table.name)} WHERE {ROW_ID} >= ?", (rows,))  # noqa: S608  quoted

    def rows(self) -> Generator[tuple[str, tuple[Any, ...]], None, None]:
        """See the port."""
        with self.mapped_errors(), ExitStack() as opened:
            found = [opened.enter_context(closing(self._rows_of(table))) for table in self.tables]
            for _, name, values in heapq.merge(*found, key=lambda row: row[0]):
                yield name, values

    def reconnect(self) -> None:
        """Do nothing: a file does not go away."""

    def create_state(self) -> None:
        """Create the table with the state."""
        self.execute(f"CREATE TABLE {STATE} (results BIGINT, rows BIGINT, digest VARCHAR)")
        self.execute(f"INSERT INTO {STATE} VALUES (0, 0, '')")  # noqa: S608  no value

    def _rows_of(self, table: StoredTable) -> Generator[tuple[int, str, tuple[Any, ...]], None, None]:
        query = f"SELECT * FROM {quoted(table.name)} ORDER BY {ROW_ID}"  # noqa: S608  quoted
        with closing(self.cursor(query)) as cursor:
            while rows := cursor.fetchmany(BATCH):
                for row_id, *values in rows:
                    yield row_id, table.name, tuple(values)
