"""How long the operations on a socket may take: some seconds in all, or some seconds of silence."""

from __future__ import annotations

import socket
import time

# A deadline is met but for this factor of the time that is left: setting a timeout costs a system call.
_TOLERANCE = 1.01


class Deadline:
    """The deadline of one socket. It belongs to the thread that uses the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._at: float | None = None
        self._silence_s: float | None = None
        # The socket's own timeout.
        self._armed_s: float | None = None

    def begin(self, seconds: float | None, *, of_silence: bool = False) -> None:
        """Allow `seconds` from now, or from when bytes came or went last; None removes the limit."""
        if seconds is None:
            self._sock.settimeout(None)
            self._armed_s = None
        self._at = None if seconds is None else time.monotonic() + seconds
        self._silence_s = seconds if of_silence else None

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self._at is not None and self._at <= time.monotonic()

    def note_progress(self) -> None:
        """Note that bytes have come or gone."""
        if self._silence_s is not None:
            self._at = time.monotonic() + self._silence_s

    def arm(self) -> None:
        """Let the socket's next operation take no more than what is left; raise `TimeoutError` if nothing is."""
        if self._at is None:
            return
        left_s = self._at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no answer in time")
        if self._armed_s is None or not left_s <= self._armed_s <= _TOLERANCE * left_s:
            self._sock.settimeout(left_s)
            self._armed_s = left_s
