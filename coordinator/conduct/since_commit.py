"""What calls have brought since the last commit: it bounds what the next commit holds, and so how long others wait."""

from __future__ import annotations

from crawlfleet.coordinator.core.leads import Room
from crawlfleet.coordinator.core.policy import Tuning

# So much of reports is committed together: it bounds the transactions of stores.
REPORTED_PER_COMMIT = 6 * 1024 * 1024


class SinceCommit:
    """How much was reported, and how many more links have room."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._reported_bytes = 0
        self._is_busy = False
        self.room = Room(tuning)

    def note_exchange(self, size_bytes: int) -> None:
        """Note that a worker has exchanged a request of this size: it is likely to do so again."""
        self._is_busy = True
        self._reported_bytes += size_bytes

    @property
    def is_full(self) -> bool:
        """Whether no further call should wait for the same commit."""
        return self._reported_bytes >= REPORTED_PER_COMMIT

    @property
    def most_links(self) -> int:
        """How many links of earlier reports may be admitted as well."""
        return self._tuning.links_aside if self._is_busy else self._tuning.links_per_portion
