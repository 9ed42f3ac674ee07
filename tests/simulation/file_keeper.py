"""A crawl in a file of the simulated machine: what the product does by default."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.frontier.crawl_clock import ClockReading
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.durable.database import Loaded
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.database import SqliteDatabase
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS
from crawlfleet.coordinator.frontier.sqlite.segments import Place, Segments
from tests.simulation.chronicle import Fault
from tests.simulation.fragile import Fuse, cut
from tests.simulation.keepers import Settings
from tests.unit.late_database import nobody


class FileKeeper:
    """The files of a crawl, in the folder of its coordinator: a crash goes on with a copy of them."""

    is_elsewhere = False

    def open(self, folder: Path, settings: Settings, clocks: Callable[[], ClockReading], fuse: Fuse) -> SimFile:
        """See the port."""
        return SimFile(folder / FRONTIER, settings, clocks, fuse)

    def log_bytes(self, folder: Path) -> int:
        """See the port."""
        try:
            return _log(folder).stat().st_size
        except FileNotFoundError:
            return 0

    def cut_log(self, folder: Path, size_bytes: int) -> None:
        """See the port."""
        cut(_log(folder), size_bytes)

    def forget_marks(self, folder: Path) -> None:
        """See the port."""
        for path in folder.glob(f"{MARKS}*"):
            path.unlink()

    def close(self) -> None:
        """See the port."""


class SimFile(SqliteDatabase):
    """The file of one incarnation."""

    def __init__(self, path: Path, settings: Settings, clocks: Callable[[], ClockReading], fuse: Fuse) -> None:
        super().__init__(path, power=settings.power, clocks=clocks)
        self._settings = settings
        self._fuse = fuse

    def load(self) -> Loaded:
        """Load it, and settle in: let little fit into caches, the log and, if that is set, into a transaction."""
        loaded = super().load()
        if self._settings.inline_bytes:
            self._segments = FragileSegments(self._db, self._fuse)
            self._segments.load()
            self.inline_bytes = self._settings.inline_bytes
        self._pragma(f"cache_size = {self._settings.cache_pages}")
        self._pragma(f"wal_autocheckpoint = {self._settings.autocheckpoint}")
        return loaded

    def write(self, batch: Batch, began: ClockReading) -> None:
        """See the port."""
        clocks, self._clocks = self._clocks, lambda: began
        try:
            super().begin(batch, nobody)
        finally:
            self._clocks = clocks

    def lose(self, batch: Batch, fault: Fault) -> None:
        """See the port. A file has one owner, and no connection: its owner is told so."""

    def fill_disk(self, spare_pages: int) -> None:
        """See the port."""
        (pages,) = self._pragma("page_count")
        self._pragma(f"max_page_count = {pages + spare_pages}")

    def make_room(self) -> None:
        """See the port."""
        self._pragma("max_page_count = 1000000")

    def checkpoint(self) -> None:
        """See the port."""
        self._pragma("wal_checkpoint(TRUNCATE)")

    def die(self) -> None:
        """See the port. The next incarnation has a copy of the file."""

    def _pragma(self, text: str) -> Any:
        return self._db.execute(f"PRAGMA {text}").fetchone()


class FragileSegments(Segments):
    """The segments of a file. After each that is committed ahead is a point to die."""

    def __init__(self, db: sqlite3.Connection, fuse: Fuse) -> None:
        super().__init__(db)
        self._fuse = fuse

    def write_ahead(self, places: Sequence[Place]) -> Iterator[int]:
        for size_bytes in super().write_ahead(places):
            self._fuse.passes(Fault.CRASH_AHEAD)
            yield size_bytes


def _log(folder: Path) -> Path:
    return folder / f"{FRONTIER}-wal"
