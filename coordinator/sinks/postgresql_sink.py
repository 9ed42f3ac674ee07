"""Tables in a PostgreSQL database: one for each table of the job, and a row of state for each crawl.

Rows are copied into a temporary table, and moved from there in the transaction that saves the state. A lock of the
session keeps two coordinators from writing the same tables, and a new connection from reading the state while the last
transaction of the old one may still be committed. The next owner of a crawl ends the session of the last one: a process
that was stopped keeps its own, and the server notices late that a machine is gone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from crawlfleet.coordinator.frontier.port import CrawlTaken
from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks.database import (
    ROW_ID,
    STATE,
    ConnectionLost,
    DatabaseKind,
    DatabaseSink,
    State,
    Store,
    StoredTable,
)
from crawlfleet.coordinator.sinks.patience import Patience
from crawlfleet.coordinator.sinks.port import Shape, SinkUnreachable
from crawlfleet.coordinator.sinks.postgresql_values import JSONB, reader_of, store_for, type_of
from crawlfleet.shared.errors import CrawlFailed, UsageError

LOCK_MS = 10_000
LONGEST_NAME_BYTES = 63
# A machine that is gone is noticed within a minute, by both sides.
_KEEPALIVE: dict[str, Any] = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}
_SESSION = f"""
SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'; SET lock_timeout = {LOCK_MS};
SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3
"""
_CREATE_STATE = """
CREATE TABLE IF NOT EXISTS {} (
    crawl text, prefix text, results bigint, rows bigint, digest text, tables text[], PRIMARY KEY (crawl, prefix)
)"""
_BEGIN = """
INSERT INTO {} VALUES (%s, %s, 0, 0, '', %s) ON CONFLICT (crawl, prefix) DO UPDATE SET tables = EXCLUDED.tables
"""
_END_LAST = """
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity a USING (pid)
JOIN pg_database d ON d.oid = database AND d.datname = current_database()
WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32 | objid::bigint) = %s::bigint AND objsubid = 1
AND usename = current_user AND application_name = %s
"""
_SYSTEM_COLUMNS = frozenset({"", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})

Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresqlTables(DatabaseKind):
    """Tables of PostgreSQL."""

    folds_case = False
    reserved = _SYSTEM_COLUMNS

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        for table in self.tables.values():
            for name in (table.name, *(column.name for column in table.columns)):
                if len(name.encode()) > LONGEST_NAME_BYTES:
                    raise UsageError(f"PostgreSQL has names of {LONGEST_NAME_BYTES} bytes at most: shorten {name!r}")

    def connect(self, path: Path, *, power: bool, only_reads: bool = False) -> PostgresqlDatabase:  # noqa: ARG002  as said
        """Connect to the server. What it has committed survives a power cut whatever the job asks for."""
        return PostgresqlDatabase(self.shape, tuple(self.tables.values()), only_reads=only_reads)

    def open_for_export(self, *, overwrite: bool) -> DatabaseSink:
        """See the port. All is one transaction."""
        database = PostgresqlDatabase(self.shape, tuple(self.tables.values()), is_whole=True)
        try:
            if overwrite:
                database.drop()
            elif database.state() is not None:
                text = f"{self.shape.address} has the rows of this crawl already: replace them by --overwrite"
                raise UsageError(f"{text}, or name another schema or prefix")
            return WholeExport(self, database)
        except BaseException:
            database.close()
            raise

    def remove(self, path: Path) -> None:
        """Drop the tables of this crawl."""
        with closing(self.connect(path, power=False)) as database, database.transaction():
            database.drop()

    def place_of(self, path: Path) -> str:  # noqa: ARG002  as said
        """Return the schema, and the address."""
        return f"what is in schema {self.shape.schema_name} of {self.shape.address}"

    def store_for(self, column: Column) -> Store:
        """Return the function from cells to what PostgreSQL gives back unchanged."""
        return store_for(column)


class WholeExport(DatabaseSink):
    """All rows of a crawl, in one transaction."""

    def __init__(self, kind: PostgresqlTables, database: PostgresqlDatabase) -> None:
        self._whole = database
        super().__init__(kind, database, kind.place_of(Path()), None)

    def finish(self) -> None:
        """Commit."""
        self._whole.commit()


class PostgresqlDatabase:
    """A connection. With `is_whole` nothing is committed before `commit`."""

    def __init__(
        self, shape: Shape, tables: tuple[StoredTable, ...], *, only_reads: bool = False, is_whole: bool = False
    ) -> None:
        self._shape = shape
        self._tables = tables
        self._only_reads = only_reads
        self._is_whole = is_whole
        self._key = (shape.crawl, shape.prefix)
        with self._mapped_errors():
            self._db = self._connected(ends_last=True)

    def state(self) -> State | None:
        """See the port."""
        with self._mapped_errors():
            kept = self._kept()
            names = [table.name for table in self._tables]
            there = self._existing(names if kept is None else [*names, *kept[1]])
        if kept is None or not there:
            for name in sorted(there):
                raise UsageError(f"{self._name_of(name)} exists already and is not this crawl's: {_ADVICE}")
            return None
        state, own = kept
        for name in sorted(there.symmetric_difference(own)):
            what = "is gone" if name in own else "exists already and is not this crawl's"
            raise UsageError(f"{self._name_of(name)} {what}: {_ADVICE}, or drop all tables of this crawl")
        return state

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See the port."""
        with self._mapped_errors(), self._db.transaction():
            yield

    def create(self) -> None:
        """See the port."""
        schema = sql.Identifier(self._shape.schema_name)
        # Two crawls may begin at once, and `IF NOT EXISTS` is no lock.
        self._db.execute("SELECT pg_advisory_xact_lock(%s)", (_number("create", self._shape.schema_name),))
        has_schema = self._db.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self._shape.schema_name,))
        if has_schema.fetchone() is None:
            self._db.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        self._db.execute(sql.SQL(_CREATE_STATE).format(self._in_schema(STATE)))
        for table in self._tables:
            columns = [_definition(each.name, type_of(each.column)) for each in table.columns]
            columns.insert(0, sql.SQL("{} bigint PRIMARY KEY").format(sql.Identifier(ROW_ID)))
            made = sql.SQL("CREATE TABLE {} ({})").format(self._in_schema(table.name), sql.SQL(", ").join(columns))
            self._db.execute(made)
        self._db.execute(self._on_state(_BEGIN), (*self._key, [table.name for table in self._tables]))

    def insert(self, table: StoredTable, rows: Sequence[tuple[Any, ...]]) -> None:
        """See the port."""
        target, columns = self._in_schema(table.name), _columns(table)
        if self._is_whole:
            self._copy(target, columns, rows)
            return
        staging = sql.Identifier("pg_temp", f"crawlfleet_{self._tables.index(table)}")
        make = sql.SQL("CREATE TABLE IF NOT EXISTS {} (LIKE {}) ON COMMIT DELETE ROWS").format(staging, target)
        self._db.execute(make)
        self._copy(staging, columns, rows)
        move = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(target, columns, columns, staging)
        self._db.execute(move)

    def save(self, state: State) -> None:
        """See the port."""
        change = "UPDATE {} SET results = %s, rows = %s, digest = %s WHERE (crawl, prefix) = (%s, %s)"
        self._db.execute(self._on_state(change), (*state, *self._key))

    def cut(self, rows: int) -> None:
        """See the port."""
        for table in self._tables:
            cut = sql.SQL("DELETE FROM {} WHERE {} >= %s").format(self._in_schema(table.name), sql.Identifier(ROW_ID))
            self._db.execute(cut, (rows,))

    def rows(self) -> Generator[tuple[str, tuple[Any, ...]], None, None]:
        """See the port."""
        with self._mapped_errors(), self._db.transaction(), ExitStack() as opened:
            found = [opened.enter_context(closing(self._rows_of(table))) for table in self._tables]
            for _, name, values in heapq.merge(*found, key=lambda row: row[0]):
                yield name, values

    def drop(self) -> None:
        """Drop the tables of this crawl, and its state."""
        with self._mapped_errors():
            kept = self._kept()
            if kept is not None:
                for name in kept[1]:
                    self._db.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self._in_schema(name)))
                self._db.execute(self._on_state("DELETE FROM {} WHERE (crawl, prefix) = (%s, %s)"), self._key)

    def commit(self) -> None:
        """Commit what is whole now."""
        with self._mapped_errors():
            self._db.commit()

    def reconnect(self) -> None:
        """See the port."""
        self._db.close()
        if self._is_whole:
            text = f"the connection to {self._shape.address} was lost, and nothing was written: run the command again"
            raise CrawlFailed(text)
        patience = Patience()
        while True:
            try:
                self._db = self._connected()
                return
            except psycopg.OperationalError as error:
                if self._shape.writer and isinstance(error, psycopg.errors.LockNotAvailable):
                    raise self._written_by_other() from error
                if not patience.pause():
                    text = f"cannot write {self._shape.address}, the server does not come back: {_line(error)}"
                    raise CrawlFailed(f"{text}; the next run writes what is missing") from error

    def close(self) -> None:
        """See the port."""
        self._db.close()

    def _connected(self, *, ends_last: bool = False) -> Connection:
        """Connect, and wait for the lock; who opens the tables ends the session of the last owner of the same crawl."""
        writer = self._shape.writer
        db: Connection = psycopg.connect(
            self._shape.address,
            connect_timeout=10,
            application_name=writer or "crawlfleet",
            autocommit=True,
            **_KEEPALIVE,
        )
        try:
            db.execute(_SESSION)
            if not self._only_reads:
                lock = _number("write", self._shape.schema_name, *self._key)
                if writer and ends_last:
                    db.execute(_END_LAST, (lock, writer))
                db.execute("SELECT pg_advisory_lock(%s)", (lock,))
            if self._is_whole:
                db.autocommit = False
        except BaseException:
            db.close()
            raise
        return db

    def _kept(self) -> tuple[State, set[str]] | None:
        """Return the state of this crawl, and the names of its tables."""
        if not self._existing([STATE]):
            return None
        query = "SELECT results, rows, digest, tables FROM {} WHERE (crawl, prefix) = (%s, %s)"
        found = self._db.execute(self._on_state(query), self._key).fetchone()
        return None if found is None else (State(*found[:3]), set(found[3]))

    def _existing(self, names: Sequence[str]) -> set[str]:
        query = "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        found = self._db.execute(
            f"{query} WHERE nspname = %s AND relname = ANY(%s)", (self._shape.schema_name, list(names))
        )
        return {name for (name,) in found}

    def _rows_of(self, table: StoredTable) -> Generator[tuple[int, str, tuple[Any, ...]], None, None]:
        readers = [reader_of(each.column) for each in table.columns]
        columns = [sql.Identifier(ROW_ID), *(_selected(each.name, type_of(each.column)) for each in table.columns)]
        query = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
            sql.SQL(", ").join(columns), self._in_schema(table.name), sql.Identifier(ROW_ID)
        )
        with self._db.cursor(name=f"crawlfleet_{self._tables.index(table)}") as cursor:
            cursor.itersize = 2_000
            for row_id, *values in cursor.execute(query):
                yield row_id, table.name, tuple(map(_read, readers, values))

    def _copy(self, target: sql.Composable, columns: sql.Composable, rows: Sequence[tuple[Any, ...]]) -> None:
        with (
            self._db.cursor() as cursor,
            cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(target, columns)) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def _written_by_other(self) -> CrawlFailed:
        """Return the error for a lock that is another's: an owner of a crawl in a database stands by then."""
        kind = CrawlTaken if self._shape.writer else CrawlFailed
        return kind(f"{self._shape.address} is being written by another coordinator of this crawl: wait, or stop it")

    def _in_schema(self, name: str) -> sql.Identifier:
        return sql.Identifier(self._shape.schema_name, name)

    def _on_state(self, query: str) -> sql.Composed:
        return sql.SQL(query).format(self._in_schema(STATE))

    def _name_of(self, table: str) -> str:
        return f"the table {table} in schema {self._shape.schema_name} of {self._shape.address}"

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            raise self._written_by_other() from error
        except psycopg.OperationalError as error:
            if not hasattr(self, "_db"):
                raise SinkUnreachable(f"cannot connect to {self._shape.address}: {_line(error)}") from error
            if self._db.closed:
                raise ConnectionLost(f"the connection to {self._shape.address} was lost: {_line(error)}") from error
            raise CrawlFailed(f"cannot write {self._shape.address}: {_line(error)}") from error
        except psycopg.Error as error:
            raise CrawlFailed(f"cannot write {self._shape.address}: {_line(error)}") from error


_ADVICE = "move it away, or name another schema or prefix"


def _read(read: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else read(value)


def _columns(table: StoredTable) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, (ROW_ID, *(each.name for each in table.columns))))


def _definition(name: str, kind: str) -> sql.Composed:
    return sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))


def _selected(name: str, kind: str) -> sql.Composable:
    return sql.SQL("{}::text").format(sql.Identifier(name)) if kind == JSONB else sql.Identifier(name)


def _number(*names: str) -> int:
    """Return a number for a lock: locks have 64 bits, with a sign."""
    said = "\0".join(("crawlfleet", *names)).encode()
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big", signed=True)


def _line(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
