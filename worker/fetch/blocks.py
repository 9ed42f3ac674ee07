"""The blocks of a body as they come: counted, and freed at once, in whatever thread, if the body is broken off."""

from __future__ import annotations

import socket
from contextlib import suppress

from crawlfleet.worker.fetch.port import Counted


class Blocks:
    """The decoded blocks of the body that comes over a connection, and the sum of their sizes."""

    def __init__(self, counted: Counted | None, sock: socket.socket) -> None:
        self.size = 0
        self._blocks: list[bytes] = []
        self._counted = counted
        self._sock = sock
        if counted is not None:
            counted.on_break = self._break_off

    def add(self, block: bytes) -> bool:
        """Add a block; False if the body is broken off."""
        self._blocks.append(block)
        self.size += len(block)
        return self._counted is None or self._counted.grow(len(block))

    def whole(self) -> bytes:
        """Return all that has come. It is broken off no more."""
        if self._counted is not None:
            self._counted.whole()
        return self._blocks[0] if len(self._blocks) == 1 else b"".join(self._blocks)

    def _break_off(self) -> None:
        """Free the blocks, and end the connection of the thread that reads it; over TLS, too, without a farewell."""
        self._blocks.clear()
        with suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
