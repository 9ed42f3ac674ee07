"""The files on which a trial depends: whether one was changed since it was read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

# Of the modules beside a hook, which it may import.
MOST_NEIGHBOURS = 200

_Stamp = tuple[int, int, int]


class WatchedFiles:
    """Files, as they were at the beginning."""

    def __init__(self, files: Iterable[Path] = ()) -> None:
        """Look at files. Call this before they are read."""
        self._stamps = {file: _stamp(file) for file in files}

    def changed(self) -> list[Path]:
        """Return the files that are not as they were."""
        return [file for file, stamp in self._stamps.items() if _stamp(file) != stamp]


def with_neighbours(hook: Path) -> list[Path]:
    """Return a hook and the modules beside it."""
    return [hook, *islice(sorted(hook.parent.glob("*.py")), MOST_NEIGHBOURS)]


def _stamp(file: Path) -> _Stamp | None:
    """Return what changes when a file is written, or replaced; None if it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
