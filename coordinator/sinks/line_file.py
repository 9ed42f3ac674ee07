"""A file of lines that follows the committed log exactly. After a crash it is restored to its mark.

The file is

longer than its mark     the rest was never committed: it is cut off, and written again from the log
as long                  continues
shorter                  the machine lost what was not on disk: every line is compared with the log, and the missing
                         ones are written again
other content            not this crawl's: refused by name
without a mark           this crawl's only if the log begins with all of it: the mark was lost, or never written
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO

import structlog

from crawlfleet.coordinator.folder_sync import sync_folder
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.shared.errors import CrawlFailed, UsageError


class LineFile:
    """An append-only file under an exclusive lock. `mark` says how much of it is final."""

    def __init__(self, path: Path, mark: Mark | None, *, power: bool) -> None:
        self._path = path
        self._power = power
        with self._mapped_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("ab", buffering=0)
        self._is_regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        self.mark = mark if mark is not None else Mark()
        try:
            self._lock()
            self._is_unclaimed = mark is None and self._is_regular and self._size() > 0
            if self._is_regular:
                self._check()
                if power:
                    with self._mapped_errors():
                        sync_folder(path.parent)
            else:
                structlog.get_logger().warning(
                    "this sink is no regular file: rows may come twice after a crash", detail=str(path)
                )
        except BaseException:
            self._file.close()
            raise

    @property
    def is_to_restore(self) -> bool:
        """Whether the file is shorter than its mark, or has bytes and no mark: `restore` it first."""
        return self._is_unclaimed or (self._is_regular and self._size() < self.mark.size_bytes)

    def append(self, lines: bytes, results: int) -> Mark:
        """Append the lines of `results` more results; return the mark to commit."""
        with self._mapped_errors():
            self._write(lines)
            if self._power and self._is_regular:
                os.fsync(self._file.fileno())
        size = self.mark.size_bytes
        self.mark = Mark(
            results=self.mark.results + results,
            size_bytes=size + len(lines),
            block_at=size,
            block_hash=hash_of_block(lines),
        )
        return self.mark

    def restore(self, log: Iterable[bytes]) -> Mark:
        """Cut the file back to the last whole result that log and file share. `log` yields the lines of each result.

        Raises `UsageError` if the file holds anything else, or if it has no mark and holds more than the log.
        """
        with self._mapped_errors(), self._path.open("rb") as file:
            kept = self._agreeing(file, log)
            if self._is_unclaimed and file.read(1):
                raise UsageError(self._foreign())
            self._file.truncate(kept.size_bytes)
        self.mark, self._is_unclaimed = kept, False
        return kept

    def close(self) -> None:
        """Close the file and release its lock."""
        with self._mapped_errors():
            self._file.close()

    def _agreeing(self, file: IO[bytes], log: Iterable[bytes]) -> Mark:
        """Return the mark of the longest run of whole results that file and log share."""
        kept = Mark(block_hash=hash_of_block(b""))
        for lines in log:
            found = file.read(len(lines))
            if not lines.startswith(found):
                raise UsageError(self._foreign())
            if len(found) < len(lines):
                break
            size = kept.size_bytes + len(lines)
            kept = Mark(results=kept.results + 1, size_bytes=size, block_at=size, block_hash=kept.block_hash)
        return kept

    def _check(self) -> None:
        if self.is_to_restore:
            return
        with self._mapped_errors(), self._path.open("rb") as file:
            if not has_block(file, self.mark):
                raise UsageError(self._foreign())
            self._file.truncate(self.mark.size_bytes)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{self._path} is being written by another crawl: wait, or name another sink") from None

    def _write(self, lines: bytes) -> None:
        rest = memoryview(lines)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _foreign(self) -> str:
        if self._is_unclaimed:
            return (
                f"{self._path} exists already and is not this crawl's: "
                "move it away, name another sink, or replace it by --overwrite"
            )
        return (
            f"{self._path} was changed by somebody else: move it away, "
            "then write it again with `crawlfleet export`, or start again with --fresh"
        )

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CrawlFailed(
                f"cannot write {self._path}: {error.strerror}; make room, then run the job again"
            ) from error


def is_locked(file: IO[bytes]) -> bool:
    """Say whether somebody writes a file as a sink."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def has_block(file: IO[bytes], mark: Mark) -> bool:
    """Say whether a file has the last block that its mark tells of."""
    file.seek(mark.block_at)
    block = file.read(mark.size_bytes - mark.block_at)
    return not mark.block_hash or hash_of_block(block) == mark.block_hash


def hash_of_block(block: bytes) -> bytes:
    """Return what a mark keeps of the last block."""
    return blake2b(block, digest_size=16).digest()
