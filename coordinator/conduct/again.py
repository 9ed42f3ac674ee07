"""Known tasks that are judged again, in their order: after the rules have changed, or to be fetched once more.

There may be millions of them, so each step takes a portion, in one turn; other calls and commits come between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from crawlfleet.coordinator.conduct.turns import Turns
from crawlfleet.coordinator.core.rows import TaskRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.messages import Kind

PER_STEP = 1_000

# Judges some tasks in a turn.
Judge = Callable[[Turn, Sequence[TaskRow]], None]


class Again:
    """All tasks, or those with certain reasons, or of certain kinds. `seen` counts all that were looked at."""

    def __init__(
        self,
        store: Frontier,
        turns: Turns,
        judge: Judge,
        reasons: Collection[str] = (),
        kinds: Collection[Kind] = (),
    ) -> None:
        self.seen = 0
        self._store = store
        self._turns = turns
        self._judge = judge
        self._reasons = reasons
        self._kinds = kinds
        self._after = 0

    def step(self, now: float) -> bool:
        """Judge the next tasks; say whether there may be more."""
        rows = self._store.walk(self._after, PER_STEP)
        is_all = not (self._reasons or self._kinds)
        tasks = [row for row in rows if is_all or row.reason in self._reasons or row.kind in self._kinds]
        if tasks:
            self._turns.run(lambda turn: self._judge(turn, tasks), now)
        if rows:
            self._after = rows[-1].order
        self.seen += len(rows)
        return len(rows) == PER_STEP
