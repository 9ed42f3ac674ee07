"""The queues of a durable store: PENDING tasks that may be granted (`ready`) and those that wait for a time (`later`).

A task is in one of the two. When its time has come, it is moved when its queue is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from math import inf

from crawlfleet.coordinator.core.rows import TaskRow, TaskState
from crawlfleet.coordinator.core.turn import Ready
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.durable.database import (
    LOWEST_RANK,
    Database,
    LaterEntry,
    LaterPage,
    ReadyEntry,
    ReadyPage,
)
from crawlfleet.coordinator.frontier.durable.row_cache import RowCache
from crawlfleet.coordinator.frontier.durable.windows import Entry, Heads, names_of


class Queues:
    """All queues. `waits` is how many tasks wait for a time, or more: without any, `later` is never read."""

    def __init__(self, database: Database, rows: RowCache, waits: int) -> None:
        self._database = database
        self._rows = rows
        is_empty = not database.queues("", 1)
        self._ready = Heads(ReadyPage, LOWEST_RANK, is_empty=is_empty)
        self._later = Heads(LaterPage, 0.0, is_empty=is_empty)
        self._waits = waits
        #: Whether anything has changed since the last commit began.
        self.is_changed = False

    def add(self, task: TaskRow) -> None:
        """Add a task that waits now."""
        if task.not_before > 0:
            self._later.add(task.queue, (task.not_before, task.order, task.ref))
            self._waits += 1
        else:
            self._ready.add(task.queue, (task.rank, task.order, task.ref))

    def remove(self, task: TaskRow) -> None:
        """Remove a task that no longer waits."""
        if task.not_before > 0 and self._later.remove(task.queue, task.not_before, task.order):
            self._waits -= 1
        else:
            self._ready.remove(task.queue, task.rank, task.order)

    def ready(self, limits: Mapping[str, int], now: float) -> dict[str, Ready]:
        """See the port. What is not in memory is read in one call, of all queues and both tables."""
        self._read(limits, now)
        if self._waits:
            self._ripen(limits, now)
        found = {queue: self._ready.first(queue, limit) for queue, limit in limits.items()}
        self._read_missing(chain.from_iterable(found.values()))
        tasks = self._rows.tasks
        return {
            queue: Ready(tuple([tasks[ref] for _, _, ref in first]), self._next_at(queue, len(first), limits, now))
            for queue, first in found.items()
        }

    def names(self, after: str, limit: int) -> tuple[str, ...]:
        """Return up to `limit` names of queues with tasks, in order, from the first one after `after` on."""
        found: list[str] = []
        while len(found) < limit:
            stored = self._database.queues(after, limit)
            names = {*stored, *names_of(self._ready.unwritten()), *names_of(self._later.unwritten())}
            last = stored[-1] if len(stored) == limit else None
            some = sorted(name for name in names if name > after and (last is None or name <= last))
            found += self._with_tasks(some)
            if last is None:
                break
            after = last
        return tuple(found[:limit])

    def waiting(self, limit: int) -> tuple[TaskRow, ...]:
        """Return up to `limit` tasks of any queue."""
        unwritten = list(chain(self._ready.unwritten(), self._later.unwritten()))
        stored = map(self._rows.take_task, self._database.waiting(limit + len(unwritten)))
        tasks = self._rows.tasks
        refs = dict.fromkeys(chain(stored, (ref for _, _, ref in unwritten if ref is not None and ref in tasks)))
        return tuple(tasks[ref] for ref in refs if tasks[ref].state is TaskState.PENDING)[:limit]

    def refs(self) -> Iterable[bytes]:
        """Yield the fingerprints of tasks that are read soon."""
        yield from self._ready.refs()
        yield from self._later.refs()

    def begin(self, batch: Batch) -> None:
        """Put the changes into a batch, whose commit begins."""
        batch.ready, batch.ready_gone = self._ready.begin()
        batch.later, batch.later_gone = self._later.begin()
        self.is_changed = False

    def conclude(self) -> None:
        """Note that the commit is done."""
        self._ready.conclude()
        self._later.conclude()

    def _ripen(self, queues: Collection[str], now: float) -> None:
        """Move the tasks of queues whose time has come from `later` to `ready`."""
        ripe = {queue: taken for queue in queues if (taken := self._later.take(queue, now))}
        if not ripe:
            return
        self.is_changed = True
        self._read_missing(chain.from_iterable(ripe.values()))
        for queue, taken in ripe.items():
            self._waits -= len(taken)
            for _, order, ref in taken:
                self._ready.add(queue, (self._rows.tasks[ref].rank, order, ref))

    def _next_at(self, queue: str, found: int, limits: Mapping[str, int], now: float) -> float | None:
        if found == limits[queue]:
            return now
        first = self._later.first(queue, 1) if self._waits else ()
        return first[0][0] if first else None

    def _with_tasks(self, names: Sequence[str]) -> list[str]:
        """Return those of these queues, which have had tasks, that still have any."""
        doubted = [name for name in names if self._ready.empties(name) or self._later.empties(name)]
        if not doubted:
            return list(names)
        self._read(dict.fromkeys(doubted, 1), -inf)
        waits = {name for name in doubted if self._ready.first(name, 1) or (self._waits and self._later.first(name, 1))}
        return [name for name in names if name not in doubted or name in waits]

    def _read(self, limits: Mapping[str, int], now: float) -> None:
        """Read of each queue as many tasks that may be granted, and those whose time has come, and one more."""
        ones = dict.fromkeys(limits, 1) if self._waits else {}
        while True:
            ready, later = self._ready.lacking(limits), self._later.lacking(ones, now)
            if not ready and not later:
                return
            found, waiting = self._database.heads(ready, later)
            self._ready.extend(ready, {queue: self._entries(page) for queue, page in found.items()})
            self._later.extend(later, {queue: self._entries(page) for queue, page in waiting.items()})

    def _entries(self, page: Sequence[ReadyEntry | LaterEntry]) -> list[Entry]:
        known, take = self._rows.by_id, self._rows.take_task
        return [(by, order, known[order] if order in known else take(row)) for by, order, row in page]

    def _read_missing(self, entries: Iterable[Entry]) -> None:
        """Read the rows of tasks that are not in memory any more."""
        tasks = self._rows.tasks
        missing = [order for _, order, ref in entries if ref not in tasks]
        if missing:
            for row in self._database.tasks(missing):
                self._rows.take_task(row)
