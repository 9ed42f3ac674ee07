"""An SQLite file with a table for each table of the job."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks.cells import json_text
from crawlfleet.coordinator.sinks.database import ROW_ID, DatabaseKind, Store, StoredTable, foreign, quoted
from crawlfleet.coordinator.sinks.database_file import Cursor, DatabaseFile
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.shared import field_types
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.paths import shown

_TYPES = {field_types.INT: "INTEGER", field_types.BOOL: "INTEGER", field_types.FLOAT: "REAL"}
BESIDE = SINKS[".sqlite"].beside


class SqliteFiles(DatabaseKind):
    """SQLite files."""

    def connect(self, path: Path, *, power: bool, only_reads: bool = False) -> SqliteFile | None:
        """Open a file."""
        if only_reads and not path.exists():
            return None
        return SqliteFile(path, tuple(self.tables.values()), power=power, only_reads=only_reads)

    def remove(self, path: Path) -> None:
        """Remove a file, and what SQLite has beside it."""
        for end in ("", *BESIDE):
            path.with_name(path.name + end).unlink(missing_ok=True)

    def store_for(self, column: Column) -> Store:
        """Return the function from cells to numbers and texts."""
        if column.many or column.fields or column.type == field_types.JSON:
            return json_text
        return _STORES.get(column.type, lambda cell: cell)


class SqliteFile(DatabaseFile):
    """An open SQLite file."""

    begin = "BEGIN IMMEDIATE"

    def __init__(self, path: Path, tables: tuple[StoredTable, ...], *, power: bool, only_reads: bool) -> None:
        super().__init__(path, tables)
        self._only_reads = only_reads
        with self.mapped_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            if not only_reads:
                try:
                    self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
                    self._db.execute("PRAGMA journal_mode = WAL")
                    self._db.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
                    self._db.execute("BEGIN IMMEDIATE").execute("ROLLBACK")
                except BaseException:
                    self._db.close()
                    raise

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        """See the base."""
        return self._db.execute(statement, values)

    def cursor(self, query: str) -> Cursor:
        """See the base."""
        return self._db.execute(query)

    def names(self) -> Iterable[str]:
        """See the base."""
        return [name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]

    def create(self) -> None:
        """See the port."""
        self.create_state()
        for table in self.tables:
            columns = [f"{quoted(each.name)} {_type(each.column)}" for each in table.columns]
            self.execute(f"CREATE TABLE {quoted(table.name)} ({ROW_ID} INTEGER PRIMARY KEY, {', '.join(columns)})")

    def insert(self, table: StoredTable, rows: Sequence[tuple[Any, ...]]) -> None:
        """See the port."""
        places = ", ".join("?" * len(rows[0]))
        self._db.executemany(f"INSERT INTO {quoted(table.name)} VALUES ({places})", rows)  # noqa: S608  quoted

    def close(self) -> None:
        """See the port. What is left is one file."""
        try:
            if not self._only_reads:
                with self.mapped_errors():
                    self._db.execute("PRAGMA journal_mode = DELETE")
        finally:
            self._db.close()

    @contextmanager
    def mapped_errors(self) -> Iterator[None]:
        """See the base."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = "it is being written by another crawl, or open elsewhere" if "locked" in str(error) else str(error)
            raise CrawlFailed(f"cannot write {shown(self.path)}: {text}") from error
        except OSError as error:
            raise CrawlFailed(f"cannot write {shown(self.path)}: {error.strerror}") from error
        except sqlite3.DatabaseError as error:
            raise UsageError(foreign(self.path)) from error


def _type(column: Column) -> str:
    return "TEXT" if column.many or column.fields else _TYPES.get(column.type, "TEXT")


def _decimal(cell: Decimal) -> str:
    return format(cell, "f")


_STORES: dict[str, Store] = {
    field_types.BOOL: int,
    field_types.DECIMAL: _decimal,
    field_types.DATE: lambda cell: cell.isoformat(),
    field_types.DATETIME: lambda cell: cell.isoformat(),
}
