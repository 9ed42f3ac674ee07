"""Live counters of a node's workers, in memory shared with the node.

Each worker process owns one row and is its only writer, from one thread, so there is no lock: a reader may see one
number a moment before another. A restarted worker continues its predecessor's row.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_uint64
from dataclasses import astuple, dataclass, fields
from multiprocessing.context import BaseContext
from typing import Any

from crawlfleet.shared.messages import Outcome, Report

_GOOD = frozenset({Outcome.FETCHED, Outcome.NOT_MODIFIED, Outcome.REDIRECTED})


@dataclass(frozen=True, slots=True)
class Figures:
    """Attempts that succeeded and failed, bytes read, and how many tasks run, wait and are parsed now."""

    fetched: int = 0
    failed: int = 0
    size_bytes: int = 0
    running: int = 0
    waiting: int = 0
    parsing: int = 0


_WIDTH = len(fields(Figures))
_FETCHED, _FAILED, _SIZE_BYTES, _RUNNING, _WAITING, _PARSING = range(_WIDTH)


class NodeCounters:
    """One row of figures for each worker of a node; it is passed to child processes at their start."""

    def __init__(self, context: BaseContext, workers: int) -> None:
        self.workers = workers
        # ctypes arrays have no usable type: reading an item gives an int.
        self._cells: Any = context.RawArray(c_uint64, workers * _WIDTH)

    def of(self, worker: int) -> WorkerCounters:
        """Return the row that a worker writes."""
        return WorkerCounters(self._cells, worker * _WIDTH)

    def read(self, worker: int) -> Figures:
        """Return the figures in one worker's row."""
        start = worker * _WIDTH
        return Figures(*self._cells[start : start + _WIDTH])

    def total(self) -> Figures:
        """Return the sum of all rows."""
        rows = (astuple(self.read(worker)) for worker in range(self.workers))
        return Figures(*(sum(column) for column in zip(*rows, strict=True)))


class WorkerCounters:
    """One worker's row, written from its control thread; `parsing` returns how many pages are being parsed."""

    def __init__(self, cells: Any, start: int) -> None:
        self._cells = cells
        self._start = start
        self.parsing: Callable[[], int] = lambda: 0

    def count(self, report: Report) -> None:
        """Count an attempt that ended."""
        self._cells[self._start + (_FETCHED if report.outcome in _GOOD else _FAILED)] += 1
        self._cells[self._start + _SIZE_BYTES] += report.size_bytes

    def show(self, *, running: int, waiting: int) -> None:
        """Set how many tasks run, and how many wait for their start."""
        self._cells[self._start + _RUNNING] = running
        self._cells[self._start + _WAITING] = waiting
        self._cells[self._start + _PARSING] = self.parsing()
