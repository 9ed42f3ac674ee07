"""Where that goes which hooks print: to standard error, since standard output belongs to the command."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

# Back to the start of the line of progress, and clear it: it comes back by itself.
OVER_PROGRESS = "\r\x1b[K"


class OverProgress(io.TextIOBase):
    """A text stream whose lines begin by clearing the line of the terminal, on which the progress may stand."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._is_at_start = True

    def write(self, text: str) -> int:
        """Write text; whole lines go out at once."""
        for line in text.splitlines(keepends=True):
            self._out.write(f"{OVER_PROGRESS}{line}" if self._is_at_start else line)
            self._is_at_start = line.endswith("\n")
        self._out.flush()
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._out.fileno()

    def isatty(self) -> bool:
        return self._out.isatty()


def print_to_stderr(*, over_progress: bool) -> None:
    """Send what this process prints to standard error, line by line; `over_progress`: a line of progress is there."""
    if sys.stdout is None or sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if over_progress and sys.stderr.isatty():
        sys.stdout = OverProgress(sys.stderr)
