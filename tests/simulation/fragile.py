"""The real store, marks and files of a coordinator, that fail where a simulation wants them to."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import IO, Any

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.port import Conclusion, Mark
from crawlfleet.coordinator.frontier.sqlite.database import SqliteDatabase
from crawlfleet.coordinator.frontier.sqlite.marks import SqliteMarks
from crawlfleet.coordinator.frontier.sqlite.segments import Place, Segments
from tests.simulation.chronicle import Fault


class Crash(BaseException):  # it is no error: nothing may catch it
    """The process is dead from here on."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Fuse:
    """Says when to die: at the n-th time that one of the named points is passed."""

    def __init__(self) -> None:
        #: Whether what passes now does not count.
        self.is_paused = False
        self._left: dict[Fault, int] = {}

    def set(self, fault: Fault, passes: int) -> None:
        """Die at a point, when it is passed for the n-th time from now on."""
        self._left[fault] = passes

    def clear(self) -> None:
        """Do not die."""
        self._left.clear()

    def passes(self, fault: Fault) -> None:
        """Pass a point; raise `Crash` if this is the time."""
        left = self._left.get(fault)
        if left is not None and not self.is_paused:
            self._left[fault] = left - 1
            if left <= 1:
                self._left.clear()
                raise Crash(fault)


class FragileStore(DurableStore):
    """The durable store over a file. `on_commit` is called after each commit."""

    def __init__(self, file: SqliteDatabase, fuse: Fuse, on_commit: Callable[[], None]) -> None:
        self._file = file
        super().__init__(file)
        self._fuse = fuse
        self._on_commit = on_commit

    def commit_ahead(self, inline_bytes: int) -> None:
        """Let a transaction have so few bytes of rows; others are committed ahead, and after that is a point to die."""
        segments = FragileSegments(self._file._db, self._fuse)
        segments.load()
        self._file._segments, self._file.inline_bytes = segments, inline_bytes

    def apply(self, changes: Sequence[Change]) -> None:
        self._fuse.passes(Fault.CRASH_BEFORE_APPLY)
        super().apply(changes)
        self._fuse.passes(Fault.CRASH_AFTER_APPLY)

    def commit(self, now: float, ended: Callable[[], None]) -> None:
        self._fuse.passes(Fault.CRASH_BEFORE_COMMIT)
        super().commit(now, ended)

    def conclude(self) -> Conclusion | None:
        conclusion = super().conclude()
        if conclusion is Conclusion.DONE:
            self._on_commit()
            self._fuse.passes(Fault.CRASH_AFTER_COMMIT)
        return conclusion

    def pragma(self, text: str) -> Any:
        """Run a pragma on the store's own connection."""
        return self._file._db.execute(f"PRAGMA {text}").fetchone()

    @property
    def is_clean(self) -> bool:
        """Whether all that was applied is committed."""
        return not (self._is_to_commit or self._is_under_way)

    def fill_disk(self, spare_pages: int) -> None:
        """Let the file grow by so many pages, and no further."""
        (pages,) = self.pragma("page_count")
        self.pragma(f"max_page_count = {pages + spare_pages}")

    def make_room(self) -> None:
        """Let the file grow again."""
        self.pragma("max_page_count = 1000000")


class FragileSegments(Segments):
    """The segments of a store."""

    def __init__(self, db: sqlite3.Connection, fuse: Fuse) -> None:
        super().__init__(db)
        self._fuse = fuse

    def write_ahead(self, places: Sequence[Place]) -> Iterator[int]:
        for size_bytes in super().write_ahead(places):
            self._fuse.passes(Fault.CRASH_AHEAD)
            yield size_bytes


class FragileMarks(SqliteMarks):
    """The durable marks of sinks."""

    def __init__(self, path: Path, fuse: Fuse, *, power: bool) -> None:
        super().__init__(path, power=power)
        self._fuse = fuse

    def set(self, sink: str, mark: Mark) -> None:
        self._fuse.passes(Fault.SINK_CRASH_BEFORE_MARK)
        super().set(sink, mark)
        self._fuse.passes(Fault.SINK_CRASH_AFTER_MARK)


class FullFile:
    """A file on a full disk: half of what is written fits."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: memoryview) -> int:
        self._file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class SimLoop(Loop):
    """The real loop, turned by hand."""

    def __init__(self, service: Service, on_commit: Callable[[], None], clock: Callable[[], float]) -> None:
        super().__init__(service, on_commit)
        self._clock = clock

    def now(self) -> float:
        return self._clock()


def cut(path: Path, size: int) -> None:
    """Let a file lose what is beyond a size."""
    if path.exists() and path.stat().st_size > size:
        os.truncate(path, size)


def garbage(random: Random) -> bytes:
    """Return what a torn write may leave behind."""
    return random.choice([b'{"url":', b"\n", b"\x00" * 30, b'{"url":"http://a.test/p0","item":"page"}\n'])
