"""Reading a crawl's durable store from outside, during the crawl too: one consistent snapshot, nothing is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from coordinator.core.rows import LedgerRow, Result, TaskRow
from coordinator.frontier.sqlite_store import EVENTS, FORMAT
from shared.errors import UsageError

_IN = 500

_task = msgspec.msgpack.Decoder(TaskRow).decode
_result = msgspec.msgpack.Decoder(Result).decode


class StoryLine(NamedTuple):
    """One line of the log of changes: which task, what happened (`accepted`: a report counted), under which lease it is
    now, and for `accepted` the fingerprints of the page's outlinks."""

    seq: int
    task: int
    event: str
    lease: int
    outlinks: tuple[bytes, ...]


class CrawlReader:
    """A snapshot of a store. Raises `UsageError` if there is none that can be read."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"{path.parent} holds no crawl that can be read: {path.name} is not there")
        self._path = path
        self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        with self._told():
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found != FORMAT:
                raise UsageError(f"{path} has format {found}, this version of crawlfleet reads format {FORMAT}")
            self._db.execute("BEGIN")
            self._meta: dict[str, bytes] = dict(self._db.execute("SELECT key, value FROM meta"))

    def close(self) -> None:
        """Let the snapshot go."""
        self._db.close()

    @property
    def job(self) -> dict[str, Any]:
        """The job that the crawl was run with last, as plain data."""
        job: dict[str, Any] = msgspec.json.decode(self._meta["kept:job"])
        return job

    @property
    def ledger(self) -> LedgerRow:
        """The crawl's own numbers."""
        kept = self._meta.get("ledger")
        return LedgerRow() if kept is None else msgspec.msgpack.decode(kept, type=LedgerRow)

    def tasks(self) -> Iterator[tuple[int, bytes, TaskRow]]:
        """Yield the number and the fingerprint that each task is stored under, and its row."""
        with self._told():
            for number, ref, row in self._db.execute("SELECT id, ref, row FROM tasks ORDER BY id"):
                yield number, ref, _task(row)

    def name_of(self, number: int) -> str:
        """Return the URL of a task, or what else it can be called by."""
        with self._told():
            found = self._db.execute("SELECT row FROM tasks WHERE id = ?", (number,)).fetchone()
        return f"task {number}" if found is None else _task(found[0]).url

    def story(self) -> Iterator[StoryLine]:
        """Yield the log of changes in order."""
        with self._told():
            for seq, task, event, lease, outlinks in self._db.execute("SELECT * FROM story ORDER BY seq"):
                yield StoryLine(seq, task, EVENTS[event], lease, _split(outlinks or b""))

    def results(self) -> Iterator[tuple[int, Result]]:
        """Yield the number of each result's task, and the result, in the order of their commit."""
        with self._told():
            for task, row in self._db.execute("SELECT task, row FROM results ORDER BY seq"):
                yield task, _result(row)

    def known(self, refs: Collection[bytes]) -> set[bytes]:
        """Return those fingerprints that are tasks of the crawl."""
        found: set[bytes] = set()
        wanted = list(refs)
        with self._told():
            for start in range(0, len(wanted), _IN):
                some = wanted[start : start + _IN]
                marks = ",".join("?" * len(some))
                found.update(ref for (ref,) in self._db.execute(f"SELECT ref FROM tasks WHERE ref IN ({marks})", some))
        return found

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{self._path} cannot be read: {error}") from error


def _split(outlinks: bytes) -> tuple[bytes, ...]:
    return tuple(outlinks[start : start + 16] for start in range(0, len(outlinks), 16))
