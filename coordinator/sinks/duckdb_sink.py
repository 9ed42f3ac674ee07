"""A DuckDB file with a table for each table of the job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks.arrow_cells import arrow_type, store_for, table_of
from crawlfleet.coordinator.sinks.database import ROW_ID, DatabaseKind, Store, StoredTable, foreign, quoted
from crawlfleet.coordinator.sinks.database_file import Cursor, DatabaseFile
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.paths import shown

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
        for end in ("", *SINKS[".duckdb"].beside):
            path.with_name(path.name + end).unlink(missing_ok=True)

    def store_for(self, column: Column) -> Store:
        """Return the function from cells to values that Arrow takes."""
        return store_for(column)


class DuckdbFile(DatabaseFile):
    """An open DuckDB file."""

    def __init__(self, path: Path, tables: tuple[StoredTable, ...], *, only_reads: bool) -> None:
        super().__init__(path, tables)
        self._types = {
            table.name: (pa.int64(), *(arrow_type(each.column) for each in table.columns)) for table in tables
        }
        with self.mapped_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = duckdb.connect(path, read_only=only_reads, config={"threads": 1, "memory_limit": MEMORY})
            self._db.execute("SET TimeZone = 'UTC'")

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        """See the base."""
        return self._db.execute(statement, list(values))

    def cursor(self, query: str) -> Cursor:
        """See the base."""
        return self._db.cursor().execute(query)

    def names(self) -> Iterable[str]:
        """See the base."""
        return [name for (name,) in self._db.execute("SELECT table_name FROM duckdb_tables()").fetchall()]

    def create(self) -> None:
        """See the port."""
        self.create_state()
        for table in self.tables:
            self._with_rows("CREATE TABLE {} AS SELECT * FROM batch", table, ())

    def insert(self, table: StoredTable, rows: Sequence[tuple[Any, ...]]) -> None:
        """See the port."""
        self._with_rows("INSERT INTO {} SELECT * FROM batch", table, rows)

    def close(self) -> None:
        """See the port."""
        self._db.close()

    def _with_rows(self, statement: str, table: StoredTable, rows: Sequence[tuple[Any, ...]]) -> None:
        """Execute a statement about a table, in which `batch` are rows."""
        names = (ROW_ID, *(each.name for each in table.columns))
        self._db.register("batch", table_of(names, self._types[table.name], rows))
        self._db.execute(statement.format(quoted(table.name)))
        self._db.unregister("batch")

    @contextmanager
    def mapped_errors(self) -> Iterator[None]:
        """See the base."""
        try:
            yield
        except duckdb.Error as error:
            said = " ".join(str(error).split())
            if "not a valid DuckDB" in said:
                raise UsageError(foreign(self.path)) from error
            text = "it is open elsewhere" if "lock" in said else said
            raise CrawlFailed(f"cannot write {shown(self.path)}: {text}") from error
        except OSError as error:
            raise CrawlFailed(f"cannot write {shown(self.path)}: {error.strerror}") from error
