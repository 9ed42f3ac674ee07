"""Databases of durable stores for tests: one whose commits end when a test says so, and one that counts its calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.database import SqliteDatabase


def nobody() -> None:
    """Take note that a commit is over."""


class LateDatabase(SqliteDatabase):
    """A file whose commits end with `end`, `refuse` or `lose`.

    `is_seen`: what is read while a commit is under way has its changes already. `is_sure`: no other owner can have it.
    """

    def __init__(self, folder: Path, *, is_seen: bool = False) -> None:
        super().__init__(folder / FRONTIER)
        self.is_seen = is_seen
        self.is_late = self.is_sure = True
        self._batch: Batch | None = None
        self._ended: Callable[[], None] = nobody
        self._conclusion: Conclusion | None = None

    def is_surely_owned(self) -> bool:
        return self.is_sure

    def begin(self, batch: Batch, ended: Callable[[], None]) -> None:
        assert self._batch is None, "two commits are under way"
        self._batch, self._ended, self._conclusion = batch, ended, None
        if self.is_seen:
            super().begin(batch, nobody)
        if not self.is_late:
            self.end()

    def conclude(self) -> Conclusion | None:  # type: ignore[override]  # a commit of a file itself is never under way
        return self._conclusion

    def end(self) -> None:
        """Let the commit under way be done."""
        self._over(Conclusion.DONE, is_in=True)

    def refuse(self) -> None:
        """Let it find another owner."""
        self._over(Conclusion.FENCED, is_in=False)

    def lose(self, *, is_in: bool) -> None:
        """Let the connection be lost."""
        self._over(Conclusion.UNKNOWN, is_in=is_in)

    def _over(self, conclusion: Conclusion, *, is_in: bool) -> None:
        batch, self._batch = self._batch, None
        assert batch is not None
        assert is_in or not self.is_seen
        if is_in and not self.is_seen:
            super().begin(batch, nobody)
        self._conclusion = conclusion
        self._ended()


#: Calls that cost a round trip, were the database behind a network.
_TRIPS = ("rows", "tasks", "depths", "heads", "queues", "waiting", "walk", "begin", "kept", "keep")


class CountedDatabase(SqliteDatabase):
    """A file that counts in `calls` what it is asked, by name."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FRONTIER)
        self.calls: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        if name in _TRIPS:
            self.calls[name] += 1
        return super().__getattribute__(name)
