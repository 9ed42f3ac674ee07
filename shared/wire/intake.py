"""Room for large requests: how many bytes of them a coordinator takes in at once, from all connections together.

So many connections may be inside that each of them could not have a request of the largest size. A small one needs no
room. Who waits for room does not read, so that the other side has to wait, too. First come, first served.
"""

from __future__ import annotations

import threading
from collections import deque

#: What all large requests may have together, from their first bytes to their answers.
INTAKE_BYTES = 256 * 1024 * 1024
SMALL_BYTES = 64 * 1024


class Intake:
    """The room. Safe to use from any thread."""

    def __init__(self, room_bytes: int = INTAKE_BYTES) -> None:
        self._room_bytes = room_bytes
        self._waiting: deque[tuple[int, threading.Event]] = deque()
        self._lock = threading.Lock()

    def take(self, size_bytes: int, timeout_s: float) -> None:
        """Wait until there is room for so many bytes, and take it; raise `TimeoutError` if that takes too long."""
        turn = size_bytes, threading.Event()
        with self._lock:
            self._waiting.append(turn)
            self._let_in()
        if turn[1].wait(timeout_s):
            return
        with self._lock:
            if turn not in self._waiting:
                return  # it was let in at the last moment
            self._waiting.remove(turn)
            self._let_in()  # those behind it may be smaller
        raise TimeoutError("there is no room")

    def give_back(self, size_bytes: int) -> None:
        """Let others have the room of so many bytes."""
        with self._lock:
            self._room_bytes += size_bytes
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._room_bytes:
            size_bytes, event = self._waiting.popleft()
            self._room_bytes -= size_bytes
            event.set()
