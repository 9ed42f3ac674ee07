"""How long a worker without reports may wait until it looks in again."""

from __future__ import annotations

from crawlfleet.coordinator.conduct.pools import Pools
from crawlfleet.coordinator.conduct.programs import Programs
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.frontier.port import Frontier

BUSY_IDLE_S = 0.05
LONGEST_IDLE_S = 1.0
# While programs ask, workers without work look in so often: so many times a second together, and no more than 100 times
# each.
LOOKS_PER_S = 200
HURRIED_IDLE_S = 0.01


def idle_s(store: Frontier, fetching: int, programs: Programs, pools: Pools, now: float) -> float:
    """Return how long one of so many `fetching` sessions may wait until something may be due."""
    shortest_s, longest_s = BUSY_IDLE_S, LONGEST_IDLE_S
    if programs.hold_pools:
        longest_s = min(LONGEST_IDLE_S, max(BUSY_IDLE_S, fetching / LOOKS_PER_S))
    if pools.were_asked(now):
        shortest_s = longest_s = max(HURRIED_IDLE_S, fetching / LOOKS_PER_S)
    if any(count for (_, state), count in store.counts().items() if state is TaskState.LEASED):
        return min(shortest_s, BUSY_IDLE_S)
    due_at = store.next_due_at()
    return longest_s if due_at is None else min(longest_s, max(shortest_s, due_at - now))
