"""How long a server is waited for that does not answer: without end, until somebody wants to end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: Whoever ends waits so long for what is under way.
CLOSE_S = 10.0


class Patience:
    """That of all connections of one owner. Any thread, and a signal handler, may call it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._ends_at = math.inf
        self._is_lost = False
        #: Returns the time that `is_over` takes.
        self.clock = clock

    def hurry(self) -> None:
        """Wait for answers for some seconds only from now on."""
        self._ends_at = min(self._ends_at, self.clock() + CLOSE_S)

    def is_over(self, asked_at: float) -> bool:
        """Say whether the answer is waited for no more to what was asked at this time, or to anything before."""
        self._is_lost = self._is_lost or self.clock() > max(self._ends_at, asked_at + CLOSE_S)
        return self._is_lost
