"""The table of stores. A store is loaded only when a crawl asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.registry import Entry, table

if TYPE_CHECKING:
    from crawlfleet.coordinator.frontier.port import Store, StoreReader


class StoreEntry(Entry, frozen=True, kw_only=True):
    """A store. Its place is a function of a crawl's folder, and of whether commits must survive a power cut.

    `durabilities` are the durabilities of jobs that it serves. `file` is the file by which a folder is known to hold a
    crawl of this store; empty if its crawls do not outlast the process. `snapshot` is the place of its `StoreReader`.
    """

    kind = "store"

    durabilities: tuple[str, ...]
    file: str = ""
    snapshot: str = ""

    def open(self, folder: Path, *, power: bool) -> Store:
        """Open the store of a crawl. Raises `UsageError` if it is damaged, `CrawlFailed` if it cannot be written."""
        store: Store = self.load()(folder, power=power)
        return store

    def read(self, folder: Path) -> StoreReader:
        """Open a snapshot of the store of a crawl. Raises `UsageError` if it cannot be read."""
        reader: StoreReader = Entry(name=self.name, place=self.snapshot, extra=self.extra).load()(folder)
        return reader


FRONTIER = "frontier.db"

_ROOM = "crawlfleet.coordinator.frontier"
STORES = table(
    StoreEntry(name="memory", place=f"{_ROOM}.memory.store:open_store", durabilities=("none",)),
    StoreEntry(
        name="sqlite",
        place=f"{_ROOM}.sqlite.store:open_store",
        durabilities=("process", "power"),
        file=FRONTIER,
        snapshot=f"{_ROOM}.sqlite.reader:open_reader",
    ),
)


def store_for(durability: str) -> StoreEntry:
    """Return the first store that serves a durability."""
    return next(entry for entry in STORES.values() if durability in entry.durabilities)


def stored_in(folder: Path) -> StoreEntry | None:
    """Return the store of the crawl in a folder; None if there is no stored crawl."""
    return next((entry for entry in STORES.values() if entry.file and (folder / entry.file).is_file()), None)


def open_reader(folder: Path) -> StoreReader:
    """Open a snapshot of the crawl in a folder. Raises `UsageError` if there is no readable one."""
    entry = stored_in(folder)
    if entry is None:
        files = " or ".join(entry.file for entry in STORES.values() if entry.file)
        raise UsageError(
            f"{folder} holds no crawl that can be read: {files} is not there; "
            "name the folder of a crawl, such as crawls/demo"
        )
    return entry.read(folder)
