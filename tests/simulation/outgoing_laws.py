"""What must hold of all that leaves a coordinator: what it depends on is durable, and known to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crawlfleet.coordinator.conduct.asks import Answered
from crawlfleet.coordinator.core.changes import Change, TaskMoved
from crawlfleet.coordinator.core.rows import FINAL


class OutgoingLaws:
    """The changes of all incarnations by number. `changes` is how many there were; so many of them are `durable`."""

    def __init__(self) -> None:
        self.changes = 0
        self.begin_epoch()

    @property
    def is_clean(self) -> bool:
        """Whether all changes are durable, and known to be."""
        return self.durable == self.changes

    def begin_epoch(self) -> None:
        """Note that an incarnation begins: what there is now is durable."""
        self.durable = self._logged = self.changes
        #: Whether another owner has the crawl, which this incarnation does not know yet.
        self.is_stale = False
        # After how many changes a page became final for the first time in this incarnation.
        self._ended_at: dict[str, int] = {}

    def applied(self, changes: Sequence[Change]) -> None:
        """Note changes that the store has taken."""
        self.changes += len(changes)
        for change in changes:
            if isinstance(change, TaskMoved) and change.task.state in FINAL and change.before not in FINAL:
                self._ended_at.setdefault(change.task.url, self.changes)

    def done(self, changes: int) -> None:
        """Note that a commit of so many changes is known to be durable."""
        self.durable += changes

    def check(self, saw: int) -> None:
        """Something leaves that depends on so many changes."""
        assert saw <= self.durable, f"an answer depends on {saw} changes, of which {self.durable} are durable"

    def check_asked(self, *, when_stale: bool) -> None:
        """An answer leaves; `when_stale`: another owner had the crawl already when it was asked for."""
        assert not when_stale, "an owner answers whose crawl another one has"

    def check_answers(self, answers: Iterable[Answered | None]) -> None:
        """Answers to asks leave; by then all that is durable is in the log."""
        assert self._logged == self.durable, "durable, but not logged"
        for answered in answers:
            if answered is not None:
                self.check(self._ended_at.get(answered.settled.url, 0))

    def log(self, changes: Sequence[Change]) -> None:
        """The log is told of changes."""
        self._logged += len(changes)
        self.check(self._logged)
