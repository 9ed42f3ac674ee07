"""What calls have brought since the last commit: it bounds what the next commit holds, and so how long others wait."""

from __future__ import annotations

from crawlfleet.coordinator.core.leads import Room
from crawlfleet.coordinator.core.policy import Tuning

# So much of reports is committed together: it bounds the transactions of stores.
REPORTED_PER_COMMIT = 6 * 1024 * 1024
# A worker that has exchanged is likely to do so again within this time, and should not wait long then.
BUSY_S = 0.5


class SinceCommit:
    """How much was reported, and how many more links have room."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._busy_until = 0.0
        self.committed()

    def committed(self) -> None:
        """Begin anew after a commit."""
        self._reported_bytes = 0
        self.room = Room(self._tuning)

    def note_exchange(self, size_bytes: int, now: float) -> None:
        """Note that a worker has exchanged a request of this size."""
        self._busy_until = now + BUSY_S
        self._reported_bytes += size_bytes

    @property
    def is_full(self) -> bool:
        """Whether no further call should wait for the same commit."""
        return self._reported_bytes >= REPORTED_PER_COMMIT

    def most_links(self, now: float) -> int:
        """Return how many links of earlier reports may be admitted as well."""
        return self._tuning.links_aside if now < self._busy_until else self._tuning.links_per_portion
