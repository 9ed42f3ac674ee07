"""One turn of deciding: read facts, let a rule decide, apply what it returns; again if the facts were out of date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.facts import Facts
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.frontier.port import Conflict, Store

TRIES = 100

T = TypeVar("T")
Journal = Callable[[Sequence[Change]], None]


class Turns:
    """What every turn needs: the store, the policy, and who is told of the changes."""

    def __init__(self, store: Store, policy: Policy, journal: Journal) -> None:
        self.store = store
        self.policy = policy
        self._journal = journal

    def run(self, decide: Callable[[Facts], T]) -> T:
        """Apply what `decide` takes into its facts, all or none, and tell the journal of these very changes.

        Raise `Conflict` if the store never takes them: then it is the rule that is wrong, not the facts.
        """
        for left in reversed(range(TRIES)):
            facts = Facts(self.store.ledger())
            decision = decide(facts)
            changes = facts.changes
            try:
                self.store.apply(changes)
            except Conflict:
                if not left:
                    raise
                continue
            self._journal(changes)
            return decision
        raise AssertionError("the last try returns or raises")
