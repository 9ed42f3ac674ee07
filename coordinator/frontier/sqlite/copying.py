"""Copies of crawls from and to the SQLite file of a folder.

A draft is a folder of its own in the crawl's folder, until its files are renamed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.rows import HostRow, StoreRow, TaskRow
from crawlfleet.coordinator.folder_sync import sync_folder
from crawlfleet.coordinator.frontier.copying import MOVED, CopySource, Numbers, StoredBlock
from crawlfleet.coordinator.frontier.crawl_clock import ClockReading, elapsed_s, read_clocks
from crawlfleet.coordinator.frontier.durable.batch import Batch, NewRows, kept_key
from crawlfleet.coordinator.frontier.durable.database import LOWEST_RANK
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.database import SqliteDatabase, mapped_errors
from crawlfleet.coordinator.frontier.sqlite.file_format import refuse_other_format
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS, SqliteMarks
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.coordinator.frontier.sqlite.result_reader import READ_BYTES, up_to
from crawlfleet.shared.errors import CrawlFailed, UsageError

DRAFT = "frontier.draft"
#: The end of the names of files whose crawl has moved.
MOVED_END = ".moved"
_BESIDE = ("-wal", "-shm")
_PORTION = 500
# What this store alone has in `meta`.
_OWN = frozenset({"clock", "commit", "epoch", "segments"})

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.decode


class SqliteSource:
    """The crawl in a folder, read as a whole. The caller holds the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FRONTIER
        with mapped_errors(self._path):
            self.db = sqlite3.connect(self._path, isolation_level=None)
            try:
                (found,) = self.db.execute("PRAGMA user_version").fetchone()
                refuse_other_format(self._path, found)
                there = self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            except BaseException:
                self.db.close()
                raise
        self._tables = {name for (name,) in there}

    def rows(self) -> int:
        """See the port."""
        with mapped_errors(self._path):
            places = (("tasks", "id"), ("results", "seq"), ("story", "seq"), ("links", "seq"))
            found = [self.db.execute(f"SELECT max({place}) FROM {table}").fetchone() for table, place in places]
        return sum(number or 0 for (number,) in found)

    def batches(self) -> Iterator[Batch]:
        """See the port."""
        with mapped_errors(self._path):
            for tasks in self._log("tasks", "id", "id, ref, depth, row"):
                yield Batch(number=0, at=0.0, born=tasks)
            for kind, table in KINDS.items():
                if kind is not TaskRow and table in self._tables:
                    yield from self._kind(kind, table)
            for ready in self._queues("ready", "rank", LOWEST_RANK):
                yield Batch(number=0, at=0.0, ready=ready)
            for later in self._queues("later", "not_before", float("-inf")):
                yield Batch(number=0, at=0.0, later=later)
            for results in self._log("results", "seq", "seq, task, row"):
                yield Batch(number=0, at=0.0, results=results)
            for links in self._log("links", "seq", "seq, task, row"):
                yield Batch(number=0, at=0.0, links=[(task, row) for _, task, row in links])
            for key, value in self.db.execute("SELECT key, value FROM meta ORDER BY key"):
                if key not in _OWN:
                    yield Batch(number=0, at=0.0, meta=[(key, value)])

    def blocks(self) -> Iterator[list[StoredBlock]]:
        """See the port."""
        with mapped_errors(self._path):
            for some in self._log("story", "seq", "seq, at, lines"):
                yield [StoredBlock(*block) for block in some]

    def marks(self) -> list[tuple[str, bytes]]:
        """See the port."""
        path = self._folder / MARKS
        if not path.exists():
            return []
        with mapped_errors(path), closing(sqlite3.connect(path)) as db:
            return db.execute("SELECT sink, mark FROM marks ORDER BY sink").fetchall()

    def numbers(self) -> Numbers:
        """See the port."""
        with mapped_errors(self._path):
            own = dict(self.db.execute("SELECT key, value FROM meta WHERE key IN ('clock', 'commit', 'epoch')"))
            (last,) = self.db.execute("SELECT coalesce(max(seq), 0) FROM story").fetchone()
        kept_at, *before = _decode(own["clock"])
        commits = _decode(own["commit"]) if "commit" in own else 0
        # A file from before commits had numbers has more blocks than these say.
        crawl_s = kept_at + elapsed_s(ClockReading(*before), read_clocks())
        return Numbers(_decode(own["epoch"]), max(commits, last), crawl_s)

    def close(self) -> None:
        """See the port."""
        self.db.close()

    def _log(self, table: str, place: str, columns: str) -> Iterator[list[Any]]:
        """Yield rows of a table that is appended to."""
        query = f"SELECT {columns} FROM {table} WHERE {place} > ? ORDER BY {place} LIMIT {_PORTION}"
        after = 0
        while table in self._tables and (rows := up_to(READ_BYTES, self.db, query, (after,))):
            after = rows[-1][0]  # what is yielded may be changed
            yield rows

    def _kind(self, kind: type[StoreRow], table: str) -> Iterator[Batch]:
        names = "key, active, row" if kind is HostRow else "key, row"
        first = ""
        values: tuple[object, ...] = ()
        while rows := up_to(
            READ_BYTES, self.db, f"SELECT {names} FROM {table} {first} ORDER BY key LIMIT {_PORTION}", values
        ):
            first, values = "WHERE key > ?", (rows[-1][0],)
            if kind is HostRow:
                rows = [(key, bool(active), row) for key, active, row in rows]
            yield Batch(number=0, at=0.0, rows={kind: NewRows(rows, [])})

    def _queues(self, table: str, place: str, lowest: float) -> Iterator[list[Any]]:
        query = (
            f"SELECT queue, {place}, id FROM {table} WHERE (queue, {place}, id) > (?, ?, ?) "
            f"ORDER BY queue, {place}, id LIMIT {_PORTION}"
        )
        after: tuple[Any, ...] = ("", lowest, 0)
        while rows := self.db.execute(query, after).fetchall():
            after = rows[-1]
            yield rows


