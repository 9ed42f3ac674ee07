"""Which page each parse thread is reading, in memory that survives a crash of the worker process.

A page that crashes the parser at once does so before its start could be reported. So each parse thread records here
what it is about to read. When the process is dead, the node has the next one name these tasks in its hello. Each record
has one writer, and no reader while the writer lives, so there is no lock.
"""

from __future__ import annotations

import struct
from ctypes import c_ubyte
from multiprocessing.context import BaseContext
from typing import Any

from crawlfleet.shared.messages import TaskKey

MAX_REF_BYTES = 31

# Whether the record counts, then lease, length of the fingerprint, fingerprint. The first byte is set last.
_COUNTS = struct.Struct("<?")
_KEY = struct.Struct(f"<QB{MAX_REF_BYTES}s")
_RECORD_BYTES = _COUNTS.size + _KEY.size


class CurrentPages:
    """A record for each parse thread of each worker of a node; it is passed to child processes at their start."""

    def __init__(self, context: BaseContext, workers: int, threads: int) -> None:
        self._threads = threads
        # ctypes arrays have no usable type: this one is a buffer.
        self._records: Any = context.RawArray(c_ubyte, workers * threads * _RECORD_BYTES)

    def of(self, worker: int) -> WorkerPages:
        """Return the records that a worker writes."""
        return WorkerPages(self._records, worker * self._threads * _RECORD_BYTES)

    def take_all(self, worker: int) -> tuple[TaskKey, ...]:
        """Return and forget the tasks that a dead worker was reading."""
        pages = self.of(worker)
        return tuple(key for thread in range(self._threads) if (key := pages.take(thread)) is not None)


class WorkerPages:
    """One worker's records, each written by its own parse thread."""

    def __init__(self, records: Any, start: int) -> None:
        self._records = records
        self._start = start

    def begin(self, thread: int, key: TaskKey) -> None:
        """Record the task that a thread is about to read."""
        at = self._at(thread)
        _KEY.pack_into(self._records, at + _COUNTS.size, key.lease_id, len(key.ref), key.ref)
        _COUNTS.pack_into(self._records, at, True)

    def end(self, thread: int) -> None:
        """Record that the thread has finished its task."""
        _COUNTS.pack_into(self._records, self._at(thread), False)

    def take(self, thread: int) -> TaskKey | None:
        """Return and forget the task that a thread was reading."""
        at = self._at(thread)
        if not _COUNTS.unpack_from(self._records, at)[0]:
            return None
        self.end(thread)
        lease_id, size, ref = _KEY.unpack_from(self._records, at + _COUNTS.size)
        return TaskKey(lease_id, ref[:size])

    def _at(self, thread: int) -> int:
        return self._start + thread * _RECORD_BYTES
