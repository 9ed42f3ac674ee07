"""The table of stores, and where a crawl's store is: in its folder, or in a database. A store is loaded only when a
crawl asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from crawlfleet.coordinator.frontier.copying import MOVED
from crawlfleet.coordinator.frontier.crawl_address import CrawlAddress, parse, scheme_of, with_password
from crawlfleet.coordinator.frontier.kept_address import ADDRESS_FILE, kept_address
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.registry import Entry, table

if TYPE_CHECKING:
    from crawlfleet.coordinator.frontier.copying import Copying
    from crawlfleet.coordinator.frontier.port import Candidate, FollowedLog, Schemas, Store, StoreReader


class StoreEntry(Entry, frozen=True, kw_only=True):
    """A store. Its place is a function of a crawl's folder, and of whether commits must survive a power cut; if it is
    in databases, of a database's address and the crawl's schema there.

    `durabilities` are the durabilities of jobs that it serves. `file` is the file by which a folder is known to hold a
    crawl of this store; empty if it has none. `scheme` is that of its databases' addresses; empty if it is in none.
    `snapshot` is the place of its `StoreReader`, `followed` that of its `FollowedLog`, `schemas` that of its databases'
    `Schemas`.
    `copying` is the place of its `Copying`; empty if crawls cannot be moved there.
    """

    kind = "store"

    durabilities: tuple[str, ...]
    file: str = ""
    scheme: str = ""
    snapshot: str = ""
    followed: str = ""
    schemas: str = ""
    copying: str = ""

    def open(self, folder: Path, *, power: bool) -> Store:
        """Open the store of a crawl in a folder.

        Raises `UsageError` if it is damaged, `CrawlFailed` if it cannot be written.
        """
        store: Store = self.load()(folder, power=power)
        return store

    def read(self, folder: Path) -> StoreReader:
        """Open a snapshot of the store of a crawl in a folder. Raises `UsageError` if it cannot be read."""
        reader: StoreReader = replace(self, place=self.snapshot).load()(folder)
        return reader

    def open_at(self, at: CrawlAddress, candidate: Candidate | None = None) -> Store:
        """Open the store of a crawl in a database. Raises as `open` does."""
        wanted = {} if candidate is None else {"candidate": candidate}
        store: Store = self.load()(with_password(at.database, os.environ), at.schema, **wanted)
        return store

    def read_at(self, at: CrawlAddress) -> StoreReader:
        """Open a snapshot of the store of a crawl in a database. Raises `UsageError` if it cannot be read."""
        reader: StoreReader = replace(self, place=self.snapshot).load()(
            with_password(at.database, os.environ), at.schema
        )
        return reader

    def schemas_at(self, at: CrawlAddress) -> Schemas:
        """Return the schemas of a crawl's database."""
        schemas: Schemas = replace(self, place=self.schemas).load()(with_password(at.database, os.environ))
        return schemas


FRONTIER = "frontier.db"
#: The store of a job that names none.
USUAL = "sqlite"

_ROOM = "crawlfleet.coordinator.frontier"
STORES = table(
    StoreEntry(name="memory", place=f"{_ROOM}.memory.store:open_store", durabilities=("none",)),
    StoreEntry(
        name=USUAL,
        place=f"{_ROOM}.sqlite.store:open_store",
        durabilities=("process", "power"),
        file=FRONTIER,
        snapshot=f"{_ROOM}.sqlite.reader:open_reader",
        followed=f"{_ROOM}.sqlite.followed_log:SqliteFollowedLog",
        copying=f"{_ROOM}.sqlite.copying:SqliteCopying",
    ),
    StoreEntry(
        name="postgresql",
        place=f"{_ROOM}.postgresql.store:open_store",
        package="psycopg",
        extra="postgres",
        durabilities=("process", "power"),
        scheme="postgresql",
        snapshot=f"{_ROOM}.postgresql.reader:open_reader",
        followed=f"{_ROOM}.postgresql.followed_log:PostgresqlFollowedLog",
        schemas=f"{_ROOM}.postgresql.schemas:PostgresqlSchemas",
        copying=f"{_ROOM}.postgresql.copying:PostgresqlCopying",
    ),
)


