"""How the crawl of a simulated machine is stored over all incarnations of its coordinator: the simulation's own port.

`file_keeper` stores it in a file of the machine, `postgresql_keeper` in a schema of a real server.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from crawlfleet.coordinator.frontier.crawl_clock import ClockReading
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.durable.database import Database
from tests.simulation.chronicle import Fault
from tests.simulation.fragile import Fuse
from tests.simulation.slow_commits import Fates

#: The stores of seeds, by their names in commands.
SQLITE, POSTGRESQL = "sqlite", "postgresql"


#: So few pages of a cache that an open transaction spills into the log.
FEW_PAGES = 2


class Settings(NamedTuple):
    """How a coordinator keeps its crawl. Its cache may have `FEW_PAGES`.

    `inline_bytes` is how much of rows a transaction, or a call of one, has; 0 for as much as usual. `fates` are those
    of commits.
    """

    power: bool
    cuts: bool
    cache_pages: int
    autocheckpoint: int
    inline_bytes: int = 0
    fates: Fates | None = None


class SimDatabase(Database, Protocol):
    """The database of one incarnation. What it commits is in when `write` returns."""

    def write(self, batch: Batch, began: ClockReading, /) -> None:
        """Commit a batch, which was begun when the machine's clocks had this reading.

        Raises `CrawlFailed` if it cannot be written.
        """
        ...

    def lose(self, batch: Batch, fault: Fault) -> None:
        """Let a commit end by a fault of the database: nothing of it is in, unless it was written before."""
        ...

    def fill_disk(self, spare_pages: int, /) -> None:
        """Let the database grow by so many pages, and no further."""
        ...

    def make_room(self) -> None:
        """Let it grow again."""
        ...

    def checkpoint(self) -> None:
        """Move the log into the tables."""
        ...

    def die(self) -> None:
        """Let its process be killed: nothing more is said to the database. It is closed next."""
        ...


class Keeper(Protocol):
    """What outlasts the incarnations of a coordinator."""

    #: Whether the database is on another machine: a power cut of this one loses nothing there, and crawl time goes on
    #: by a clock that may be set.
    is_elsewhere: bool

    def open(self, folder: Path, settings: Settings, clocks: Callable[[], ClockReading], fuse: Fuse, /) -> SimDatabase:
        """Open the crawl for an incarnation in a folder; its first one creates it."""
        ...

    def log_bytes(self, folder: Path, /) -> int:
        """Return the length of the log of which a power cut may take the end."""
        ...

    def cut_log(self, folder: Path, size_bytes: int) -> None:
        """Let the log lose what is beyond a length."""
        ...

    def forget_marks(self, folder: Path, /) -> None:
        """Lose the marks of sinks."""
        ...

    def close(self) -> None:
        """Release what is held besides files."""
        ...
