"""Which page each parse thread is reading, in memory that survives a crash of the worker process.

A page that crashes the parser at once does so before its start could be reported. So each parse thread records here
what it is about to read. When the process is dead, the node has the next one name these tasks in its hello. While the
process lives, its node reads here how long each page takes: a page may keep the process from ending it by itself.

Each record has one writer, except for the mark, which the thread that ends a page sets: there is no lock. A reader
compares the record's serial number before and after, so that it never takes parts of two pages for one.
"""

from __future__ import annotations

import math
import struct
from ctypes import c_ubyte
from multiprocessing.context import BaseContext
from typing import Any, NamedTuple

from msgspec.structs import replace

from crawlfleet.shared.messages import Outcome, Report, TaskKey, decode, encode
from crawlfleet.worker.process.fixed_text import FixedText

MAX_REF_BYTES = 31

# Of each worker: when it last showed that it can run Python, and its limits.
_WORKER = struct.Struct("<dddd")
# Of each parse thread. Serial number (0: no page), then lease, length of the fingerprint, fingerprint, the thread's id,
# when it began, its CPU time then, and when the page's fetch began.
_SERIAL = struct.Struct("<Q")
_PAGE = struct.Struct(f"<QB{MAX_REF_BYTES}sQddd")
_WAITED = struct.Struct("<d")
_PAGE_AT = _SERIAL.size
_WAITED_AT = _PAGE_AT + _PAGE.size
_OUTLINE = FixedText(_WAITED_AT + _WAITED.size, 1_024)
_URL = FixedText(_OUTLINE.end, 512)
# Why the page was ended: set once the report of that is on its way, or the process is about to end.
_REASON = FixedText(_URL.end, 64)
_DETAIL = FixedText(_REASON.end, 512)
_RECORD_BYTES = _DETAIL.end


class PageLimits(NamedTuple):
    """How much CPU time and how much time reading a page may take; how long the worker may be silent."""

    cpu_s: float = math.inf
    parse_time_s: float = math.inf
    lease_s: float = math.inf


class PageRecord(NamedTuple):
    """A page that a thread is reading, or was when its process died.

    `began_at` and `started_at` are of the monotonic clock, which all processes share: when the page was begun to be
    read, and when its fetch began. `outline` is a report on it, to which only the reason is missing. `reason` is empty
    unless the page was ended.
    """

    serial: int
    key: TaskKey
    thread_id: int
    began_at: float
    cpu_before_s: float
    started_at: float
    waited_s: float
    outline: Report
    url: str
    reason: str = ""
    detail: str = ""

    def report(self, now: float) -> Report:
        """Return the report on a page that was ended."""
        age_s = max(0.0, now - self.started_at)
        return replace(self.outline, reason=self.reason, detail=self.detail, age_s=age_s)


class CurrentPages:
    """A record for each parse thread of each worker of a node; it is passed to child processes at their start."""

    def __init__(self, context: BaseContext, workers: int, threads: int) -> None:
        self._threads = threads
        self._worker_bytes = _WORKER.size + threads * _RECORD_BYTES
        # ctypes arrays have no usable type: this one is a buffer.
        self._records: Any = context.RawArray(c_ubyte, workers * self._worker_bytes)

    def of(self, worker: int) -> WorkerPages:
        """Return the records that a worker writes."""
        return WorkerPages(self._records, worker * self._worker_bytes, self._threads)

    def take_all(self, worker: int) -> tuple[PageRecord, ...]:
        """Return and forget the pages that a dead worker was reading."""
        pages = self.of(worker)
        found = pages.read_all()
        pages.clear()
        return found


