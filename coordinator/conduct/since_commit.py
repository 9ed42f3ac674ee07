"""What calls have brought since the last commit began: it bounds what the next holds, and so how long others wait."""

from __future__ import annotations

from crawlfleet.coordinator.core.leads import Room
from crawlfleet.coordinator.core.policy import Tuning

# So much of reports, and of calls of objects, is committed together: it bounds the transactions of stores.
BYTES_PER_COMMIT = 6 * 1024 * 1024
# A worker that has exchanged is likely to do so again within this time, and should not wait long then.
BUSY_S = 0.5


class SinceCommit:
    """How much calls have brought, and how many more links have room."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._busy_until = 0.0
        self.begin()

    def begin(self) -> None:
        """Note that a commit begins: what comes from now on belongs to the next one."""
        self._size_bytes = 0
        self.room = Room(self._tuning)

    def note_exchange(self, size_bytes: int, now: float) -> None:
        """Note that a worker has exchanged a request of this size."""
        self._busy_until = now + BUSY_S
        self.note(size_bytes)

    def note(self, size_bytes: int) -> None:
        """Note that a call has brought so much."""
        self._size_bytes += size_bytes

    @property
    def is_full(self) -> bool:
        """Whether no further call should wait for the same commit."""
        return self._size_bytes >= BYTES_PER_COMMIT

    def most_links(self, now: float) -> int:
        """Return how many links of earlier reports may be admitted as well."""
        return self._tuning.links_aside if now < self._busy_until else self._tuning.links_per_portion
