"""The file by which a crawl's folder says that its store is in a database: the address, without a password.

It also has a name of the folder's own, by which the store tells the files of several folders apart: the next owner of a
crawl may be on another machine.
"""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex

import msgspec

from crawlfleet.coordinator.frontier.crawl_address import CrawlAddress, parse
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.wire.identity import write_private

ADDRESS_FILE = "frontier.json"
_ID_BYTES = 8


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: str
    folder: str


def kept_address(folder: Path) -> CrawlAddress | None:
    """Return the address that is kept in a folder; None if there is none. Raise `UsageError` if it cannot be read."""
    kept = _read(folder)
    try:
        return None if kept is None else parse(kept.address)
    except ValueError as error:
        raise UsageError(f"{folder / ADDRESS_FILE} cannot be read: the address {error}") from error


def folder_id(folder: Path) -> str:
    """Return the folder's own name, if an address is kept in it; else nothing."""
    kept = _read(folder)
    return "" if kept is None else kept.folder


def new_folder_id() -> str:
    """Return a name for a folder that has none of its own."""
    return token_hex(_ID_BYTES)


def keep_address(folder: Path, at: CrawlAddress, name: str = "") -> None:
    """Keep an address in a folder, in the place of another one. The folder's own name stays; without one it gets
    `name`, or a new one.

    Raise `UsageError` if it cannot be written.
    """
    kept = _read(folder)
    wanted = _Kept(str(at), (name or new_folder_id()) if kept is None else kept.folder)
    if wanted == kept:
        return
    try:
        write_private(folder / ADDRESS_FILE, msgspec.json.encode(wanted) + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write {folder / ADDRESS_FILE}: {error.strerror}; make room, or free it") from error


def _read(folder: Path) -> _Kept | None:
    path = folder / ADDRESS_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; run the command as its owner") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} cannot be read: {error}; put back what crawlfleet wrote there") from error
