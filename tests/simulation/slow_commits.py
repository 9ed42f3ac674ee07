"""Commits that take time, and are lost: what becomes of each is drawn by a chance of its own.

A commit is written some time after it has begun, or never, and how it has ended is told some time after that. At any
moment in between the coordinator may be killed: so the next one finds it in, or not in. Databases do what they can to
be really lost.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from crawlfleet.coordinator.frontier.crawl_clock import ClockReading
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.durable.database import Database
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.shared.errors import CrawlFailed
from tests.simulation.chronicle import Fault
from tests.simulation.fragile import Crash, FragileStore, Fuse
from tests.simulation.timeline import Action, Timeline

if TYPE_CHECKING:
    from tests.simulation.keepers import SimDatabase

SLOW, SLOW_ELSEWHERE = 0.3, 0.8
PAUSES_S = (0.02, 0.1, 0.4, 2.0)
LOST = (0.02, 0.06, 0.15)
WORD_OF_FENCE_S = 0.4


class Fate(NamedTuple):
    """What becomes of a commit: what goes wrong, how long it takes to write it, and how long until it is told."""

    fault: Fault | None
    write_s: float
    word_s: float

    @property
    def is_written(self) -> bool:
        return self.fault in (None, Fault.COMMIT_UNKNOWN_IN, Fault.CRASH_UNDER_WAY_IN)

    @property
    def conclusion(self) -> Conclusion:
        return Conclusion.DONE if self.fault is None else LOSSES.get(self.fault, Conclusion.DONE)


LOSSES = {
    Fault.COMMIT_FENCED: Conclusion.FENCED,
    Fault.COMMIT_UNKNOWN_IN: Conclusion.UNKNOWN,
    Fault.COMMIT_UNKNOWN_OUT: Conclusion.UNKNOWN,
}
CRASHES = (Fault.CRASH_UNDER_WAY_IN, Fault.CRASH_UNDER_WAY_OUT)


class Fates:
    """Draws the fates of the commits of a seed: those of most seeds end where they begin, unless it is elsewhere."""

    def __init__(self, seed: int, *, is_elsewhere: bool) -> None:
        self._random = Random(f"commits of seed {seed}")
        self.is_slow = self._random.random() < (SLOW_ELSEWHERE if is_elsewhere else SLOW)
        self._pause_s = self._random.choice(PAUSES_S)
        self._lost = self._random.choice(LOST)

    def calm(self) -> None:
        """Let no commit be lost any more."""
        self._lost = 0.0

    def draw(self) -> Fate | None:
        """Return the fate of a commit; None if it ends where it begins."""
        if not self.is_slow or self._random.random() < 0.1:
            return None
        pauses = self._random.uniform(0.0, self._pause_s), self._random.uniform(0.0, self._pause_s)
        is_lost = self._random.random() < self._lost
        return Fate(self._random.choice([*LOSSES, *CRASHES]) if is_lost else None, *pauses)


class Listener(Protocol):
    """Hears of commits: when one begins, when it is in, when its owner knows that, and when it is over."""

    def commit_begun(self, now: float) -> None: ...
    def commit_written(self) -> None: ...
    def commit_done(self) -> None: ...
    def commit_over(self) -> None: ...
    def run(self, action: Action) -> None: ...


class SlowDatabase:
    """A database whose commits have `fates`. They end where they begin until there are some."""

    def __init__(
        self, database: SimDatabase, listener: Listener, timeline: Timeline, clocks: Callable[[], ClockReading]
    ) -> None:
        self.fates: Fates | None = None
        #: The fate of the commit under way.
        self.under_way: Fate | None = None
        self._database = database
        self._clocks = clocks
        self._listener = listener
        self._timeline = timeline
        self._error: CrawlFailed | None = None
        self._is_told = True
        self._is_closed = self._is_taken = False

    def take(self) -> None:
        """Let another owner have the crawl. This one is not sure of it any more, and its commits are fenced."""
        self._is_taken = True

    def is_surely_owned(self) -> bool:
        return not self._is_taken

    def __getattr__(self, name: str) -> Any:
        """Return what else the database has."""
        return getattr(self._database, name)

    def begin(self, batch: Batch, ended: Callable[[], None]) -> None:
        """See the port."""
        assert self.under_way is None, "a second commit is under way"
        fate = self.fates.draw() if self.fates is not None else None
        if self._is_taken:
            fate = Fate(Fault.COMMIT_FENCED, WORD_OF_FENCE_S, 0.0)
        reading = self._clocks()
        if fate is None:
            self._write(batch, reading)
            ended()
            return
        self.under_way, self._is_told = fate, False
        self._later(fate.write_s, lambda: self._write_late(batch, reading, fate, ended))

    def conclude(self) -> Conclusion | None:
        """See the port."""
        if not self._is_told:
            return None
        fate, self.under_way = self.under_way, None
        if self._error is not None:
            raise self._error
        return Conclusion.DONE if fate is None else fate.conclusion

    def close(self) -> None:
        """See the port."""
        self._is_closed = True
        self._database.close()

    def _write(self, batch: Batch, reading: ClockReading) -> None:
        """Write a commit that began when the clocks had this reading."""
        self._database.write(batch, reading)
        self._listener.commit_written()

    def _write_late(self, batch: Batch, reading: ClockReading, fate: Fate, ended: Callable[[], None]) -> None:
        """Write a commit that began when the clocks had this reading, unless another owner has the crawl by now."""
        if self._is_taken and fate.fault not in CRASHES:
            self.under_way = fate = fate._replace(fault=Fault.COMMIT_FENCED)
        if fate.is_written:
            try:
                self._write(batch, reading)
            except CrawlFailed as error:
                self._error = error
        if fate.fault in LOSSES:
            self._database.lose(batch, fate.fault)
        self._later(fate.word_s, lambda: self._tell(fate, ended))

    def _tell(self, fate: Fate, ended: Callable[[], None]) -> None:
        if fate.fault in CRASHES:
            raise Crash(fate.fault)
        self._is_told = True
        ended()
        self._listener.commit_over()

    def _later(self, seconds: float, action: Action) -> None:
        """Plan what happens unless the coordinator is dead by then."""
        self._timeline.after(seconds, lambda: None if self._is_closed else self._listener.run(action))


class SlowStore(FragileStore):
    """The durable store over such a database."""

    def __init__(self, database: SlowDatabase, fuse: Fuse, listener: Listener) -> None:
        super().__init__(cast(Database, database), fuse, listener.commit_done)
        self.database = database
        self._listener = listener

    def commit(self, now: float, ended: Callable[[], None]) -> None:
        self._listener.commit_begun(now)
        super().commit(now, ended)
