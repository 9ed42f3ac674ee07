"""When a worker gives memory that it has freed back to the system.

What pages leave free is kept for the next ones: ordinary pages share some megabytes. A large tree leaves hundreds, in
pieces between blocks that are still in use, so that the C library gives nothing back by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from crawlfleet.worker.process import memory

# How often a worker looks, and how often at most while what it holds is in use.
EVERY_S = 1.0
SELDOM_S = 16.0
# A page that has taken more CPU time may be building a large tree: what it frees would have to be given back again.
LARGE_S = 0.25
# To get back less than this means that the memory is in use.
LITTLE_BYTES = 8 * 1024 * 1024


class FreedMemory:
    """Looks now and then whether this process holds much more than at its beginning, and gives back what is free."""

    def __init__(
        self,
        resident: Callable[[], int] = memory.resident_bytes,
        give_back: Callable[[], object] = memory.give_back,
    ) -> None:
        """What the process holds now counts as its beginning."""
        self._resident = resident
        self._give_back = give_back
        self._most = resident() + memory.KEPT_BYTES
        self._pause_s = EVERY_S
        self._due_at = -math.inf

    def look(self, now: float, page_s: float) -> None:
        """Look if that is due; `page_s` is the CPU time that the page which is read now has taken, or 0."""
        if now < self._due_at or page_s > LARGE_S:
            return
        before = self._resident()
        is_in_use = before > self._most and self._is_in_use(before)
        self._pause_s = min(2 * self._pause_s, SELDOM_S) if is_in_use else EVERY_S
        self._due_at = now + self._pause_s

    def _is_in_use(self, before: int) -> bool:
        self._give_back()
        return before - self._resident() < LITTLE_BYTES
