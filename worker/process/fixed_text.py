"""Text of limited length at a fixed place of shared memory: its length, then its bytes."""

from __future__ import annotations

import struct
from typing import Any

_LENGTH = struct.Struct("<H")


class FixedText:
    """A place for up to `most` bytes, `start` bytes from where its record begins."""

    def __init__(self, start: int, most: int) -> None:
        self.most = most
        self.end = start + _LENGTH.size + most
        self._start = start

    def write(self, memory: Any, record: int, data: bytes) -> None:
        """Store bytes, cut to the longest length. The length is written last."""
        at, data = record + self._start, data[: self.most]
        begin = at + _LENGTH.size
        memory[begin : begin + len(data)] = data
        _LENGTH.pack_into(memory, at, len(data))

    def image(self, data: bytes) -> bytes:
        """Return what the place has when bytes are stored, to be copied there at once where nobody reads meanwhile."""
        data = data[: self.most]
        return _LENGTH.pack(len(data)) + data

    def read(self, memory: Any, record: int) -> bytes:
        """Return the bytes that are stored."""
        at = record + self._start
        (length,) = _LENGTH.unpack_from(memory, at)
        begin = at + _LENGTH.size
        return bytes(memory[begin : begin + min(length, self.most)])
