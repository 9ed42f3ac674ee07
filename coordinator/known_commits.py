"""What a crawl's folder knows of the commits of its crawl: the number of the last one that was acknowledged.

The file is written in place after each commit, and left to the operating system. So it is exact after the death of any
process. After a power cut of this machine it may tell of an earlier commit, of half a minute before on Linux, and never
of one that was not acknowledged.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Protocol

import msgspec

from crawlfleet.coordinator.frontier.port import Keeping
from crawlfleet.shared.errors import UsageError

COMMITS = "commits.json"
#: The key under which a store keeps which crawl it is, so that numbers of another one in its place are not compared.
CRAWL = "crawl id"
_ID_BYTES = 8
_SIZE_BYTES = 200

_encode = msgspec.json.Encoder().encode


class Known(msgspec.Struct, frozen=True):
    """The last commit that a folder knows of: of which crawl, in which of its openings, its number, and how many
    results were committed then. `boot` is the id of the machine's boot; empty if that is not known."""

    crawl: str = ""
    epoch: int = 0
    commits: int = 0
    results: int = 0
    boot: str = ""


class _Counted(Protocol):
    @property
    def commit_number(self) -> int: ...
    def result_count(self) -> int: ...


class KnownCommits:
    """The file of a folder that says what is known there. It is written from `begin` on."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / COMMITS
        self._descriptor: int | None = None
        self._known = Known()
        self._results_seen = 0

    def of(self, crawl: str) -> Known:
        """Return what is known of a crawl: nothing if the file is of another one, not there, or torn."""
        try:
            known = msgspec.json.decode(self.path.read_bytes(), type=Known)
        except (OSError, msgspec.DecodeError):
            return Known()
        return known if crawl and known.crawl == crawl else Known()

    def begin(self, known: Known) -> None:
        """Write what is known now, and wait for the disk. Raise `UsageError` if that fails."""
        self.close()
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._write(known)
            os.ftruncate(self._descriptor, _SIZE_BYTES)
            os.fsync(self._descriptor)
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}; make room, or free it") from error

    def note(self, store: _Counted) -> bool:
        """Note the last commit of a store; say whether it has more results than before."""
        results = store.result_count()
        if self._descriptor is not None and store.commit_number != self._known.commits:
            with suppress(OSError):  # what cannot be written leaves an earlier number, which is true as well
                before = self._known
                self._write(Known(before.crawl, before.epoch, store.commit_number, results, before.boot))
        is_more = results != self._results_seen
        self._results_seen = results
        return is_more

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, known: Known) -> None:
        assert self._descriptor is not None
        self._known = known
        os.pwrite(self._descriptor, _encode(known).ljust(_SIZE_BYTES - 1) + b"\n", 0)


def crawl_id(kept: bytes | None, store: str) -> str:
    """Return how a folder names a crawl, by what its store, of this name, keeps; empty if that keeps nothing.

    A crawl that is moved to another store is numbered anew there.
    """
    return f"{store}:{kept.decode()}" if kept else ""


def number_anew(store: Keeping) -> None:
    """Let the numbers of commits so far be compared no more."""
    store.keep(CRAWL, token_hex(_ID_BYTES).encode())
