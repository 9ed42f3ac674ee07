"""Files that are put at an address when they are whole: into an object store, or any file system that fsspec knows.

The file is written in the crawl's folder, as any sink is, and put there at the end of a run. Beside it a note says what
was put last: the address is the crawl's own as soon as the note is there, and what it has already is not put again.
With `rotate` the file is a folder of parts: each is put below the address as soon as it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import fsspec
import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.sinks.database import foreign
from crawlfleet.coordinator.sinks.patience import Patience
from crawlfleet.coordinator.sinks.port import Sink, SinkUnreachable
from crawlfleet.coordinator.sinks.registry import scheme_of
from crawlfleet.shared.errors import CrawlFailed, UsageError

NOTE = ".put"
DRAFT = ".part"
MAX_SHOWN_CHARS = 300
# The extras of crawlfleet that bring the file system of a scheme.
EXTRAS = {"s3": "s3", "s3a": "s3"}


class Note(msgspec.Struct, frozen=True):
    """What was put at an address last, and of what size; `said` is empty if nothing was.

    `said` is a digest of the mark and the columns, on which the file depends: its bytes may change with each opening.
    `parts` are the sizes of the parts below the address, by their names.
    """

    address: str
    said: str = ""
    size_bytes: int = 0
    parts: dict[str, int] = {}

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of what was put, by address."""
        below = {f"{self.address}/{name}": size for name, size in self.parts.items()}
        return {self.address: self.size_bytes} if self.said else below


class ObjectSink:
    """A sink whose file is put at its address once it is whole."""

    def __init__(
        self, open_sink: Callable[[], Sink], path: Path, address: str, columns: bytes, *, is_own: bool = False
    ) -> None:
        self._path = path
        self._columns = columns
        self._address = address
        if noted_at(self._path).address != address:
            if size_at(address) is not None and not is_own:
                raise UsageError(foreign(address))
            self._write_note(Note(address))
        self._parts = noted_at(self._path).parts
        self._sink = open_sink()
        self._is_open = True

    @property
    def mark(self) -> Mark:
        """How far the file is."""
        return self._sink.mark

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        """See the port."""
        return self._sink.restore(log, length)

    def write(self, results: Sequence[Result]) -> Mark:
        """See the port."""
        mark = self._sink.write(results)
        self._put_parts()
        return mark

    def finish(self) -> None:
        """Close the file, since some are whole only then, and put it at its address unless that has it."""
        self._sink.finish()
        self.close()
        self._put_parts()
        if not self._path.is_file():
            return
        said = blake2b(self._columns + msgspec.json.encode(self.mark), digest_size=16).hexdigest()
        noted = noted_at(self._path)
        if noted.said != said or size_at(self._address) != noted.size_bytes:
            put(self._path, self._address)
            self._write_note(Note(self._address, said, self._path.stat().st_size))

    def close(self) -> None:
        """See the port."""
        if self._is_open:
            self._is_open = False
            self._sink.close()

    def _put_parts(self) -> None:
        """Put the parts that are new, and remove those that the log no longer has."""
        if not self._path.is_dir():
            return
        parts = {part.name: part.stat().st_size for part in sorted(self._path.iterdir()) if part.suffix != ".tmp"}
        if parts == self._parts:
            return
        for name in [name for name, size in parts.items() if self._parts.get(name) != size]:
            put(self._path / name, f"{self._address}/{name}")
        for name in self._parts.keys() - parts.keys():
            remove_at(f"{self._address}/{name}")
        self._parts = parts
        self._write_note(Note(self._address, parts=parts))

    def _write_note(self, note: Note) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_name(f"{self._path.name}{NOTE}.tmp")
            draft.write_bytes(msgspec.json.encode(note))
            draft.replace(_note_of(self._path))
        except OSError as error:
            raise CrawlFailed(f"cannot write {_note_of(self._path)}: {error.strerror}") from error


def noted_at(path: Path) -> Note:
    """Return what is noted beside a file."""
    try:
        return msgspec.json.decode(_note_of(path).read_bytes(), type=Note)
    except (FileNotFoundError, msgspec.DecodeError):
        return Note("")


def _note_of(path: Path) -> Path:
    return path.with_name(path.name + NOTE)


def knows(scheme: str) -> bool:
    """Say whether there is a file system for a scheme."""
    return scheme in fsspec.available_protocols()


def size_at(address: str) -> int | None:
    """Return the size of what is at an address; None if nothing is there. It may raise `SinkUnreachable`."""
    with _mapped_errors(address):
        try:
            system, key = _system_at(address)
            return int(system.info(key)["size"] or 0)
        except FileNotFoundError:
            return None


def remove_at(address: str) -> None:
    """Remove what is at an address, if anything is."""
    with _mapped_errors(address):
        system, key = _system_at(address)
        if system.exists(key):
            system.rm_file(key)


def put(path: Path, address: str) -> None:
    """Put a file at an address, whole or not at all; raise `CrawlFailed` if that does not succeed for a while.

    A file system that can rename gets a draft, which is moved into its place; others, the object stores, show an object
    only when all of it is there.
    """
    patience = Patience()
    while True:
        try:
            with _mapped_errors(address):
                _put(path, address)
            return
        except CrawlFailed as error:
            is_final = isinstance(error.__cause__, FileNotFoundError | PermissionError | NotImplementedError)
            if is_final or not patience.pause():
                raise CrawlFailed(f"{error}; the file is {path}, and the next run puts it there") from error


def _put(path: Path, address: str) -> None:
    system, key = _system_at(address)
    renames = type(system).mv is not fsspec.AbstractFileSystem.mv
    if renames:
        system.makedirs(system._parent(key), exist_ok=True)
    system.put_file(str(path), key + DRAFT if renames else key)
    if renames:
        system.mv(key + DRAFT, key)


def _system_at(address: str) -> tuple[Any, str]:
    # Nothing that was known of the store in another run, process or thread.
    system, key = fsspec.core.url_to_fs(address, skip_instance_cache=True, use_listings_cache=False)
    return system, key


@contextmanager
def _mapped_errors(address: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        extra = EXTRAS.get(scheme_of(address))
        advice = f": pip install 'crawlfleet[{extra}]'" if extra else ""
        raise UsageError(f"cannot write {address}: {error}{advice}") from error
    except Exception as error:  # every file system has errors of its own
        text = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_SHOWN_CHARS]
        raise SinkUnreachable(f"cannot reach {address}: {text}") from error
