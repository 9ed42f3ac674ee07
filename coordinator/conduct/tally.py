"""The crawl's numbers, as its store has them: the same over restarts, and the same for status and summary."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from crawlfleet.coordinator.core.rows import LedgerRow, TaskState
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.shared.messages import Outcome

_OUTCOMES = frozenset(outcome.value for outcome in Outcome)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many pages are in each state, and why."""

    verdicts: Mapping[tuple[TaskState, str], int]
    ledger: LedgerRow

    def pages(self, *states: TaskState) -> int:
        """Return how many pages are in one of these states (in any, if none is named)."""
        return sum(number for (state, _), number in self.verdicts.items() if not states or state in states)

    @property
    def redirected(self) -> int:
        """How many pages sent us elsewhere."""
        return self.verdicts.get((TaskState.DONE, Outcome.REDIRECTED.value), 0)

    @property
    def reasons(self) -> dict[str, int]:
        """How many pages failed, were dropped, or were fetched with a reservation, by reason."""
        reasons: dict[str, int] = {}
        for (state, reason), number in self.verdicts.items():
            if state in (TaskState.FAILED, TaskState.DROPPED) or (state is TaskState.DONE and reason not in _OUTCOMES):
                reasons[reason] = reasons.get(reason, 0) + number
        return reasons


def tally(store: Store) -> Tally:
    """Count what a store has now."""
    return Tally(verdicts=store.verdicts(), ledger=store.ledger())
