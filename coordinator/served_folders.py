"""The folders that a crawl in a database was served from, one for each machine, and whose files are which.

A file is written by who serves the crawl, in that folder. So its mark, and all else that the store keeps of a file, is
kept for the folder: the next folder's file is written whole from the log, and one that comes back goes on by its own
mark. A sink with an address of its own is the same for all of them. A store in a folder has only that one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from secrets import token_hex

import msgspec

from crawlfleet.coordinator.frontier.kept_address import folder_id
from crawlfleet.coordinator.frontier.port import Keeping, Mark, Marks, StoreReader
from crawlfleet.coordinator.frontier.registry import StorePlace
from crawlfleet.coordinator.sinks.outputs import Output
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED
from crawlfleet.shared.paths import shown

#: What is kept of the folders that a crawl in a database was served from.
FOLDERS = "folders"
_PUT = "put at "
_WRITER = "writer"
_WRITER_BYTES = 8


class _Served(msgspec.Struct, frozen=True):
    """A folder: its own name, and where it was when the crawl was last served from it."""

    folder: str
    host: str
    path: str

    @property
    def place(self) -> str:
        return f"{shown(self.path)} on {self.host}"


_served = msgspec.json.Decoder(list[_Served]).decode


class FileNames:
    """The names under which a store keeps what it knows of sinks."""

    def __init__(self, place: StorePlace, folder: str = "") -> None:
        """`folder` is the own name of a folder that is to keep the address of the place, and does not yet."""
        is_shared = place.at is not None and place.folder is not None
        self._folder = folder or folder_id(place.folder) if is_shared and place.folder is not None else ""

    def of(self, output: Output) -> str:
        """Return the name of a sink."""
        return self.of_file(output.name) if output.is_of_folder else output.name

    def of_file(self, name: str) -> str:
        """Return the name of a file of the folder."""
        return f"{self._folder}/{name}" if self._folder else name

    def by_sink(self, outputs: Iterable[Output]) -> dict[str, str]:
        """Return the names of sinks, and that of the file of rejected rows."""
        return {**{output.name: self.of(output) for output in outputs}, REJECTED: self.of_file(REJECTED)}


class NamedMarks:
    """Marks that are kept under other names than those of their sinks."""

    def __init__(self, marks: Marks, names: Mapping[str, str]) -> None:
        self._marks = marks
        self._names = names

    def get(self, sink: str) -> Mark | None:
        """See the port."""
        return self._marks.get(self._names[sink])

    def set(self, sink: str, mark: Mark) -> None:
        """See the port."""
        self._marks.set(self._names[sink], mark)

    def close(self) -> None:
        """See the port."""
        self._marks.close()


def is_own(store: Keeping, place: StorePlace, output: Output) -> bool:
    """Say whether a crawl in a database has put its file at an address before, from any folder."""
    return place.at is not None and output.is_put and store.kept(_PUT + output.name) is not None


def note_own(store: Keeping, place: StorePlace, output: Output) -> None:
    """Keep that the address of an open sink is the crawl's own."""
    if place.at is not None and output.is_put and not is_own(store, place, output):
        store.keep(_PUT + output.name, b"1")


def writer_of(store: Keeping, place: StorePlace) -> str:
    """Return how the owners of a crawl in a database name themselves to services that sinks write to; nothing else is
    called so. It is empty for a crawl in a folder."""
    if place.at is None:
        return ""
    kept = store.kept(_WRITER)
    writer = kept.decode() if kept is not None else f"crawlfleet {token_hex(_WRITER_BYTES)}"
    confirm_writer(store, writer)
    return writer


def confirm_writer(store: Keeping, writer: str) -> None:
    """Keep how owners name themselves to services; raise `CrawlTaken` if another one has the crawl by now."""
    if writer:
        store.keep(_WRITER, writer.encode())


def note_folder(store: Keeping, place: StorePlace) -> str:
    """Keep that a crawl is served from a folder now; return a sentence on the one before, if that was another.

    The files there are stale from now on.
    """
    if place.at is None or place.folder is None:
        return ""
    before = _served(store.kept(FOLDERS) or b"[]")
    own = _Served(folder_id(place.folder), socket.gethostname(), str(place.folder.absolute()))
    if before[-1:] == [own]:
        return ""
    others = [each for each in before if each.folder != own.folder]
    store.keep(FOLDERS, msgspec.json.encode([*others, own]))
    if not before or before[-1].folder == own.folder:
        return ""
    return (
        f"The crawl was served from {before[-1].place} before: its files there are stale now. "
        f"Those in {shown(place.folder)} are written from the log, with all rows."
    )


def why_stale(reader: StoreReader, place: StorePlace) -> str:
    """Return why the files of a folder are not those of the crawl as it is now; empty if they are."""
    if place.at is None or place.folder is None:
        return ""
    last = _served(reader.kept(FOLDERS) or b"[]")[-1:]
    if not last or last[0].folder == folder_id(place.folder):
        return ""
    return f"the crawl went on in {last[0].place}"
