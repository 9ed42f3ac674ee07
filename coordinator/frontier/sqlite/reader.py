"""Reads a crawl's durable store from outside, also while the crawl runs.

It reads in portions, each in a transaction of its own: whoever reads for long in one would keep the write-ahead log
from starting over. Tasks, story and results are read as far as there were any when the reader was opened; tasks and
hosts may have changed since, if the crawl runs.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.core.later_rows import LeadOnRow
from crawlfleet.coordinator.core.leases import under_lease
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, LedgerRow, Result, TaskRow
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.file_format import READABLE, TIMES_SINCE, refuse_other_format
from crawlfleet.coordinator.frontier.sqlite.result_reader import READ_BYTES, up_to
from crawlfleet.coordinator.frontier.story import Block, StoryLine, decode_block
from crawlfleet.shared.errors import UsageError

_ADVICE = "read it as its owner, or copy the crawl's folder to where you may write, and read the copy"
_IN = 500
_PORTION = 200
# Tables that are appended to, each with the column by which it grows.
_APPENDED = {"tasks": "id", "story": "seq", "results": "seq", "links": "seq"}

_lease = msgspec.msgpack.Decoder(LeaseRow).decode
_task = msgspec.msgpack.Decoder(TaskRow).decode
_host = msgspec.msgpack.Decoder(HostRow).decode
_leading_on = msgspec.msgpack.Decoder(LeadOnRow).decode
_result = msgspec.msgpack.Decoder(Result).decode


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

    def kept(self, key: str) -> bytes | None:
        """Return a value that was kept besides the rows."""
        return self._meta.get(f"kept:{key}")

    def tasks(self) -> Iterator[tuple[int, bytes, TaskRow]]:
        """Yield each task: the number and the fingerprint under which it is stored, and its row."""
        with self._mapped_errors():
            leases = [_lease(row) for (row,) in self._db.execute("SELECT row FROM leases")]
            leased = {ref: lease for lease in leases for ref in lease.refs}
            for number, ref, row in self._portions("tasks", "id, ref, row"):
                task = _task(row)
                yield number, ref, under_lease(task, leased[ref]) if ref in leased else task

    def tasks_of(self, refs: Collection[bytes]) -> dict[bytes, TaskRow]:
        """Return the tasks with these fingerprints; one that is under a lease may be PENDING."""
        return {ref: _task(row) for ref, row in self._found("ref, row", refs)}

    def name_of(self, number: int) -> str:
        """Return the URL of a task, or another name for a task without a row."""
        with self._mapped_errors():
            found = self._db.execute("SELECT row FROM tasks WHERE id = ?", (number,)).fetchone()
        return f"task {number}" if found is None else _task(found[0]).url

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
                yield task, _result(row)

    def links(self) -> Iterator[tuple[int, bytes]]:
        """Yield the links of each page that has some, packed, with the number of its task, in the order of commit."""
        with self._mapped_errors():
            for _, task, row in self._portions("links", "seq, task, row"):
                yield task, row

    def hosts(self) -> Iterator[HostRow]:
        """Yield each host, or unit of hosts."""
        with self._mapped_errors():
            for (row,) in self._db.execute("SELECT row FROM hosts ORDER BY key").fetchall():
                yield _host(row)

    def leading_on(self) -> Iterator[LeadOnRow]:
        """Yield the tasks with links that wait to be admitted."""
        with self._mapped_errors():
            for (row,) in self._db.execute("SELECT row FROM leading_on").fetchall():
                yield _leading_on(row)

    def known(self, refs: Collection[bytes]) -> set[bytes]:
        """Return the fingerprints that are tasks of the crawl."""
        return {ref for (ref,) in self._found("ref", refs)}

    def _found(self, columns: str, refs: Collection[bytes]) -> Iterator[tuple[Any, ...]]:
        """Yield columns of the tasks with these fingerprints."""
        wanted = list(refs)
        with self._mapped_errors():
            for start in range(0, len(wanted), _IN):
                some = wanted[start : start + _IN]
                marks = ",".join("?" * len(some))
                yield from self._db.execute(f"SELECT {columns} FROM tasks WHERE ref IN ({marks})", some).fetchall()

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
        while rows := up_to(READ_BYTES, self._db.execute(query, (after, last))):
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
