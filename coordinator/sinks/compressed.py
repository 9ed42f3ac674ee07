"""Files of lines that are compressed: `.jsonl.gz`, `.csv.zst`. Each write appends a member of its own.

Members one after another are one file for every reader of gzip (RFC 1952) and Zstandard (RFC 8878). Each has whole
results, so a file is cut, after a crash, behind its last whole member.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.sinks.line_file import LineFile, hash_of_block
from crawlfleet.coordinator.sinks.line_sink import LineSink
from crawlfleet.coordinator.sinks.port import LineKind, Rejected, Sink
from crawlfleet.shared.errors import UsageError

CHUNK_BYTES = 1024 * 1024


class Decompressor(Protocol):
    """Decompresses one member."""

    @property
    def eof(self) -> bool:
        """Whether the member is whole."""

    @property
    def unused_data(self) -> bytes:
        """What came behind it."""

    def decompress(self, data: bytes, /) -> bytes:
        """Return more of its content; raise the error of the format for anything else."""


class Compression(NamedTuple):
    """A format of compression: how its members begin, how they are made and read, and the error about anything else."""

    magic: bytes
    compress: Callable[[bytes], bytes]
    decompressor: Callable[[], Decompressor]
    error: type[Exception]


class Member(NamedTuple):
    """A member of a file: its content, its size in the file, and whether all of it is there."""

    content: bytes
    size: int
    is_whole: bool


class CompressedLines:
    """A kind of files that are compressed lines of another kind."""

    def __init__(self, lines: LineKind, compression: Compression) -> None:
        self._lines = lines
        self._compression = compression

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> Sink:
        """Open a file at its mark."""
        return LineSink(self._lines, CompressedFile(path, mark, self._compression, power=power))

    def rows_of(self, result: Result) -> list[bytes]:
        """See the port."""
        return self._lines.rows_of(result)

    def rejects_of(self, result: Result) -> list[Rejected]:
        """See the port."""
        return self._lines.rejects_of(result)

    def remove(self, path: Path) -> None:
        """See the port."""
        self._lines.remove(path)

    def read(self, path: Path, *, whole: bool) -> Iterator[bytes]:
        """Yield the lines below the head, without those of a torn member unless the file is to be `whole`."""
        try:
            with path.open("rb") as file:
                for place, member in enumerate(members(file, self._compression)):
                    if member.is_whole or whole:
                        head = b"" if place else self._lines.head
                        yield from io.BytesIO(member.content.removeprefix(head))
        except FileNotFoundError:
            return
        except self._compression.error as error:
            if whole:
                yield f"what follows is not compressed: {error}".encode()


class CompressedFile(LineFile):
    """A file whose blocks are members."""

    def __init__(self, path: Path, mark: Mark | None, compression: Compression, *, power: bool) -> None:
        self._compression = compression
        super().__init__(path, mark, power=power)

    def append(self, lines: bytes, results: int) -> Mark:
        """Append the lines of `results` more results as a member. Results without rows are none, the end is one."""
        return super().append(self._compression.compress(lines) if lines or not results else b"", results)

    def _agreeing(self, file: IO[bytes], log: Iterable[bytes]) -> Mark:
        """Return the mark of the longest run of whole members that file and log share.

        The file is left behind them, or at its end if what follows is a torn member of this crawl.
        """
        results, kept = iter(log), Mark(block_hash=hash_of_block(b""))
        size, is_torn = 0, False
        try:
            for member in members(file, self._compression):
                taken, is_known = self._taken(member, results)
                is_torn = is_known and not member.is_whole and self._begins_at(file, size)
                if not is_known or not member.is_whole:
                    break
                size += member.size
                kept = Mark(results=kept.results + taken, size_bytes=size, block_at=size, block_hash=kept.block_hash)
        except self._compression.error:
            pass
        file.seek(0 if is_torn else size, io.SEEK_END if is_torn else io.SEEK_SET)
        return kept

    def _taken(self, member: Member, results: Iterator[bytes]) -> tuple[int, bool]:
        """Return how many results a member has, and whether the log has all of it."""
        taken, rest = 0, member.content
        while rest:
            lines = next(results, None)
            if lines is None:
                return taken, False
            if not rest.startswith(lines):
                if member.is_whole or not lines.startswith(rest):
                    raise UsageError(self._foreign())
                return taken, True
            rest = rest[len(lines) :]
            taken += 1
        return taken, True

    def _begins_at(self, file: IO[bytes], place: int) -> bool:
        """Say whether what is at a place, maybe a few bytes, can be the beginning of a member."""
        file.seek(place)
        found = file.read(len(self._compression.magic))
        return self._compression.magic.startswith(found)


def members(file: IO[bytes], compression: Compression) -> Iterator[Member]:
    """Yield the members from the beginning of a file on; the last one may be torn."""
    file.seek(0)
    left = file.read(CHUNK_BYTES)
    at = len(left)
    while left:
        member, content, begin = compression.decompressor(), [], at - len(left)
        while left and not member.eof:
            content.append(member.decompress(left))
            if not member.eof:
                file.seek(at)
                left = file.read(CHUNK_BYTES)
                at += len(left)
        left = member.unused_data if member.eof else b""
        yield Member(b"".join(content), at - len(left) - begin, member.eof)
        if not left:
            file.seek(at)
            left = file.read(CHUNK_BYTES)
            at += len(left)
