"""Running turns: a rule decides over the rows of the store, the store applies its changes, the journal logs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.frontier.port import Conflict, Frontier

TRIES = 100

T = TypeVar("T")
OnChanges = Callable[[Sequence[Change]], None]


def told_to(*listeners: OnChanges) -> OnChanges:
    """Return what tells changes to several listeners, in order."""

    def tell(changes: Sequence[Change]) -> None:
        for listener in listeners:
            listener(changes)

    return tell


class Turns:
    """Runs rules over a store under a policy. `journal` is called with the changes that the store has taken."""

    def __init__(self, store: Frontier, policy: Policy, journal: OnChanges) -> None:
        self._store = store
        self._policy = policy
        self._journal = journal

    def run(self, decide: Callable[[Turn], T], now: float) -> T:
        """Apply the changes that a rule decides, all or none, and journal them; return the rule's answer.

        If the rows that it saw have changed in the meantime, the rule decides again. Raises `Conflict` if the store
        refuses `TRIES` times: then the rule is wrong, not the rows.
        """
        for left in reversed(range(TRIES)):
            turn = Turn(self._store, self._policy, now)
            answer = decide(turn)
            changes = turn.batch()
            try:
                self._store.apply(changes)
            except Conflict:
                if not left:
                    raise
                continue
            self._journal(changes)
            return answer
        raise AssertionError("the last try returns or raises")