class StorePlace(NamedTuple):
    """Where the store of one crawl is: in a folder, or in a database, `at` an address."""

    entry: StoreEntry
    folder: Path | None = None
    at: CrawlAddress | None = None

    def __str__(self) -> str:
        return str(self.at or self.folder)

    def open(self, *, power: bool, candidate: Candidate | None = None) -> Store:
        """Open the store; see `StoreEntry.open`. `candidate` is who wants to own a crawl that is in a database.

        Raises `UsageError` if the crawl has moved to another place.
        """
        store = self._opened(candidate, power=power)
        moved = store.kept(MOVED)
        if moved is not None:
            store.close()
            raise UsageError(
                f"the crawl in {self} has moved to {moved.decode()}: go on with it there, or begin anew by --fresh"
            )
        return store

    def _opened(self, candidate: Candidate | None, *, power: bool) -> Store:
        if self.at is not None:
            return self.entry.open_at(self.at, candidate)
        assert self.folder is not None
        return self.entry.open(self.folder, power=power)

    def copying(self) -> Copying:
        """Return how the crawl is copied from there or to there. Raises `UsageError` if it cannot be."""
        if not self.entry.copying:
            raise UsageError(f"a crawl cannot be moved from or to the store {self.entry.name}: name another one")
        copying: Copying = replace(self.entry, place=self.entry.copying).load()(*self._where())
        return copying

    def follow(self) -> FollowedLog:
        """Open the log of the crawl, which another process writes."""
        log: FollowedLog = replace(self.entry, place=self.entry.followed).load()(*self._where())
        return log

    def read(self) -> StoreReader:
        """Open a snapshot of the store. Raises `UsageError` if it cannot be read."""
        if self.at is not None:
            with _from_outside():
                return self.entry.read_at(self.at)
        assert self.folder is not None
        return self.entry.read(self.folder)

    def _where(self) -> tuple[object, ...]:
        return (self.folder,) if self.at is None else (with_password(self.at.database, os.environ), self.at.schema)

    def is_stored(self) -> bool:
        """Say whether a crawl is there. Raises `UsageError` if that cannot be known."""
        if self.at is not None:
            with _from_outside():
                return self.entry.schemas_at(self.at).has(self.at.schema)
        return bool(self.folder and self.entry.file and (self.folder / self.entry.file).is_file())

    def refuse_if_running(self) -> None:
        """Raise `UsageError` if a coordinator has a crawl open that is in a database."""
        if self.at is None:
            return
        with _from_outside():
            owner = self.entry.schemas_at(self.at).owner_of(self.at.schema)
        if owner:
            raise UsageError(f"{self.at} is in use by the coordinator {owner}: wait or stop it")

    def replication(self) -> str:
        """Return what a user must know of how the store is replicated, as a sentence; empty if that is nothing."""
        if self.at is None:
            return ""
        return self.entry.schemas_at(self.at).replication(self.at.schema)

    def renamed(self, crawl: str) -> StorePlace:
        """Give a crawl in a database another name, and return where it is then. Raises `UsageError` if it is in use, or
        the name is taken."""
        assert self.at is not None
        after = self.at._replace(crawl=crawl)
        with _from_outside():
            self.entry.schemas_at(self.at).rename(self.at.schema, after.schema)
        return self._replace(at=after)


@contextmanager
def _from_outside() -> Iterator[None]:
    """Whoever only looks at a crawl has to name one that can be looked at: no crawl has failed."""
    try:
        yield
    except CrawlFailed as error:
        raise UsageError(str(error)) from error


def store_for(durability: str) -> StoreEntry:
    """Return the first store that serves a durability and needs no address."""
    return next(entry for entry in STORES.values() if durability in entry.durabilities and not entry.scheme)


def database_for(address: str) -> StoreEntry:
    """Return the store that has crawls in the database at an address; raise `ValueError` if there is none."""
    scheme = scheme_of(address)
    found = next((entry for entry in STORES.values() if entry.scheme and entry.scheme == scheme), None)
    if found is None:
        known = ", ".join(f"{entry.scheme}://" for entry in STORES.values() if entry.scheme)
        raise ValueError(f"no store is at such an address: write {USUAL}, or an address that begins with {known}")
    return found


def place_for(durability: str, frontier: str | None, crawl: str, folder: Path) -> StorePlace:
    """Return where the store of a job is: that which `frontier` names, an address or a name, or else in its folder."""
    if frontier is None or frontier in STORES:
        return StorePlace(STORES[frontier] if frontier else store_for(durability), folder)
    return StorePlace(database_for(frontier), folder, CrawlAddress(frontier, crawl))


def stored_in(folder: Path) -> StorePlace | None:
    """Return where the store of the crawl in a folder is: there, or where the folder says; None if it does not say."""
    entry = next((entry for entry in STORES.values() if entry.file and (folder / entry.file).is_file()), None)
    if entry is not None:
        return StorePlace(entry, folder)
    at = kept_address(folder)
    try:
        return None if at is None else StorePlace(database_for(at.database), folder, at)
    except ValueError as error:
        raise UsageError(f"{folder / ADDRESS_FILE} cannot be read: {error}") from error


def place_named(crawl: Path | str) -> StorePlace:
    """Return where the crawl is that a person names by its folder or, as text, by its address.

    Raises `UsageError` if there is none.
    """
    if isinstance(crawl, str):
        try:
            at = parse(crawl)
            return StorePlace(database_for(at.database), None, at)
        except ValueError as error:
            raise UsageError(f"the address of the crawl: {error}") from error
    place = stored_in(crawl)
    if place is None:
        files = " or ".join([*(entry.file for entry in STORES.values() if entry.file), ADDRESS_FILE])
        raise UsageError(
            f"{crawl} holds no crawl that can be read: {files} is not there; "
            "name the folder of a crawl, such as crawls/demo"
        )
    return place


def open_reader(crawl: Path | str) -> StoreReader:
    """Open a snapshot of a crawl, named as for `place_named`. Raises `UsageError` if there is no readable one."""
    return place_named(crawl).read()
