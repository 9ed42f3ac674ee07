"""A DuckDB file with a table for each table of the job."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks.arrow_cells import arrow_type, store_for, table_of
from crawlfleet.coordinator.sinks.database import (
    ROW_ID,
    STATE,
    DatabaseKind,
    State,
    Store,
    StoredTable,
    foreign,
    quoted,
)
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.paths import shown

BATCH = 1_000
MEMORY = "512MB"


class DuckdbFiles(DatabaseKind):
    """DuckDB files."""

    def connect(self, path: Path, *, power: bool, only_reads: bool = False) -> DuckdbFile | None:  # noqa: ARG002  it always syncs
        """Open a file."""
        if only_reads and not path.exists():
            return None
        return DuckdbFile(path, tuple(self.tables.values()), only_reads=only_reads)

    def remove(self, path: Path) -> None:
        """Remove a file, and what DuckDB has beside it."""
        for end in ("", ".wal"):
            path.with_name(path.name + end).unlink(missing_ok=True)

    def store_for(self, column: Column) -> Store:
        """Return the function from cells to values that Arrow takes."""
        return store_for(column)


class DuckdbFile:
    """An open DuckDB file."""

    def __init__(self, path: Path, tables: tuple[StoredTable, ...], *, only_reads: bool) -> None:
        self._path = path
        self._tables = tables
        self._types = {
            table.name: (pa.int64(), *(arrow_type(each.column) for each in table.columns)) for table in tables
        }
        with self._mapped_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = duckdb.connect(path, read_only=only_reads, config={"threads": 1, "memory_limit": MEMORY})
            self._db.execute("SET TimeZone = 'UTC'")

    def state(self) -> State | None:
        """See the port."""
        with self._mapped_errors():
            names = [name for (name,) in self._db.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
            if STATE not in names:
                if names:
                    raise UsageError(foreign(self._path))
                return None
            found = self._db.execute(f"SELECT results, rows, digest FROM {STATE}").fetchone()  # noqa: S608  no value
        assert found is not None
        return State(*found)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See the port."""
        with self._mapped_errors():
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def create(self) -> None:
        """See the port."""
        self._db.execute(f"CREATE TABLE {STATE} (results BIGINT, rows BIGINT, digest VARCHAR)")
        self._db.execute(f"INSERT INTO {STATE} VALUES (0, 0, '')")  # noqa: S608  no value
        for table in self._tables:
            empty = table_of(self._names(table), self._types[table.name], ())
            self._db.register("empty", empty)
            self._db.execute(f"CREATE TABLE {quoted(table.name)} AS SELECT * FROM empty")  # noqa: S608  quoted
            self._db.unregister("empty")

    def insert(self, table: StoredTable, rows: Sequence[tuple[Any, ...]]) -> None:
        """See the port."""
        self._db.register("batch", table_of(self._names(table), self._types[table.name], rows))
        self._db.execute(f"INSERT INTO {quoted(table.name)} SELECT * FROM batch")  # noqa: S608  quoted
        self._db.unregister("batch")

    def save(self, state: State) -> None:
        """See the port."""
        self._db.execute(f"UPDATE {STATE} SET results = ?, rows = ?, digest = ?", list(state))  # noqa: S608  no value

    def cut(self, rows: int) -> None:
        """See the port."""
        for table in self._tables:
            self._db.execute(f"DELETE FROM {quoted(table.name)} WHERE {ROW_ID} >= ?", [rows])  # noqa: S608  quoted

    def rows(self) -> Generator[tuple[str, tuple[Any, ...]], None, None]:
        """See the port."""
        with self._mapped_errors(), ExitStack() as opened:
            found = [opened.enter_context(closing(self._rows_of(table))) for table in self._tables]
            for _, name, values in heapq.merge(*found, key=lambda row: row[0]):
                yield name, values

    def reconnect(self) -> None:
        """Do nothing: a file does not go away."""

    def close(self) -> None:
        """See the port."""
        self._db.close()

    def _names(self, table: StoredTable) -> tuple[str, ...]:
        return (ROW_ID, *(each.name for each in table.columns))

    def _rows_of(self, table: StoredTable) -> Generator[tuple[int, str, tuple[Any, ...]], None, None]:
        with closing(self._db.cursor()) as cursor:
            cursor.execute(f"SELECT * FROM {quoted(table.name)} ORDER BY {ROW_ID}")  # noqa: S608  quoted
            while rows := cursor.fetchmany(BATCH):
                for row_id, *values in rows:
                    yield row_id, table.name, tuple(values)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            said = " ".join(str(error).split())
            if "not a valid DuckDB" in said:
                raise UsageError(foreign(self._path)) from error
            text = "it is open elsewhere" if "lock" in said else said
            raise CrawlFailed(f"cannot write {shown(self._path)}: {text}") from error
        except OSError as error:
            raise CrawlFailed(f"cannot write {shown(self._path)}: {error.strerror}") from error
