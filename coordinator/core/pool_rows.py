"""The rows of pools: who keeps the crawl open."""

from __future__ import annotations

from crawlfleet.coordinator.core.rows import ResidentRow


class PoolRow(ResidentRow, frozen=True, kw_only=True):
    """A session whose program holds pools open: it keeps the crawl open, also over a restart."""

    session: str

    @property
    def key(self) -> str:
        return self.session
