"""Pipe: a connection between two programs of the fleet."""

from __future__ import annotations

import os
from functools import partial
from multiprocessing import BufferTooShort
from types import TracebackType
from typing import Any, Self

from crawlfleet.shared.wire.values import decode, encode
from crawlfleet.worker.talk.objects.base import SharedObject, Source, limit_s

#: How often this process has forked.
_forks = 0


def _after_fork(*, is_child: bool) -> None:
    global _forks
    _forks = 0 if is_child else _forks + 1


os.register_at_fork(
    after_in_parent=partial(_after_fork, is_child=False), after_in_child=partial(_after_fork, is_child=True)
)


class PipeEnd(SharedObject):
    """One end of a pipe, as `multiprocessing.connection.Connection`: any thread may use it.

    A process that inherits it by a fork, or that is started with it as an argument, may use it too; it is closed when
    all have closed it or are gone.
    """

    kind = "Pipe"

    def __init__(self, source: Source, name: str, duplex: bool) -> None:
        """Open an end of the pipe: the first one or the second."""
        self._opened_in = (os.getpid(), _forks)
        super().__init__(source, name, duplex)
        self._end: tuple[int, int] = tuple(self._opened)
        self._readable = duplex or self._end[1] == 0
        self._writable = duplex or self._end[1] == 1
        self._is_closed = False

    @property
    def closed(self) -> bool:
        """Whether `close` was called here."""
        return self._is_closed

    @property
    def readable(self) -> bool:
        """Whether the end receives."""
        return self._readable

    @property
    def writable(self) -> bool:
        """Whether the end sends."""
        return self._writable

    def send(self, obj: Any) -> None:
        """Send a value; wait while too much of what was sent has not been received.

        Raise `BrokenPipeError` if the other end is closed.
        """
        self._check_writable()
        self._send(encode(obj))

    def recv(self) -> Any:
        """Wait for a value and return it; raise `EOFError` if the other end is closed and all has been received."""
        return decode(self.recv_bytes())

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Return whether there is something to receive (or the other end is closed), as soon as there is."""
        self._check_readable()
        limit = limit_s(timeout)
        if limit == 0:
            is_ready: bool = self._read("ready", *self._end)
        else:
            is_ready = self._call("poll", *self._end, timeout_s=limit)
        return is_ready

    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> None:
        """Send bytes of an object like bytes: see `send`."""
        self._check_writable()
        with memoryview(buf) as whole, whole.cast("B") as view:
            if offset < 0:
                raise ValueError("offset is negative")
            if view.nbytes < offset:
                raise ValueError("buffer length < offset")
            if size is None:
                size = view.nbytes - offset
            elif size < 0:
                raise ValueError("size is negative")
            elif offset + size > view.nbytes:
                raise ValueError("buffer length < offset + size")
            self._send(bytes(view[offset : offset + size]))

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Wait for a message and return it; see `recv`.

        If it has more than `maxlength` bytes it is lost, the end receives nothing more, and `OSError` is raised.
        """
        self._check_readable()
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        message: bytes
        _index, _place, message = self._call("recv", *self._end, timeout_s=None)
        if maxlength is not None and len(message) > maxlength:
            self._readable = False
            if not self._writable:
                self.close()
            raise OSError("bad message length")
        return message

    def recv_bytes_into(self, buf: Any, offset: int = 0) -> int:
        """Wait for a message and write it into a buffer; return its length.

        Raise `multiprocessing.BufferTooShort`, with the message, if it does not fit.
        """
        self._check_readable()
        with memoryview(buf) as whole, whole.cast("B") as view:
            if offset < 0:
                raise ValueError("negative offset")
            if offset > view.nbytes:
                raise ValueError("offset too large")
            message = self.recv_bytes()
            if offset + len(message) > view.nbytes:
                raise BufferTooShort(message)
            view[offset : offset + len(message)] = message
            return len(message)

    def close(self) -> None:
        """Close the end here. If this process has forked meanwhile, the forked process still has it."""
        if not self._is_closed:
            self._is_closed = True
            pid, forks = self._opened_in
            has_forked = _forks > (forks if pid == os.getpid() else 0)
            try:
                self._call("close", *self._end, has_forked)
            except BaseException:
                self._is_closed = False  # it may be open still; to close it again does no harm
                raise

    def __reduce__(self) -> tuple[Any, ...]:
        reduced = super().__reduce__()
        self._check_open()
        self._call("pass_on", *self._end)
        return reduced

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: bytes) -> None:
        self._call("send", *self._end, message, timeout_s=None)

    def _check_open(self) -> None:
        if self._is_closed:
            raise OSError("handle is closed")

    def _check_readable(self) -> None:
        self._check_open()
        if not self._readable:
            raise OSError("connection is write-only")

    def _check_writable(self) -> None:
        self._check_open()
        if not self._writable:
            raise OSError("connection is read-only")