class SqliteTarget:
    """A draft in a folder."""

    def __init__(self, draft: Path) -> None:
        self._draft = draft
        self._path = draft / FRONTIER
        self._database = SqliteDatabase(self._path)
        self._database.load()
        # The story has places and times of its own, which no commit would give it.
        self._db = sqlite3.connect(self._path, isolation_level=None)

    def write(self, batch: Batch) -> None:
        """See the port."""
        self._database.begin(batch, lambda: None)
        self._database.conclude()

    def write_blocks(self, blocks: list[StoredBlock]) -> None:
        """See the port."""
        with mapped_errors(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO story (seq, at, lines) VALUES (?, ?, ?)", blocks)
            self._db.execute("COMMIT")

    def finish(self, numbers: Numbers, marks: list[tuple[str, bytes]]) -> None:
        """See the port."""
        self._database.close()
        with closing(SqliteMarks(self._draft / MARKS, power=False)) as kept:
            for sink, mark in marks:
                kept.set(sink, _decode(mark, type=Mark))
        own = {"epoch": numbers.epoch, "commit": numbers.commits, "clock": (numbers.crawl_s, *read_clocks())}
        with mapped_errors(self._path):
            values = [(key, _encode(value)) for key, value in own.items()]
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values)
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._db.close()
            for path in (self._path, self._draft / MARKS):
                _sync(path)
            sync_folder(self._draft)

    def close(self) -> None:
        """See the port."""
        self._db.close()
        self._database.close()


class SqliteCopying:
    """The port for a folder, which the caller holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._draft = folder / DRAFT

    def source(self) -> SqliteSource:
        """See the port."""
        return SqliteSource(self._folder)

    def target(self) -> SqliteTarget:
        """See the port."""
        try:
            if self._draft.exists():
                shutil.rmtree(self._draft)
            self._draft.mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(f"cannot write {self._draft}: {error.strerror}; make room, or free it") from error
        return SqliteTarget(self._draft)

    def drafted(self) -> SqliteSource:
        """See the port."""
        return SqliteSource(self._draft)

    def read_draft(self) -> SqliteReader:
        """See the port."""
        return SqliteReader(self._draft / FRONTIER)

    def publish(self) -> None:
        """See the port. The frontier comes last: by it the folder is known to hold a crawl."""
        try:
            for name in (MARKS, FRONTIER):
                for end in _BESIDE:
                    (self._folder / f"{name}{end}").unlink(missing_ok=True)
                (self._draft / name).rename(self._folder / name)
            sync_folder(self._folder)
            shutil.rmtree(self._draft)
        except OSError as error:
            raise CrawlFailed(f"cannot put {FRONTIER} into {self._folder}: {error.strerror}; run it again") from error

    def remove(self) -> None:
        """See the port. A file in a folder is never removed: it is the folder's crawl as soon as it is there."""
        raise UsageError(f"{self._folder} holds a crawl already: move its {FRONTIER} away first")

    def retire(self, source: CopySource, to: str) -> str:
        """See the port. The file gets another name: from then on the folder's kept address says where the crawl is."""
        assert isinstance(source, SqliteSource)
        moved = self._folder / f"{FRONTIER}{MOVED_END}"
        with mapped_errors(self._folder / FRONTIER):
            (is_busy, *_) = source.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        source.close()
        if is_busy:
            raise UsageError(f"{self._folder / FRONTIER} is being read: wait until that has ended, and run it again")
        try:
            (self._folder / FRONTIER).rename(moved)
            sync_folder(self._folder)
            with mapped_errors(moved), closing(sqlite3.connect(moved, isolation_level=None)) as db:
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (kept_key(MOVED), to.encode()))
            if (self._folder / MARKS).exists():
                (self._folder / MARKS).rename(self._folder / f"{MARKS}{MOVED_END}")
        except OSError as error:
            raise CrawlFailed(f"cannot rename {self._folder / FRONTIER}: {error.strerror}; run it again") from error
        return f"the file that it was in is {moved} now, and marked as moved"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
