"""Virtual time: what is to happen, in order. Whatever waits in a real crawl is an entry here."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

Action = Callable[[], None]


class Timeline:
    """A heap of actions by time; of two at the same time, the one that was planned first."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Action]] = []
        self._numbers = count()

    def after(self, seconds: float, action: Action) -> None:
        """Plan an action."""
        heappush(self._heap, (self.now + seconds, next(self._numbers), action))

    def run_for(self, seconds: float) -> None:
        """Let all happen that is to happen within a time."""
        until = self.now + seconds
        while self._heap and self._heap[0][0] <= until:
            self.step()
        self.now = until

    def step(self) -> None:
        """Let the next action happen."""
        at, _, action = heappop(self._heap)
        self.now = max(self.now, at)
        action()
