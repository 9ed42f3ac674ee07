"""Two kinds of sinks that only tests have: a file with a head, and a table that takes results by transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.results.rows import flat_rows
from crawlfleet.coordinator.sinks.line_sink import Lines
from crawlfleet.coordinator.sinks.port import Rejected, RowRejected, Shape
from crawlfleet.coordinator.sinks.registry import SinkEntry
from crawlfleet.coordinator.sinks.rejected_sink import RejectedRows
from crawlfleet.shared.errors import CrawlFailed, UsageError

NONE = SinkEntry(name=".none", place="tests.toys.sinks:NoPages")
REJECTED_LINES = SinkEntry(name=".rejected", place="tests.toys.sinks:rejected_lines")
LINES = SinkEntry(name=".tabs", place="tests.toys.sinks:TabLines")
TABLE = SinkEntry(name=".table", place="tests.toys.sinks:TableKind", transactional=True)

_encode = msgspec.json.encode


class TabLines(Lines):
    """A line with the columns, then a line for each row: its values in JSON, with tabs between them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.columns = ("url", "item", *(column.name for table in shape.layout for column in table.columns[1:]))
        self.head = "\t".join(self.columns).encode() + b"\n"

    def line_of(self, row: dict[str, Any]) -> bytes:
        return b"\t".join(_encode(row.get(column)) for column in self.columns) + b"\n"


class PickyLines(Lines):
    """JSON lines that take no row whose `n` is even (0: by a bug)."""

    def line_of(self, row: dict[str, Any]) -> bytes:
        if row["n"] and row["n"] % 2 == 0:
            raise RowRejected(f"{row['n']} is even")
        return b"%d\n" % (1 // row["n"])


class NoLines(Lines):
    """A kind that takes no row."""

    def line_of(self, row: dict[str, Any]) -> bytes:
        raise RowRejected(f"row {row['n']} is no good")


class NoPages(Lines):
    """A kind that takes no row either."""

    def line_of(self, row: dict[str, Any]) -> bytes:
        raise RowRejected(f"{row['url']} is no good")


def rejected_lines(shape: Shape) -> RejectedRows:
    """Return the kind of file that has every row, because no sink takes any."""
    return RejectedRows({"none.txt": NoLines(shape)})


class TableKind:
    """A table with a row for each row, and one with the digest of each result."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> TableSink:
        return TableSink(path, mark, power)

    def rows_of(self, result: Result) -> list[bytes]:
        return _rows(result)

    def rejects_of(self, result: Result) -> list[Rejected]:  # noqa: ARG002  it takes every row
        return []

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def read(self, path: Path, *, whole: bool) -> Iterator[bytes]:  # noqa: ARG002  a transaction tears nothing
        if path.exists():
            with closing(sqlite3.connect(path)) as db:
                yield from (row for (row,) in db.execute("SELECT row FROM rows ORDER BY rowid"))


class TableSink:
    """Knows by itself how far it is; the mark's hash tells whose it is."""

    def __init__(self, path: Path, mark: Mark | None, power: bool) -> None:
        self._path = path
        with self._mapped_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._db.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
                self._db.execute("CREATE TABLE IF NOT EXISTS results (digest BLOB)")
                self._db.execute("CREATE TABLE IF NOT EXISTS rows (result INTEGER, row BLOB)")
                self.mark = self._found()
                self._is_unclaimed = mark is None and self.mark.results > 0
                if mark is not None and self._digest(mark.results) not in (mark.block_hash, None):
                    raise UsageError(f"{path} was changed by somebody else: move it away")
            except BaseException:
                self._db.close()
                raise

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        if self._is_unclaimed or self.mark.results > length:
            self._cut_back(log, length)
        self._is_unclaimed = False
        return self.mark

    def write(self, results: Sequence[Result]) -> Mark:
        with self._mapped_errors(), self._transaction():
            for number, result in enumerate(results, self.mark.results + 1):
                rows = _rows(result)
                self._db.execute("INSERT INTO results (rowid, digest) VALUES (?, ?)", (number, _digest(rows)))
                self._db.executemany("INSERT INTO rows VALUES (?, ?)", [(number, row) for row in rows])
        self.mark = self._found()
        return self.mark

    def finish(self) -> None:
        """Do nothing: each transaction is whole."""

    def close(self) -> None:
        self._db.close()

    def _cut_back(self, log: Iterator[Result], length: int) -> None:
        digests = [digest for (digest,) in self._db.execute("SELECT digest FROM results ORDER BY rowid")]
        for found, result in zip_longest(digests, log):
            if found is not None and result is not None and found != _digest(_rows(result)):
                raise UsageError(f"{self._path} was changed by somebody else: move it away")
        if self._is_unclaimed and len(digests) > length:
            raise UsageError(f"{self._path} exists already and is not this crawl's: move it away")
        with self._mapped_errors(), self._transaction():
            self._db.execute("DELETE FROM results WHERE rowid > ?", (length,))
            self._db.execute("DELETE FROM rows WHERE result > ?", (length,))
        self.mark = self._found()

    def _found(self) -> Mark:
        (results,) = self._db.execute("SELECT count(*) FROM results").fetchone()
        return Mark(results=results, block_hash=self._digest(results) or b"")

    def _digest(self, result: int) -> bytes | None:
        found: Any = self._db.execute("SELECT digest FROM results WHERE rowid = ?", (result,)).fetchone()
        return None if found is None else found[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise CrawlFailed(f"cannot write {self._path}: {error}") from error
        except OSError as error:
            raise CrawlFailed(f"cannot write {self._path}: {error.strerror}") from error
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{self._path} exists already and is not this crawl's: move it away") from error


def _rows(result: Result) -> list[bytes]:
    return [_encode(row) for row in flat_rows(result)]


def _digest(rows: list[bytes]) -> bytes:
    return blake2b(_encode(rows), digest_size=16).digest()
