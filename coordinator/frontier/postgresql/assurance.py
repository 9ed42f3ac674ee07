"""How long the owner of a crawl is sure, without asking, that no other one has it.

Whoever waits for a crawl ends the session of its owner when the owner's heartbeat has stood still for some lease times,
by the clock of the database. So the owner is sure for a part of that time. It counts from before it sent the last
transaction that the database has acknowledged as its own, by a clock that runs on while the process is stopped or its
machine sleeps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

# `time.monotonic` stands still while the machine is suspended.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime_s() -> float:
    """Return the time since the machine was started, as far as its system counts that."""
    return time.clock_gettime(_CLOCK)


class Assurance:
    """What one owner knows; each acknowledgement is good for `lasts_s`. Any thread may call it."""

    def __init__(self, lasts_s: float, clock: Callable[[], float] = uptime_s) -> None:
        self._lasts_s = lasts_s
        self._ends_at = -math.inf
        #: Returns the time that `confirm` takes.
        self.clock = clock

    def confirm(self, sent_at: float) -> None:
        """Note that the database has acknowledged what was sent at this time, or later, as the owner's."""
        self._ends_at = max(self._ends_at, sent_at + self._lasts_s)

    def holds(self) -> bool:
        """Say whether no other owner can have the crawl yet."""
        return self.clock() < self._ends_at
