"""An SQLite file with a table for each table of the job."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks.cells import json_text
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
from crawlfleet.shared import field_types
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.paths import shown

_TYPES = {field_types.INT: "INTEGER", field_types.BOOL: "INTEGER", field_types.FLOAT: "REAL"}
BESIDE = ("-wal", "-shm", "-journal")


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


class SqliteFile:
    """An open SQLite file."""

    def __init__(self, path: Path, tables: tuple[StoredTable, ...], *, power: bool, only_reads: bool) -> None:
        self._path = path
        self._tables = tables
        with self._mapped_errors():
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
        self._only_reads = only_reads

    def state(self) -> State | None:
        """See the port."""
        with self._mapped_errors():
            names = [name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if STATE not in names:
                if names:
                    raise UsageError(foreign(self._path))
                return None
            found = self._db.execute(f"SELECT results, rows, digest FROM {STATE}").fetchone()  # noqa: S608  no value
        return State(*found)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See the port."""
        with self._mapped_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def create(self) -> None:
        """See the port."""
        self._db.execute(f"CREATE TABLE {STATE} (results INTEGER, rows INTEGER, digest TEXT)")
        self._db.execute(f"INSERT INTO {STATE} VALUES (0, 0, '')")  # noqa: S608  no value
        for table in self._tables:
            columns = [f"{quoted(each.name)} {_type(each.column)}" for each in table.columns]
            self._db.execute(f"CREATE TABLE {quoted(table.name)} ({ROW_ID} INTEGER PRIMARY KEY, {', '.join(columns)})")

    def insert(self, table: StoredTable, rows: Sequence[tuple[Any, ...]]) -> None:
        """See the port."""
        places = ", ".join("?" * len(rows[0]))
        self._db.executemany(f"INSERT INTO {quoted(table.name)} VALUES ({places})", rows)  # noqa: S608  quoted

    def save(self, state: State) -> None:
        """See the port."""
        self._db.execute(f"UPDATE {STATE} SET results = ?, rows = ?, digest = ?", state)  # noqa: S608  no value

    def cut(self, rows: int) -> None:
        """See the port."""
        for table in self._tables:
            self._db.execute(f"DELETE FROM {quoted(table.name)} WHERE {ROW_ID} >= ?", (rows,))  # noqa: S608  quoted

    def rows(self) -> Generator[tuple[str, tuple[Any, ...]], None, None]:
        """See the port."""
        with self._mapped_errors(), ExitStack() as opened:
            found = [opened.enter_context(closing(self._rows_of(table))) for table in self._tables]
            for _, name, values in heapq.merge(*found, key=lambda row: row[0]):
                yield name, values

    def reconnect(self) -> None:
        """Do nothing: a file does not go away."""

    def close(self) -> None:
        """See the port. What is left is one file."""
        try:
            if not self._only_reads:
                with self._mapped_errors():
                    self._db.execute("PRAGMA journal_mode = DELETE")
        finally:
            self._db.close()

    def _rows_of(self, table: StoredTable) -> Generator[tuple[int, str, tuple[Any, ...]], None, None]:
        with closing(self._db.cursor()) as cursor:
            select = f"SELECT * FROM {quoted(table.name)} ORDER BY {ROW_ID}"  # noqa: S608  quoted
            for row_id, *values in cursor.execute(select):
                yield row_id, table.name, tuple(values)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            text = "it is being written by another crawl, or open elsewhere" if "locked" in str(error) else str(error)
            raise CrawlFailed(f"cannot write {shown(self._path)}: {text}") from error
        except OSError as error:
            raise CrawlFailed(f"cannot write {shown(self._path)}: {error.strerror}") from error
        except sqlite3.DatabaseError as error:
            raise UsageError(foreign(self._path)) from error


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
