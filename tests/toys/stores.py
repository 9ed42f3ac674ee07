"""A store in databases that only tests have: a database is a folder, and a schema a folder in it, with a file."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

from crawlfleet.coordinator.frontier.port import Candidate
from crawlfleet.coordinator.frontier.registry import FRONTIER, StoreEntry
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.shared.errors import UsageError

ENTRY = StoreEntry(
    name="toy",
    place="tests.toys.stores:open_store",
    durabilities=("process", "power"),
    scheme="toy",
    snapshot="tests.toys.stores:open_reader",
    schemas="tests.toys.stores:ToySchemas",
)
OWNER = "owner"


def toy_address(root: Path) -> str:
    """Return the address of a folder as a database."""
    return f"toy:///{quote(str(root), safe='')}"


def folder_of(address: str, schema: str) -> Path:
    """Return the folder of a schema; raise `UsageError` if its database is not there."""
    root = Path(unquote(address.removeprefix("toy:///")))
    if not root.is_dir():
        raise UsageError(f"cannot connect to {address}: start the server")
    return root / schema


def open_store(address: str, schema: str, candidate: Candidate | None = None) -> SqliteStore:  # noqa: ARG001  nobody waits
    """Open the store in a schema, and make that if it is not there."""
    folder = folder_of(address, schema)
    folder.mkdir(exist_ok=True)
    return SqliteStore(folder / FRONTIER)


def open_reader(address: str, schema: str) -> SqliteReader:
    """Read the store in a schema."""
    return SqliteReader(folder_of(address, schema) / FRONTIER)


class ToySchemas:
    """The schemas of a database. The file `owner` in one says that it is open."""

    def __init__(self, address: str) -> None:
        self._address = address

    def has(self, schema: str) -> bool:
        return (folder_of(self._address, schema) / FRONTIER).exists()

    def owner_of(self, schema: str) -> str:
        owner = folder_of(self._address, schema) / OWNER
        return owner.read_text() if owner.exists() else ""

    def replication(self, schema: str) -> str:  # noqa: ARG002  it is in one place
        return ""

    def rename(self, schema: str, to: str) -> None:
        if owner := self.owner_of(schema):
            raise UsageError(f"{schema} is in use by {owner}")
        folder_of(self._address, schema).rename(folder_of(self._address, to))
