"""The durable store in a crawl's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from crawlfleet.coordinator.frontier.crawl_clock import ClockReading, read_clocks
from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.database import SqliteDatabase


class SqliteStore(DurableStore):
    """The durable store over one SQLite file: see `SqliteDatabase`."""

    def __init__(self, path: Path, *, power: bool = False, clocks: Callable[[], ClockReading] = read_clocks) -> None:
        self._file = SqliteDatabase(path, power=power, clocks=clocks)
        super().__init__(self._file)


def open_store(folder: Path, *, power: bool) -> SqliteStore:
    """Open the store in a crawl's folder, or create it."""
    return SqliteStore(folder / FRONTIER, power=power)
