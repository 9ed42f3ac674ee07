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

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder
from msgspec.structs import replace

from crawlfleet.shared.messages import Outcome, Report, TaskKey
from crawlfleet.worker.process.fixed_text import FixedText

# Of each worker: when it last showed that it can run Python, and its limits.
_WORKER = struct.Struct("<dddd")
# Of each parse thread: the serial number (0: no page), how long it has waited, the page.
_SERIAL = struct.Struct("<Q")
_WAITED = struct.Struct("<d")
_WAITED_AT = _SERIAL.size
_PAGE = FixedText(_WAITED_AT + _WAITED.size, 2_400)
# Why the page was ended: set once the report of that is on its way, or the process is about to end.
_REASON = FixedText(_PAGE.end, 64)
_DETAIL = FixedText(_REASON.end, 512)
_RECORD_BYTES = _DETAIL.end
_NO_WAIT = _WAITED.pack(0.0)
MAX_URL_CHARS = 512


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


class _Page(Struct, frozen=True, array_like=True, gc=False):
    """A page as it is recorded: every page is, so only with what its outline can have."""

    lease_id: int
    ref: bytes
    thread_id: int
    began_at: float
    cpu_before_s: float
    started_at: float
    url: str
    gap_s: float | None
    status: int
    elapsed_s: float
    lookup_s: float
    size_bytes: int
    address: str
    content_type: str

    @property
    def outline(self) -> Report:
        return outline_of(
            TaskKey(self.lease_id, self.ref),
            gap_s=self.gap_s,
            status=self.status,
            elapsed_s=self.elapsed_s,
            lookup_s=self.lookup_s,
            size_bytes=self.size_bytes,
            address=self.address,
            content_type=self.content_type,
        )


_encode = Encoder().encode
_decode = Decoder(_Page).decode


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
        self._marked: set[int] = set()

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
        at, data = self._at(thread), _NO_WAIT + _PAGE.image(_encoded(page))
        if thread in self._marked:
            self._marked.discard(thread)
            _REASON.write(self._records, at, b"")
        self._records[at + _WAITED_AT : at + _WAITED_AT + len(data)] = data
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
        self._marked.add(thread)
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
        (waited_s,) = _WAITED.unpack_from(self._records, at + _WAITED_AT)
        data, *texts = (part.read(self._records, at) for part in (_PAGE, _REASON, _DETAIL))
        if _SERIAL.unpack_from(self._records, at)[0] != serial:
            return None
        page, (reason, detail) = _decode(data), (text.decode("utf-8", "replace") for text in texts)
        return PageRecord(
            serial=serial,
            key=TaskKey(page.lease_id, page.ref),
            thread_id=page.thread_id,
            began_at=page.began_at,
            cpu_before_s=page.cpu_before_s,
            started_at=page.started_at,
            waited_s=waited_s,
            outline=page.outline,
            url=page.url,
            reason=reason,
            detail=detail if reason else "",
        )

    def clear(self) -> None:
        """Forget all of it: the process is dead."""
        for thread in range(self._threads):
            self.end(thread)
            _REASON.write(self._records, self._at(thread), b"")
        _WORKER.pack_into(self._records, self._start, 0.0, *PageLimits())

    def _at(self, thread: int) -> int:
        return self._start + _WORKER.size + thread * _RECORD_BYTES


def outline_of(key: TaskKey, **known: Any) -> Report:
    """Return a report on a page whose reading was ended, without the reason."""
    return Report(lease=key.lease_id, ref=key.ref, outcome=Outcome.EXTRACT_ERROR, **known)


def _encoded(page: PageRecord) -> bytes:
    """Return a page in the form that is recorded, without what a server may have made long."""
    (lease_id, ref), outline, url = page.key, page.outline, page.url[:MAX_URL_CHARS]
    times = (page.thread_id, page.began_at, page.cpu_before_s, page.started_at)
    numbers = (outline.gap_s, outline.status, outline.elapsed_s, outline.lookup_s, outline.size_bytes)
    data = _encode((lease_id, ref, *times, url, *numbers, outline.address, outline.content_type))
    return data if len(data) <= _PAGE.most else _encode((lease_id, ref, *times, url, *numbers, "", ""))
