"""The command line on a terminal of its own, as a person sees and uses it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from pathlib import Path
from types import TracebackType

from tests.acceptance.crawls import CRAWLFLEET


class Terminal:
    """A command under a pseudo terminal; a context manager. `text` is what it has printed so far."""

    def __init__(self, folder: Path, *arguments: str | Path, columns: int = 100, rows: int = 40) -> None:
        self._screen, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self._process = subprocess.Popen(
            [*CRAWLFLEET, *map(str, arguments)],
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # one call, of no library
        )
        os.close(theirs)
        self.text = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    @property
    def pid(self) -> int:
        """The process of the command."""
        return self._process.pid

    def await_text(self, *words: str, timeout_s: float = 60) -> str:
        """Wait until all words have been printed since the last call; return what was printed since then."""
        begin, until = len(self.text), time.monotonic() + timeout_s
        while not all(word in self.text[begin:] for word in words):
            assert time.monotonic() < until, f"{words} did not come: {self.text[begin:]}"
            assert self._read(0.2) or self._process.poll() is None, f"it has ended: {self.text[begin:]}"
        return self.text[begin:]

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C: the terminal makes it a signal."""
        os.write(self._screen, b"\x03")

    def end(self, timeout_s: float = 60) -> int:
        """Wait for the end of the command; return its exit code."""
        until = time.monotonic() + timeout_s
        while self._process.poll() is None:
            assert time.monotonic() < until, f"it does not end: {self.text}"
            self._read(0.1)
        while self._read(0.0):
            pass
        return self._process.returncode

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._screen], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # all ends of the terminal are closed
            return False
        self.text += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
