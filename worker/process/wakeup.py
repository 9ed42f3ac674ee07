"""Signals as a file descriptor that becomes readable, instead of code that interrupts.

A handler that runs between two bytecodes of the main thread may need a lock that this thread holds. So the handlers do
nothing; the interpreter writes the signal's number into a socket, and a loop reads it when it has time.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from types import TracebackType
from typing import Any


@contextmanager
def signals_blocked(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Let signals wait; a process that is started meanwhile begins with them blocked."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Signals:
    """Catches signals while it is entered, in the main thread; `fileno` becomes readable when one has come."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = tuple(numbers)
        self._reader, self._writer = socket.socketpair()
        self._before: dict[signal.Signals, Any] = {}
        self._fd_before = -1

    def __enter__(self) -> Signals:
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, lambda *_: None)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._reader.fileno()

    def take(self) -> tuple[signal.Signals, ...]:
        """Return the signals caught since the last call, in order; never wait."""
        try:
            numbers = self._reader.recv(4096)
        except BlockingIOError:
            return ()
        return tuple(signal.Signals(number) for number in numbers if number in self._numbers)

    def wait(self, timeout_s: float) -> tuple[signal.Signals, ...]:
        """Wait for a signal, for `timeout_s` at most."""
        connection.wait([self.fileno()], timeout_s)
        return self.take()
