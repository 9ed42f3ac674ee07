"""Running turns: a rule decides over what the store has, the store takes what it decided, the journal logs it."""

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


class Turns:
    """What every turn needs: the store, the policy, and who is told of the changes."""

    def __init__(self, store: Frontier, policy: Policy, journal: OnChanges) -> None:
        self._store = store
        self._policy = policy
        self._journal = journal

    def run(self, decide: Callable[[Turn], T], now: float) -> T:
        """Apply what a rule decides, all or none, and tell the journal of these very changes; return its answer.

        If the rows that it saw have changed since, it decides anew. Raise `Conflict` if the store never takes what it
        decides: then it is the rule that is wrong, not the rows.
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
