"""The rows of robots.txt files that are awaited: see `gates` and `last_wait`."""

from __future__ import annotations

from crawlfleet.coordinator.core.rows import ResidentRow


class AwaitedRow(ResidentRow, frozen=True, kw_only=True):
    """An origin that was looked at in vain, retries and all, and whose gate is still WAITING."""

    origin: str
    #: The task that requests its robots.txt.
    ref: bytes

    @property
    def key(self) -> str:
        return self.origin
