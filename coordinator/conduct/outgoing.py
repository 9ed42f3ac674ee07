"""What leaves the coordinator only after its commit: answers to calls and asks that waited, and lines of the log."""

from __future__ import annotations

from collections.abc import Sequence

from crawlfleet.coordinator.conduct.asks import Answered
from crawlfleet.coordinator.conduct.pools import Pools
from crawlfleet.coordinator.conduct.turns import OnChanges
from crawlfleet.coordinator.conduct.waits import Waits
from crawlfleet.coordinator.core.changes import Change
from crawlfleet.shared.objects import Woken

WokenList = list[tuple[str, Woken | None]]
AnswerList = list[tuple[str, int, Answered | None]]


class Outgoing:
    """What the commit under way makes durable, and what is durable and was not taken yet.

    `log` is told of the changes of each commit.
    """

    def __init__(self, waits: Waits, pools: Pools) -> None:
        self.log: OnChanges = _tell_nobody
        self._waits = waits
        self._pools = pools
        self._applied: list[Sequence[Change]] = []
        self._under_way: tuple[WokenList, AnswerList, list[Sequence[Change]]] = ([], [], [])
        self._woken: WokenList = []
        self._answers: AnswerList = []

    def note(self, changes: Sequence[Change]) -> None:
        """Note changes that the store has taken."""
        self._applied.append(changes)

    def begin(self) -> None:
        """Note that a commit begins, of all that there is so far."""
        self._under_way = self._waits.take_woken(), self._pools.take_answers(), self._applied
        self._applied = []

    def done(self) -> None:
        """Note that it is done."""
        (woken, answers, applied), self._under_way = self._under_way, ([], [], [])
        self._woken += woken
        self._answers += answers
        for changes in applied:
            self.log(changes)

    def take_woken(self) -> WokenList:
        """Return the committed answers since the last time to calls that had waited, for `Post.deliver`."""
        woken, self._woken = self._woken, []
        return woken

    def take_answers(self) -> AnswerList:
        """Return the committed answers since the last time to asks, for `PoolPost.deliver`."""
        answers, self._answers = self._answers, []
        return answers


def _tell_nobody(_changes: Sequence[Change]) -> None:
    pass
