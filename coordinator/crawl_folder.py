"""A crawl's folder, with its frontier, items, log, summary and keys, and the lock on it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from crawlfleet.coordinator.frontier.kept_address import ADDRESS_FILE
from crawlfleet.coordinator.frontier.registry import FRONTIER, stored_in
from crawlfleet.coordinator.known_commits import COMMITS, KnownCommits
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.paths import shown
from crawlfleet.shared.wire.identity import IDENTITY_FILES

LOG = "log.jsonl"
SUMMARY = "summary.json"
JOIN = "join-token"
LOCK = "lock"
ABOUT = "README.txt"
_KEEPS_NOTHING = frozenset({LOCK, JOIN, LOG, ABOUT, COMMITS, ADDRESS_FILE, *IDENTITY_FILES})
_ABOUT = f"""\
This folder holds one crawl of crawlfleet.

Private: give these files to nobody, and put them into no repository. Only their owner may read them.
  {", ".join((JOIN, *IDENTITY_FILES))}
      passwords: who has them can join the crawl, read its results and stop it
  {FRONTIER}, and files whose names begin so
      the state of the crawl, with all rows, and the job without its secrets
  {ADDRESS_FILE}, in place of those
      the address, without a password, of the database that has all that

Not private, unless the pages are:
  {SUMMARY}   how the crawl ended, and why pages failed
  {LOG}      what happened, with the address of each page that failed
  {COMMITS}   the number of the last commit, by which a store that lost some is noticed
  items.jsonl    the rows; or the files that the job names as its sinks

The same command resumes the crawl; with --fresh it moves this folder aside, and crawls again.
Before you give rows away, copy them: crawlfleet export THIS_FOLDER --to rows.jsonl
"""


#: Takes files into the folder of an earlier run, which gets a new name; returns what they were called.
Along: TypeAlias = Callable[[Path, str], tuple[str, ...]]


class CrawlFolder:
    """One crawl's folder, held by this process until it ends. Raises `UsageError` if it cannot be used."""

    def __init__(
        self,
        root: Path,
        job: str,
        *,
        fresh: bool,
        anew: bool = False,
        along: Along | None = None,
        is_resumable: bool | None = None,
    ) -> None:
        """With `fresh` or `anew` an earlier run is moved aside; `along` takes into its folder what goes with it.

        `is_resumable` says whether there is a store to go on with; without it, the folder does.
        """
        self.path = root / job
        self.commits = KnownCommits(self.path)
        self.is_fresh = fresh
        self.moved_to: Path | None = None
        self.moved_along: tuple[str, ...] = ()
        # The addresses that stores of the earlier run have now.
        self.moved_stores: tuple[str, ...] = ()
        if (fresh or anew) and self.path.exists():
            self.moved_to, self.moved_along = _move_aside(self.path, along)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.path)
            if not (self.path / ABOUT).exists():
                (self.path / ABOUT).write_text(_ABOUT)
        except OSError as error:
            raise UsageError(
                f"cannot write to the crawl's folder {self.path}: {error.strerror}; choose another with --crawls"
            ) from error
        self.is_resumable = stored_in(self.path) is not None if is_resumable is None else is_resumable
        if not self.is_resumable and _holds_results(self.path):
            os.close(self._lock)
            raise UsageError(
                f"{self.path} holds the results of a run that cannot be resumed: "
                "move it away, or start again with --fresh, which moves it aside"
            )

    @property
    def told(self) -> str:
        """Where the earlier run is now, as a sentence; empty if there was none."""
        files = f"; moved into it: {', '.join(self.moved_along)}" if self.moved_along else ""
        places = [shown(self.moved_to)] if self.moved_to is not None else []
        now = " and ".join([*places, *map(shown, self.moved_stores)])
        return f"the earlier run is now in {now}{files}" if now else ""

    @property
    def log(self) -> Path:
        """The log file of all processes of the crawl on this machine."""
        return self.path / LOG

    @property
    def summary(self) -> Path:
        """The file that the summary is written to at the end."""
        return self.path / SUMMARY


def _holds_results(folder: Path) -> bool:
    return any(not _keeps_nothing(entry.name) and entry.stat().st_size for entry in folder.iterdir())


def _keeps_nothing(name: str) -> bool:
    """Whether a file has no results; a process that was killed may have left a draft of a private file."""
    of_draft = name.removeprefix(".").rpartition(".")[0] if name.startswith(".") else ""
    return name in _KEEPS_NOTHING or of_draft in _KEEPS_NOTHING


def refuse_if_running(folder: Path) -> None:
    """Raise `UsageError` if a coordinator is using a folder."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise UsageError(f"{folder} is no folder: name the folder of a crawl, such as crawls/demo") from None
    except OSError as error:
        raise UsageError(f"{folder / LOCK} cannot be read: {error.strerror}; run the command as its owner") from error
    try:
        _flock(descriptor, fcntl.LOCK_SH, folder)
    finally:
        os.close(descriptor)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a crawl's folder, so that no coordinator uses it. Raise `UsageError` if one does."""
    try:
        lock = _lock(folder)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; run the command as its owner") from error
    try:
        yield
    finally:
        os.close(lock)


def name_aside(name: str) -> str:
    """Return the name that a crawl gets when it is moved aside."""
    return f"{name}.{datetime.now(UTC).strftime('%Y%m%d-%H%M%S-%f')}"


def _move_aside(folder: Path, along: Along | None) -> tuple[Path, tuple[str, ...]]:
    """Rename a folder to an unused name beside it, after checking that no coordinator is using it, and letting `along`
    take files into it; return the name, and those of the files."""
    target = folder.with_name(name_aside(folder.name))
    try:
        lock = _lock(folder)
        try:
            moved = along(folder, target.name) if along is not None else ()
        finally:
            os.close(lock)
        folder.rename(target)
    except OSError as error:
        raise UsageError(f"cannot move {folder} aside: {error.strerror}; move it yourself") from error
    return target, moved


def _lock(folder: Path) -> int:
    """Lock a folder for this process; raise `UsageError`, which names the process that has it, if one does."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _flock(descriptor, fcntl.LOCK_EX, folder)
    except UsageError:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _flock(descriptor: int, how: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", errors="replace").strip() or "unknown"
        raise UsageError(f"{folder} is in use by the coordinator with process id {holder}: wait or stop it") from None
