"""Reads a crawl's durable store from outside, also while the crawl runs.

It reads in portions, each in a transaction of its own: whoever reads for long in one would keep the write-ahead log
from starting over. Tasks, story and results are read as far as there were any when the reader was opened; tasks and
hosts may have changed since, if the crawl runs.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.core.later_rows import LeadOnRow, SeedLineRow
from crawlfleet.coordinator.core.leases import under_lease
from crawlfleet.coordinator.core.rows import HostRow, LedgerRow, Result, TaskRow
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.file_format import READABLE, TIMES_SINCE, refuse_other_format
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS
from crawlfleet.coordinator.frontier.sqlite.result_reader import READ_BYTES, up_to
from crawlfleet.coordinator.frontier.sqlite.segments import whole
from crawlfleet.coordinator.frontier.stored_rows import (
    host_in,
    leading_on_in,
    lease_in,
    result_in,
    seed_line_in,
    task_in,
)
from crawlfleet.coordinator.frontier.story import Block, StoryLine, decode_block
from crawlfleet.shared.errors import UsageError

_ADVICE = "read it as its owner, or copy the crawl's folder to where you may write, and read the copy"
_IN = 500
_PORTION = 200
# Tables that are appended to, each with the column by which it grows.
_APPENDED = {"tasks": "id", "story": "seq", "results": "seq", "links": "seq"}


class SqliteReader:
    """The port's reader over one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = _opened(path)
        try:
            with self._mapped_errors():
                (found,) = self._db.execute("PRAGMA user_version").fetchone()
                refuse_other_format(self._path, found, READABLE)
                self._has_times = found >= TIMES_SINCE
                self._db.execute("BEGIN")
                there = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                self._has_seed_lines = "seed_lines" in there
                self._lasts = {
                    table: self._last(table, column) if table in there else 0 for table, column in _APPENDED.items()
                }
                self._meta: dict[str, bytes] = dict(self._db.execute("SELECT key, value FROM meta"))
                self._db.execute("COMMIT")
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the snapshot."""
        self._db.close()

    @property
    def job(self) -> dict[str, Any]:
        """The job of the crawl's last run, as plain data."""
        job: dict[str, Any] = msgspec.json.decode(self._meta["kept:job"])
        return job

    @property
    def ledger(self) -> LedgerRow:
        """The crawl's own numbers."""
        kept = self._meta.get("ledger")
        return LedgerRow() if kept is None else msgspec.msgpack.decode(kept, type=LedgerRow)

    @property
    def commit_number(self) -> int:
        """The number of the last commit."""
        found = self._meta.get("commit")
        return 0 if found is None else msgspec.msgpack.decode(found, type=int)

    @property
    def result_count(self) -> int:
        """How many results there are."""
        return self._lasts["results"]

    def kept(self, key: str) -> bytes | None:
        """Return a value that was kept besides the rows."""
        return self._meta.get(f"kept:{key}")

    def mark(self, sink: str) -> Mark | None:
        """Return how far a sink is; None if it never wrote."""
        path = self._path.with_name(MARKS)
        if not path.exists():
            return None
        with self._mapped_errors(), closing(_opened(path)) as db:
            found = db.execute("SELECT mark FROM marks WHERE sink = ?", (sink,)).fetchone()
        return None if found is None else msgspec.msgpack.decode(found[0], type=Mark)

    def tasks(self) -> Iterator[tuple[int, bytes, TaskRow]]:
        """Yield each task: the number and the fingerprint under which it is stored, and its row."""
        with self._mapped_errors():
            leases = [lease_in(row) for (row,) in self._db.execute("SELECT row FROM leases")]
            leased = {ref: lease for lease in leases for ref in lease.refs}
            for number, ref, row in self._portions("tasks", "id, ref, row"):
                task = task_in(row)
                yield number, ref, under_lease(task, leased[ref]) if ref in leased else task

    def tasks_of(self, refs: Collection[bytes]) -> dict[bytes, TaskRow]:
        """Return the tasks with these fingerprints; one that is under a lease may be PENDING."""
        return {ref: task_in(row) for ref, row in self._found("ref, row", refs)}

    def name_of(self, number: int) -> str:
        """Return the URL of a task, or another name for a task without a row."""
        with self._mapped_errors():
            found = self._db.execute("SELECT row FROM tasks WHERE id = ?", (number,)).fetchone()
        return f"task {number}" if found is None else task_in(found[0]).url

    def story(self) -> Iterator[StoryLine]:
        """Yield the log of changes in order."""
        for block in self.blocks():
            yield from block.lines

    def blocks(self) -> Iterator[Block]:
        """Yield the log of changes by commits, in order."""
        with self._mapped_errors():
            for _, at, lines in self._portions("story", f"seq, {'at' if self._has_times else 'NULL'}, lines"):
                yield Block(at, decode_block(lines))

    def results(self) -> Iterator[tuple[int, Result]]:
        """Yield each result with the number of its task, in the order of commit."""
        with self._mapped_errors():
            for _, task, row in self._portions("results", "seq, task, row"):
                yield task, result_in(row)

    def links(self) -> Iterator[tuple[int, bytes]]:
        """Yield the links of each page that has some, packed, with the number of its task, in the order of commit."""
        with self._mapped_errors():
            for _, task, row in self._portions("links", "seq, task, row"):
                yield task, row

    def hosts(self) -> Iterator[HostRow]:
        """Yield each host, or unit of hosts."""
        with self._mapped_errors():
            for (row,) in self._db.execute("SELECT row FROM hosts ORDER BY key").fetchall():
                yield host_in(row)

    def leading_on(self) -> Iterator[LeadOnRow]:
        """Yield the tasks with links that wait to be admitted."""
        with self._mapped_errors():
            for (row,) in self._db.execute("SELECT row FROM leading_on").fetchall():
                yield leading_on_in(whole(self._db, row))

    def known(self, refs: Collection[bytes]) -> set[bytes]:
        """Return the fingerprints that are tasks of the crawl."""
        return {ref for (ref,) in self._found("ref", refs)}

    def seed_lines(self, numbers: Collection[int]) -> dict[int, SeedLineRow]:
        """Return the lines of seeds files with these numbers."""
        if not self._has_seed_lines:
            return {}
        found = self._found("key, row", numbers, "seed_lines", "key")
        with self._mapped_errors():
            return {number: seed_line_in(whole(self._db, row)) for number, row in found}

    def _found(
        self, columns: str, keys: Collection[Any], table: str = "tasks", key: str = "ref"
    ) -> Iterator[tuple[Any, ...]]:
        """Yield columns of the rows of a table with these keys: of tasks, with these fingerprints."""
        wanted = list(keys)
        with self._mapped_errors():
            for start in range(0, len(wanted), _IN):
                some = wanted[start : start + _IN]
                marks = ",".join("?" * len(some))
                yield from self._db.execute(f"SELECT {columns} FROM {table} WHERE {key} IN ({marks})", some).fetchall()

    def _last(self, table: str, column: str) -> int:
        (last,) = self._db.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()
        return int(last)

    def _portions(self, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
        """Yield rows of a table that is appended to, in order. The first column is that order."""
        column, last = _APPENDED[table], self._lasts[table]
        if not last:
            return
        query = f"SELECT {columns} FROM {table} WHERE {column} > ? AND {column} <= ? ORDER BY {column} LIMIT {_PORTION}"
        after = 0
        while rows := up_to(READ_BYTES, self._db, query, (after, last)):
            yield from rows
            after = rows[-1][0]

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise UsageError(f"{self._path} cannot be read: {error}; {_ADVICE}") from error


def _opened(path: Path) -> sqlite3.Connection:
    """Open a file for reading. Where nothing may be written, and nobody has it open, as one that does not change."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    log, shared = (path.with_name(f"{path.name}-{name}") for name in ("wal", "shm"))
    try:
        path.open("rb").close()
        is_at_rest = not shared.exists() and not (log.exists() and log.stat().st_size)
        if is_at_rest and not os.access(path.parent, os.W_OK):
            uri += "&immutable=1"
        return sqlite3.connect(uri, uri=True, isolation_level=None)
    except (OSError, sqlite3.OperationalError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path} cannot be read: {reason}; {_ADVICE}") from error


def open_reader(folder: Path) -> SqliteReader:
    """Open a snapshot of the store in a crawl's folder."""
    return SqliteReader(folder / FRONTIER)
