"""The standard streams of a command: none of them is missing, and what cannot be written ends no command.

A stream that was closed becomes /dev/null, so that no file or connection of ours gets its number. On a stream whose
disk is full, or whose reader is gone, the first failure is kept, and all that follows goes to /dev/null. Characters
that the encoding does not have are written as escapes.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class Output(io.TextIOWrapper):
    """A standard stream that is written to."""

    #: It was closed when the process began: nobody can read what is written.
    was_closed = False
    _failure: OSError | None = None

    def take_failure(self) -> OSError | None:
        """Return the first error since the last call, if there was one."""
        failure, self._failure = self._failure, None
        return failure

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._let_go(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._let_go(error)

    def _let_go(self, error: OSError) -> None:
        """What is still buffered must not fail again."""
        self._failure = self._failure or error
        lead_nowhere(self.fileno())


def lead_nowhere(descriptor: int) -> None:
    """Let a descriptor lead to /dev/null."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def make_ready() -> None:
    """Set the standard streams of this process up. Called once, before anything is opened or printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            lead_nowhere(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # for as long as the process lives
    sys.stdout = _ready(sys.stdout, 1)
    sys.stderr = _ready(sys.stderr, 2)


def _ready(stream: Any, descriptor: int) -> Output:
    if stream is None:
        raw = open(descriptor, "wb", closefd=False)  # noqa: SIM115  # for as long as the process lives
        output = Output(raw, encoding="utf-8", line_buffering=True)
        output.was_closed = True
        return output
    is_line_buffered, encoding = stream.line_buffering, stream.encoding
    return Output(stream.detach(), encoding=encoding, errors="backslashreplace", line_buffering=is_line_buffered)
