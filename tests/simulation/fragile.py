"""The real store, marks and files of a coordinator, that fail where a simulation wants them to."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import IO, Any

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.frontier.durable.database import Database
from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.port import Conclusion, Mark, Marks
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
    """The durable store over a database. `on_commit` is called after each commit."""

    def __init__(self, database: Database, fuse: Fuse, on_commit: Callable[[], None]) -> None:
        super().__init__(database)
        self._fuse = fuse
        self._on_commit = on_commit

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

    @property
    def is_clean(self) -> bool:
        """Whether all that was applied is committed."""
        return not (self._is_to_commit or self._is_under_way)


class FragileMarks:
    """The marks of sinks."""

    def __init__(self, marks: Marks, fuse: Fuse) -> None:
        self._marks = marks
        self._fuse = fuse

    def get(self, sink: str) -> Mark | None:
        """See the port."""
        return self._marks.get(sink)

    def set(self, sink: str, mark: Mark) -> None:
        """See the port."""
        self._fuse.passes(Fault.SINK_CRASH_BEFORE_MARK)
        self._marks.set(sink, mark)
        self._fuse.passes(Fault.SINK_CRASH_AFTER_MARK)

    def close(self) -> None:
        """See the port."""
        self._marks.close()


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
