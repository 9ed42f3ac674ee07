"""Notices when only origins are left whose robots.txt could not be had, and ends that wait: see `core.last_wait`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from crawlfleet.coordinator.conduct.turns import Turns
from crawlfleet.coordinator.core import last_wait
from crawlfleet.coordinator.core.awaited_rows import AwaitedRow
from crawlfleet.coordinator.core.rows import ALONE_QUEUE, TaskRow, TaskState
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.messages import Kind

LOOK_EVERY_S = 0.5
ORIGINS_PER_TURN = 500
QUEUES_AT_ONCE = 256
LOST_AT_ONCE = 64

_PLACES = tuple((kind, TaskState.LEASED) for kind in Kind if kind is not Kind.ROBOTS)

Decide = Callable[[Turn, Sequence[AwaitedRow]], None]


class LastWaits:
    """Watches a store for the time when nothing is left to do but to wait; `wait_s` is how long it lasts then."""

    def __init__(self, store: Frontier, turns: Turns, wait_s: float) -> None:
        self._store = store
        self._turns = turns
        self._wait_s = wait_s
        self._looks_at = 0.0

    def look(self, now: float, *, is_idle: bool) -> None:
        """Begin, end or call off the last wait. `is_idle`: there are workers, and no links or seeds to be admitted."""
        if now < self._looks_at:
            return
        self._looks_at = now + LOOK_EVERY_S
        until = self._store.ledger().robots_waits.last_until
        if not (is_idle and self._only_waits(now)):
            self.call_off(now)
        elif until is None:
            self._turns.run(partial(last_wait.set_end, until=now + self._wait_s), now)
            self._for_all(last_wait.look_earlier, now)
        elif now >= until:
            self._for_all(last_wait.end, now)

    def call_off(self, now: float) -> None:
        """End the last wait, if there is one: another run has left it, or there is something else to do."""
        if self._store.ledger().robots_waits.last_until is not None:
            self._turns.run(partial(last_wait.set_end, until=None), now)

    def _for_all(self, decide: Decide, now: float) -> None:
        awaited = tuple(self._store.resident(AwaitedRow))
        for first in range(0, len(awaited), ORIGINS_PER_TURN):
            self._turns.run(partial(_decide_on, awaited[first : first + ORIGINS_PER_TURN], decide), now)

    def _only_waits(self, now: float) -> bool:
        """Say whether every open task waits for a robots.txt that was looked for in vain, or requests one."""
        awaited, counts = self._store.resident(AwaitedRow), self._store.counts()
        looks = counts.get((Kind.ROBOTS, TaskState.PENDING), 0) + counts.get((Kind.ROBOTS, TaskState.LEASED), 0)
        if not looks or looks > len(awaited) or any(counts.get(place) for place in _PLACES):
            return False
        tasks = self._store.rows(TaskRow, [row.ref for row in awaited]).values()
        if sum(task.state in (TaskState.PENDING, TaskState.LEASED) for task in tasks) < looks:
            return False
        held, after = {row.origin for row in awaited}, ""
        while queues := self._store.queues(after, QUEUES_AT_ONCE):
            if any(queue not in held and not self._only_looks(queue, now) for queue in queues):
                return False
            after = queues[-1]
        return True

    def _only_looks(self, queue: str, now: float) -> bool:
        """Say whether a queue is a host's and holds no task that its session has lost: such a one waits for no time."""
        if "://" in queue or queue == ALONE_QUEUE:
            return False
        return all(task.kind is Kind.ROBOTS for task in self._store.ready({queue: LOST_AT_ONCE}, now)[queue].tasks)


def _decide_on(awaited: Sequence[AwaitedRow], decide: Decide, turn: Turn) -> None:
    decide(turn, awaited)
