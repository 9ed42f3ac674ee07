"""How long a server is waited for that does not answer: without end, until somebody wants to end. It is said that
nothing comes, since a commit waits for a synchronous standby without end, too."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

#: Whoever ends waits so long for what is under way.
CLOSE_S = 10.0
#: It is said so often, at most, that an answer does not come.
SLOW_S = 10.0


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


def say_slow(place: object, waited_s: float) -> None:
    """Say that the database at a place has not answered for so long."""
    why = "it is slow, or waits for a synchronous standby; the crawl goes on when it does"
    structlog.get_logger().warning(f"{place} has acknowledged nothing for {waited_s:.0f} s: {why}")


@contextmanager
def said_if_slow(place: object) -> Iterator[None]:
    """Say it once if a block takes that long, in which this thread waits for the database."""
    late = threading.Timer(SLOW_S, say_slow, (place, SLOW_S))
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()
