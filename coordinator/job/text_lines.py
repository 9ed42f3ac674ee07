"""The lines of a text file that somebody else made: read once, from the beginning, within bounds.

UTF-8, with or without a byte order mark, or UTF-16 with one; line ends of any system; compressed with gzip or not,
whatever the file's name says. What is no text in that encoding becomes U+FFFD. It must not know what the lines mean.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import cast

MAX_LINE_CHARS = 64 * 1024
#: A file that expands to more than so many times its size, beyond so many bytes, is not read on.
MOST_EXPANDED = 200
EXPANDED_FREELY_BYTES = 64 * 1024 * 1024
LINES_PER_LOOK = 1_000
UNDECODED = "\ufffd"

_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Unreadable(Exception):
    """A file cannot be read, or not to its end. The text says why and what to do, without the file's name."""


class TextLines:
    """The lines of a file. `number` is that of the last line that was read, 0 before the first."""

    def __init__(self, path: Path) -> None:
        """Open a file; raise `Unreadable` if that is not possible, or it holds no text."""
        self.number = 0
        self._file = _opened(path)
        try:
            self._state = os.fstat(self._file.fileno())
            is_gzip = self._file.peek(2)[:2] == _GZIP
            self._data = cast("BufferedReader", gzip.GzipFile(fileobj=self._file)) if is_gzip else self._file
            head = self._data.peek(4)
            is_wide = head[:2] in _UTF_16
            if not is_wide and b"\0" in head:
                raise Unreadable("holds no text: save it as text in UTF-8")
            encoding = "utf-16" if is_wide else "utf-8-sig"
            self._text = TextIOWrapper(self._data, encoding, errors="replace", newline=None)
        except BaseException as error:
            self._file.close()
            raise _mapped(error) from error

    def __iter__(self) -> Iterator[str | None]:
        """Yield each line without its end; None for one that is too long. Raise `Unreadable` if there is no way on."""
        try:
            while line := self._text.readline(MAX_LINE_CHARS):
                self.number += 1
                if not self.number % LINES_PER_LOOK:
                    self._look()
                if line.endswith("\n"):
                    yield line[:-1]
                elif len(line) < MAX_LINE_CHARS:
                    yield line
                else:
                    yield None if self._skip_line() else line
        except (OSError, EOFError, zlib.error) as error:
            raise _mapped(error) from error

    @property
    def fraction(self) -> float:
        """How much of the file is read, from 0 to 1."""
        if self._file.closed or not self._state.st_size:
            return 1.0
        return min(1.0, self._file.tell() / self._state.st_size)

    @property
    def has_changed(self) -> bool:
        """Whether somebody has written to the file since it was opened."""
        now = os.fstat(self._file.fileno())
        return (now.st_size, now.st_mtime_ns) != (self._state.st_size, self._state.st_mtime_ns)

    def close(self) -> None:
        """Close the file."""
        self._text.close()
        self._file.close()

    def _skip_line(self) -> bool:
        """Read the rest of a line; say whether there was more than its end."""
        is_longer = False
        while (more := self._text.readline(MAX_LINE_CHARS)) and more != "\n":
            self._look()
            is_longer = True
            if more.endswith("\n"):
                break
        return is_longer

    def _look(self) -> None:
        """Refuse to go on with a file that expands too much."""
        if self._data is self._file:
            return
        expanded = self._data.tell()
        if expanded > EXPANDED_FREELY_BYTES and expanded > MOST_EXPANDED * self._file.tell():
            text = f"expands to more than {MOST_EXPANDED} times its size, as no list of addresses does: unpack it"
            raise Unreadable(text)


def _opened(path: Path) -> BufferedReader:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable("is no file: name a file of addresses, one a line, or a CSV file")
        return path.open("rb")
    except FileNotFoundError:
        raise Unreadable("is not there: paths are relative to the job file") from None
    except (OSError, ValueError) as error:
        raise _mapped(error) from error


def _mapped(error: BaseException) -> BaseException:
    if isinstance(error, EOFError):
        return Unreadable("is cut short: its gzip data end in the middle; get the file again")
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return Unreadable(f"has damaged gzip data ({error}): get the file again")
    if isinstance(error, OSError | ValueError):
        reason = getattr(error, "strerror", None) or str(error)
        return Unreadable(f"cannot be read ({reason}): check the path and its permissions")
    return error