class WorkerPages:
    """One worker's records, each written by its own parse thread."""

    def __init__(self, records: Any, start: int, threads: int) -> None:
        self._records = memoryview(records).cast("B")
        self._start = start
        self._threads = threads
        self._serials = [0] * threads

    def set_limits(self, limits: PageLimits, now: float) -> None:
        """Record the limits of this worker's pages."""
        _WORKER.pack_into(self._records, self._start, now, *limits)

    def beat(self, now: float) -> None:
        """Record that this process can run Python now."""
        struct.pack_into("<d", self._records, self._start, now)

    def last_beat(self) -> float:
        """Return when the process last was able to run Python; 0 if it has set no limits yet."""
        beat: float = _WORKER.unpack_from(self._records, self._start)[0]
        return beat

    def limits(self) -> PageLimits:
        """Return the limits of this worker's pages."""
        return PageLimits(*_WORKER.unpack_from(self._records, self._start)[1:])

    def begin(self, thread: int, page: PageRecord) -> None:
        """Record the page that a thread is about to read."""
        at, (lease_id, ref) = self._at(thread), page.key
        values = (page.thread_id, page.began_at, page.cpu_before_s, page.started_at)
        _PAGE.pack_into(self._records, at + _PAGE_AT, lease_id, len(ref), ref, *values)
        self.note_waits(thread, 0.0)
        _OUTLINE.write(self._records, at, _encoded(page.outline))
        _URL.write(self._records, at, page.url.encode("utf-8", "replace"))
        _REASON.write(self._records, at, b"")
        self._serials[thread] += 1
        _SERIAL.pack_into(self._records, at, self._serials[thread])

    def end(self, thread: int) -> None:
        """Record that the thread has finished its task."""
        _SERIAL.pack_into(self._records, self._at(thread), 0)

    def note_waits(self, thread: int, waited_s: float) -> None:
        """Record how long a page has waited for objects of the fleet."""
        _WAITED.pack_into(self._records, self._at(thread) + _WAITED_AT, waited_s)

    def mark(self, thread: int, reason: str, detail: str) -> None:
        """Record that a thread's page was ended, and why."""
        at = self._at(thread)
        _DETAIL.write(self._records, at, detail.encode("utf-8", "replace"))
        _REASON.write(self._records, at, reason.encode())

    def read_all(self) -> tuple[PageRecord, ...]:
        """Return the pages that are being read, or were when the process died."""
        found = (self.read(thread) for thread in range(self._threads))
        return tuple(page for page in found if page is not None)

    def read(self, thread: int) -> PageRecord | None:
        """Return the page that a thread is reading, if any."""
        at = self._at(thread)
        serial: int = _SERIAL.unpack_from(self._records, at)[0]
        if not serial:
            return None
        values = _PAGE.unpack_from(self._records, at + _PAGE_AT)
        lease_id, size, ref, thread_id, began_at, cpu_before_s, started_at = values
        (waited_s,) = _WAITED.unpack_from(self._records, at + _WAITED_AT)
        texts = [part.read(self._records, at) for part in (_OUTLINE, _URL, _REASON, _DETAIL)]
        if _SERIAL.unpack_from(self._records, at)[0] != serial:
            return None
        outline, (url, reason, detail) = texts[0], (text.decode("utf-8", "replace") for text in texts[1:])
        return PageRecord(
            serial=serial,
            key=TaskKey(lease_id, ref[:size]),
            thread_id=thread_id,
            began_at=began_at,
            cpu_before_s=cpu_before_s,
            started_at=started_at,
            waited_s=waited_s,
            outline=decode(outline, Report),
            url=url,
            reason=reason,
            detail=detail if reason else "",
        )

    def clear(self) -> None:
        """Forget all of it: the process is dead."""
        for thread in range(self._threads):
            self.end(thread)
        _WORKER.pack_into(self._records, self._start, 0.0, *PageLimits())

    def _at(self, thread: int) -> int:
        return self._start + _WORKER.size + thread * _RECORD_BYTES


def outline_of(key: TaskKey, **known: Any) -> Report:
    """Return a report on a page whose reading was ended, without the reason."""
    return Report(lease=key.lease_id, ref=key.ref, outcome=Outcome.EXTRACT_ERROR, **known)


def _encoded(outline: Report) -> bytes:
    """Return a report in the form that is recorded, without what a server may have made long."""
    data = encode(outline)
    return data if len(data) <= _OUTLINE.most else encode(replace(outline, content_type="", address=""))
