"""A database of the durable store: SQLite in WAL mode, one file in the crawl's folder (its tables: see `file_format`).

One connection writes; each thread that reads results has its own connection. A commit is over when `begin` returns. If
the rows of a batch are too much for one transaction, the largest ones are committed ahead of it (see `segments`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, OriginRow, ResidentRow, StoreRow, TaskRow, TrapRow
from crawlfleet.coordinator.frontier.crawl_clock import ClockReading, elapsed_s, read_clocks
from crawlfleet.coordinator.frontier.durable.batch import Batch, NewRows, kept_key
from crawlfleet.coordinator.frontier.durable.database import LaterEntry, LaterPage, Loaded, ReadyEntry, ReadyPage
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.coordinator.frontier.sqlite.checkpointer import Checkpointer
from crawlfleet.coordinator.frontier.sqlite.file_format import open_file
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS, SqliteMarks
from crawlfleet.coordinator.frontier.sqlite.result_reader import ResultReader
from crawlfleet.coordinator.frontier.sqlite.segments import INLINE_BYTES, Segments, TableRows, too_large, whole
from crawlfleet.shared.errors import CrawlFailed, UsageError

PAGE_BYTES = 4_096
# What crawls are made of is read as it is in the file, from outside, too. These rows are small, and few at once.
_INLINE = frozenset(KINDS[kind] for kind in (LeaseRow, HostRow, OriginRow, TrapRow))
_OF_OBJECTS = frozenset(KINDS[kind] for kind in KINDS if issubclass(kind, ResidentRow)) - {KINDS[LeaseRow]}
_IN = (1, 4, 16, 64, 256)
_NEXT_QUEUE = (
    "SELECT min(queue) FROM (SELECT min(queue) AS queue FROM ready WHERE queue > ? "
    "UNION ALL SELECT min(queue) FROM later WHERE queue > ?)"
)
_WAITING = (
    "SELECT row FROM (SELECT id FROM ready UNION ALL SELECT id FROM later LIMIT ?) AS waiting "
    "JOIN tasks ON tasks.id = waiting.id"
)
_READY = (
    "SELECT rank, ready.id, row FROM ready JOIN tasks ON tasks.id = ready.id "
    "WHERE queue = ? AND (rank, ready.id) > (?, ?) ORDER BY rank, ready.id LIMIT ?"
)
_LATER = (
    "SELECT not_before, later.id, row FROM later JOIN tasks ON tasks.id = later.id "
    "WHERE queue = ? AND (not_before, later.id) > (?, ?) ORDER BY not_before, later.id LIMIT ?"
)

_encode = msgspec.msgpack.Encoder().encode

V = TypeVar("V")


class SqliteDatabase:
    """The port over one SQLite file. With `power` each commit survives a power cut, not only a crash.

    Raises `UsageError` if the file is damaged or of another format, `CrawlFailed` if it cannot be written.
    """

    def __init__(self, path: Path, *, power: bool = False, clocks: Callable[[], ClockReading] = read_clocks) -> None:
        self._path = path
        self._power = power
        self._clocks = clocks
        #: A transaction has so much of rows.
        self.inline_bytes = INLINE_BYTES
        with mapped_errors(path):
            self._db = open_file(path, power=power)
        self._segments = Segments(self._db)
        self._checkpointer = Checkpointer(path)
        self._results = ResultReader(path)

    def load(self) -> Loaded:
        with mapped_errors(self._path):
            self._segments.load()
            meta: dict[str, bytes] = dict(self._db.execute("SELECT key, value FROM meta"))
            reading = self._clocks()
            kept_at, *before = msgspec.msgpack.decode(meta["clock"]) if "clock" in meta else (0.0, *reading)
            epoch = msgspec.msgpack.decode(meta["epoch"]) + 1 if "epoch" in meta else 1
            opened_at = kept_at + elapsed_s(ClockReading(*before), reading)
            self._begin_epoch(epoch, opened_at, reading)
            queries: dict[type[StoreRow], str] = {HostRow: "SELECT row FROM hosts WHERE active"}
            queries.update((kind, f"SELECT row FROM {KINDS[kind]}") for kind in KINDS if issubclass(kind, ResidentRow))
            return Loaded(
                epoch=epoch,
                opened_at=opened_at,
                commit_number=msgspec.msgpack.decode(meta["commit"]) if "commit" in meta else 0,
                results=self._number("coalesce(max(seq), 0) FROM results"),
                later=self._number("count(*) FROM later"),
                meta=meta,
                rows={kind: list(self._found(query, ())) for kind, query in queries.items()},
            )

    def rows(self, kind: type[StoreRow], keys: Collection[Any]) -> Iterator[bytes]:
        return self._under(kind, "ref" if kind is TaskRow else "key", keys)

    def tasks(self, orders: Collection[int]) -> Iterator[bytes]:
        return self._under(TaskRow, "id", orders)

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        depths: dict[bytes, int] = {}
        for some in _runs(refs):
            query = f"SELECT ref, depth FROM tasks WHERE ref IN ({_marks(some)})"
            depths.update(self._db.execute(query, some))
        return depths

    def heads(
        self, ready: Mapping[str, ReadyPage], later: Mapping[str, LaterPage]
    ) -> tuple[dict[str, list[ReadyEntry]], dict[str, list[LaterEntry]]]:
        find = self._db.execute
        return (
            {queue: [ReadyEntry(*found) for found in find(_READY, (queue, *page))] for queue, page in ready.items()},
            {queue: [LaterEntry(*found) for found in find(_LATER, (queue, *page))] for queue, page in later.items()},
        )

    def queues(self, after: str, limit: int) -> Sequence[str]:
        found: list[str] = []
        while len(found) < limit and (row := self._db.execute(_NEXT_QUEUE, (after, after)).fetchone()) != (None,):
            (after,) = row
            found.append(after)
        return found

    def waiting(self, limit: int) -> Iterator[bytes]:
        return self._found(_WAITING, (limit,))

    def walk(self, after: int, limit: int) -> Iterator[bytes]:
        return self._found("SELECT row FROM tasks WHERE id > ? ORDER BY id LIMIT ?", (after, limit))

    def begin(self, batch: Batch, ended: Callable[[], None]) -> None:
        with mapped_errors(self._path):
            tables, logs = _tables_of(batch.rows), _logs_of(batch)
            movable = [*(table for table in tables if table.table not in _INLINE), *logs]
            for size_bytes in self._segments.write_ahead(too_large(movable, self.inline_bytes)):
                self._checkpointer.committed(self._db, size_bytes // PAGE_BYTES)
            self._db.execute("BEGIN IMMEDIATE")
            self._segments.refer(movable)
            self._write(batch, tables)
            self._db.execute("COMMIT")
            self._checkpointer.committed(self._db, _pages_of(batch, tables, logs))
        ended()

    def conclude(self) -> Conclusion:
        return Conclusion.DONE  # `begin` raises if it is not

    def kept(self, key: str) -> bytes | None:
        return next(self._found("SELECT value FROM meta WHERE key = ?", (kept_key(key),)), None)

    def keep(self, key: str, value: bytes) -> None:
        with mapped_errors(self._path):
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (kept_key(key), value))

    def open_marks(self) -> SqliteMarks:
        """Open the marks of the crawl's sinks, in a separate file: sinks commit independently of the frontier."""
        return SqliteMarks(self._path.with_name(MARKS), power=self._power)

    def results(self, cursor: int, limit: int) -> Sequence[bytes]:
        return self._results.read(cursor, limit)

    def result(self, ref: bytes) -> bytes | None:
        return self._results.find(ref)

    def is_surely_owned(self) -> bool:
        """See the port: the crawl's folder is locked."""
        return True

    def hurry(self) -> None:
        pass

    def standing_by(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        self._results.close()
        self._checkpointer.close()
        self._db.close()

    def _begin_epoch(self, epoch: int, opened_at: float, reading: ClockReading) -> None:
        """Store the number of this incarnation, and its clocks; they survive a power cut under any durability."""
        (level,) = self._db.execute("PRAGMA synchronous").fetchone()
        self._db.execute("PRAGMA synchronous = FULL")
        kept = [("epoch", _encode(epoch)), ("clock", _encode((opened_at, *reading)))]
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?), (?, ?)", [*kept[0], *kept[1]])
        self._db.execute(f"PRAGMA synchronous = {level}")

    def _write(self, batch: Batch, tables: Iterable[TableRows]) -> None:
        """Write a batch within a transaction."""
        clocks = self._clocks()
        self._many("INSERT INTO tasks VALUES (?, ?, ?, ?)", batch.born)
        self._many("UPDATE tasks SET row = ? WHERE id = ?", [(row, order) for order, row in batch.changed])
        self._many("UPDATE tasks SET depth = ? WHERE id = ?", [(depth, order) for order, depth in batch.lowered])
        for table, values, _, gone, _ in tables:
            self._many(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in gone])
            if values:
                self._many(f"INSERT OR REPLACE INTO {table} VALUES ({_marks(values[0])})", values)
        self._many("DELETE FROM ready WHERE queue = ? AND rank = ? AND id = ?", batch.ready_gone)
        self._many("DELETE FROM later WHERE queue = ? AND not_before = ? AND id = ?", batch.later_gone)
        self._many("INSERT OR IGNORE INTO ready VALUES (?, ?, ?)", batch.ready)
        self._many("INSERT OR IGNORE INTO later VALUES (?, ?, ?)", batch.later)
        if batch.story is not None:
            self._db.execute("INSERT INTO story (lines, at) VALUES (?, ?)", (batch.story, clocks.wall_s))
        self._many("INSERT INTO results (seq, task, row) VALUES (?, ?, ?)", batch.results)
        self._many("INSERT OR REPLACE INTO links (task, row) VALUES (?, ?)", batch.links)
        own = [("clock", _encode((batch.at, *clocks))), ("commit", _encode(batch.number))]
        self._many("INSERT OR REPLACE INTO meta VALUES (?, ?)", [*own, *batch.meta])

    def _many(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        if values:
            self._db.executemany(statement, values)

    def _under(self, kind: type[StoreRow], column: str, keys: Collection[Any]) -> Iterator[bytes]:
        for some in _runs(keys):
            yield from self._found(f"SELECT row FROM {KINDS[kind]} WHERE {column} IN ({_marks(some)})", some)

    def _found(self, query: str, values: Sequence[object]) -> Iterator[bytes]:
        return (whole(self._db, stored) for (stored,) in self._db.execute(query, values))

    def _number(self, what: str) -> int:
        number: int = self._db.execute(f"SELECT {what}").fetchone()[0]
        return number


def _tables_of(rows: Mapping[type[StoreRow], NewRows]) -> list[TableRows]:
    return [TableRows(KINDS[kind], values, _size_of(values), gone) for kind, (values, gone) in rows.items()]


def _logs_of(batch: Batch) -> list[TableRows]:
    results = TableRows("results", batch.results, _size_of(batch.results), stay=True)
    return [results, TableRows("links", batch.links, _size_of(batch.links))]


def _pages_of(batch: Batch, tables: Sequence[TableRows], logs: Sequence[TableRows]) -> int:
    """Return about how many pages of the file a batch touches.

    Each task and each row of an object touches a page of its own. The other rows are few, or lie together.
    """
    pages = len(batch.born) + len(batch.changed)
    for table in tables:
        if table.table in _OF_OBJECTS:
            pages += len(table.values) + len(table.gone) + table.size_bytes // PAGE_BYTES
    return pages + sum(table.size_bytes for table in logs) // PAGE_BYTES


def _size_of(values: Iterable[tuple[Any, ...]]) -> int:
    return sum(len(value[-1]) for value in values)


def _runs(values: Iterable[V]) -> Iterator[list[V]]:
    """Split values into runs for one statement each.

    A run is padded with its last value to one of a few lengths, so that few statements are prepared.
    """
    rest = iter(values)
    while some := list(islice(rest, _IN[-1])):
        length = next(length for length in _IN if len(some) <= length)
        yield some + some[-1:] * (length - len(some))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


@contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Map SQLite's errors to ours, which name the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
            raise UsageError(
                f"{path} is damaged ({error}): restore a copy, or start again with --fresh, which keeps it aside"
            ) from error
        raise CrawlFailed(
            f"cannot write {path}: {error}; make room or mend the disk, then run the job again"
        ) from error
