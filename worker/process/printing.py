"""Where that goes which hooks print, and what a node says: to standard error. Standard output is the command's."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from crawlfleet.shared.inert import inert_lines

# Back to the start of the line of progress, and clear it: it comes back by itself.
OVER_PROGRESS = "\r\x1b[K"


class ToTerminal(io.TextIOBase):
    """A text stream to a terminal, in which what is not printable is shown as escapes: hooks print what pages say.

    Each line begins with `start`, such as `OVER_PROGRESS`.
    """

    def __init__(self, out: TextIO, start: str) -> None:
        super().__init__()
        self._out = out
        self._start = start
        self._is_at_start = True

    def write(self, text: str) -> int:
        """Write text; whole lines go out at once."""
        for line in io.StringIO(text, newline="\n"):
            self._out.write(f"{self._start if self._is_at_start else ''}{inert_lines(line)}")
            self._is_at_start = line.endswith("\n")
        self._out.flush()
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._out.fileno()

    def isatty(self) -> bool:
        return self._out.isatty()


def print_sentence(text: str) -> None:
    """Print a sentence for the user to standard error; on a terminal, over the line of progress, which comes back."""
    start = OVER_PROGRESS if sys.stderr.isatty() else ""
    print(f"{start}{inert_lines(f'crawlfleet: {text}')}", file=sys.stderr, flush=True)


def print_to_stderr(*, over_progress: bool) -> None:
    """Send what this process prints to standard error, line by line; `over_progress`: a line of progress is there."""
    if sys.stdout is None or sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if sys.stderr.isatty():
        sys.stdout = ToTerminal(sys.stderr, OVER_PROGRESS if over_progress else "")
