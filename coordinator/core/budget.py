"""The page budget: `pages` counts FETCHED exactly.

A place is reserved when a page is granted, stays reserved over a lost lease, and is given back on any outcome but
FETCHED.
"""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.core.changes import Change, LedgerSet
from coordinator.core.policy import Policy
from coordinator.core.rows import LedgerRow, TaskRow, succeed
from coordinator.core.transitions import TaskEvent, move
from shared.messages import Kind

BUDGET_RULE = "budget"


def affordable(tasks: Sequence[TaskRow], ledger: LedgerRow, policy: Policy) -> list[TaskRow]:
    """Return the tasks that the budget still has room for, in order."""
    if policy.pages is None:
        return list(tasks)
    room = policy.pages - ledger.pages_fetched - ledger.pages_reserved
    chosen = []
    for task in tasks:
        needs = task.kind is Kind.PAGE and not task.reserved
        if needs and room < 1:
            continue
        room -= needs
        chosen.append(task)
    return chosen


def places(tasks: Sequence[TaskRow]) -> int:
    """Return how many places of the budget these tasks still need."""
    return sum(task.kind is Kind.PAGE and not task.reserved for task in tasks)


def give_back(task: TaskRow, ledger: LedgerRow) -> list[Change]:
    """Free the place of a page that was not fetched."""
    if not task.reserved:
        return []
    return [LedgerSet(ledger=succeed(ledger, pages_reserved=ledger.pages_reserved - 1))]


def spend(task: TaskRow, rows: int, ledger: LedgerRow) -> list[Change]:
    """Turn a reserved place into a fetched page with so many rows."""
    after = succeed(
        ledger,
        pages_reserved=ledger.pages_reserved - 1,
        pages_fetched=ledger.pages_fetched + 1,
        rows=ledger.rows + rows,
        seeds_fetched=ledger.seeds_fetched + (task.depth == 0),
    )
    return [LedgerSet(ledger=after)]


def is_spent(ledger: LedgerRow, policy: Policy) -> bool:
    """Say whether no further page can ever be granted."""
    return policy.pages is not None and ledger.pages_fetched >= policy.pages


def drop(tasks: Sequence[TaskRow]) -> list[Change]:
    """Drop what is left when the budget is spent."""
    return [move(task, TaskEvent.REFUSED, reason=BUDGET_RULE, lease=0) for task in tasks]
