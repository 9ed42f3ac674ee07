"""Which page each parse thread has in hand, in memory that outlives a crash of the worker process.

A page that crashes a parser at once dies before its start could be told. So each parse thread notes here what it is
about to read, and the node, once the process is dead, has the next one name it in its hello. One writer for each
record and no reader while it lives, so there is no lock.
"""

from __future__ import annotations

import struct
from ctypes import c_ubyte
from multiprocessing.context import BaseContext
from typing import Any

from crawlfleet.shared.messages import TaskKey

MAX_REF_BYTES = 31

# Whether the record counts, then lease, length of the fingerprint, fingerprint. The first byte is set last.
_HELD = struct.Struct("<?")
_KEY = struct.Struct(f"<QB{MAX_REF_BYTES}s")
_RECORD_BYTES = _HELD.size + _KEY.size


class InHand:
    """A record for each parse thread of each worker of a node; travels to child processes as they start."""

    def __init__(self, context: BaseContext, workers: int, threads: int) -> None:
        self._threads = threads
        # ctypes arrays have no usable type: this one is a buffer.
        self._records: Any = context.RawArray(c_ubyte, workers * threads * _RECORD_BYTES)

    def of(self, worker: int) -> Hands:
        """Give a worker its records to write."""
        return Hands(self._records, worker * self._threads * _RECORD_BYTES)

    def left_behind(self, worker: int) -> tuple[TaskKey, ...]:
        """Return, and forget, what a dead worker had in hand."""
        hands = self.of(worker)
        return tuple(key for thread in range(self._threads) if (key := hands.empty(thread)) is not None)


class Hands:
    """One worker's records, each written by its own parse thread."""

    def __init__(self, records: Any, start: int) -> None:
        self._records = records
        self._start = start

    def take(self, thread: int, key: TaskKey) -> None:
        """Note what a thread is about to read."""
        at = self._at(thread)
        _KEY.pack_into(self._records, at + _HELD.size, key.lease_id, len(key.ref), key.ref)
        _HELD.pack_into(self._records, at, True)

    def put_down(self, thread: int) -> None:
        """Note that it has been read."""
        _HELD.pack_into(self._records, self._at(thread), False)

    def empty(self, thread: int) -> TaskKey | None:
        """Return, and forget, what a thread had in hand."""
        at = self._at(thread)
        if not _HELD.unpack_from(self._records, at)[0]:
            return None
        self.put_down(thread)
        lease_id, size, ref = _KEY.unpack_from(self._records, at + _HELD.size)
        return TaskKey(lease_id, ref[:size])

    def _at(self, thread: int) -> int:
        return self._start + thread * _RECORD_BYTES
