"""A store in memory: dicts behind the port. Its contents end with its process."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from heapq import heappop, heappush, nsmallest
from itertools import filterfalse
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.core.changes import Change, Gone, Put, Recorded, TaskMoved
from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.rows import (
    HostRow,
    LeaseRow,
    LedgerRow,
    R,
    RemovableRow,
    ResidentRow,
    Result,
    StoreRow,
    TaskRow,
    TaskState,
)
from crawlfleet.coordinator.core.turn import F, Ready
from crawlfleet.coordinator.frontier.due_hosts import DueHosts
from crawlfleet.coordinator.frontier.families import Families
from crawlfleet.coordinator.frontier.port import WITH_VERDICTS, Conclusion, Mark
from crawlfleet.coordinator.frontier.versions import check_versions
from crawlfleet.shared.messages import Kind


class MemoryStore:
    """The port over dicts. Queues and the index of due hosts are heaps with lazy deletion."""

    def __init__(self) -> None:
        self._ledger = LedgerRow()
        self._rows: dict[type[StoreRow], dict[Any, Any]] = {kind: {} for kind in KINDS}
        self._tasks: dict[bytes, TaskRow] = self._rows[TaskRow]
        self._hosts: dict[str, HostRow] = self._rows[HostRow]
        self._families: dict[type[StoreRow], Families] = {
            kind: Families() for kind in KINDS if issubclass(kind, ResidentRow)
        }
        self._born: list[bytes] = []
        self._counts: Counter[tuple[Kind, TaskState]] = Counter()
        self._verdicts: dict[Kind, Counter[tuple[TaskState, str]]] = {kind: Counter() for kind in WITH_VERDICTS}
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._queued: Counter[str] = Counter()
        self._pending: dict[bytes, None] = {}
        self._due = DueHosts()
        # The results since the last commit began, and those of the one under way.
        self._applied: list[Result] = []
        self._under_way: list[Result] | None = None
        self._is_changed = False
        self._results: list[Result] = []
        self._place: dict[bytes, int] = {}
        self._kept: dict[str, bytes] = {}
        self.epoch = time.time_ns()  # larger than that of any store before it
        self.opened_at = 0.0
        self.commit_number = 0

    def ledger(self) -> LedgerRow:
        return self._ledger

    def rows(self, kind: type[R], keys: Collection[Any]) -> dict[Any, R]:
        rows = self._rows[kind]
        return {key: rows[key] for key in keys if key in rows}

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        return {ref: self._tasks[ref].depth for ref in refs if ref in self._tasks}

    def strangers(self, refs: Set[bytes]) -> Set[bytes]:
        return set(filterfalse(self._tasks.__contains__, refs))

    def leases_of(self, session: str) -> tuple[LeaseRow, ...]:
        return tuple(self.family(LeaseRow, session))

    def resident(self, kind: type[F]) -> Collection[F]:
        return self._rows[kind].values()

    def family(self, kind: type[F], family: Any, after: int = -1, *, backwards: bool = False) -> Iterator[F]:
        return self._families[kind].rows(self._rows[kind], family, after, backwards)

    def due(self, now: float, limit: int) -> tuple[HostRow, ...]:
        return self._due.due(self._hosts, now, limit)

    def hosts_of(self, unit: str, limit: int) -> tuple[HostRow, ...]:
        return self._due.hosts_of(self._hosts, unit, limit)

    def next_due_at(self) -> float | None:
        return self._due.next_at(self._hosts)

    def ready(self, limits: Mapping[str, int], now: float) -> dict[str, Ready]:
        return {queue: self._ready(queue, limit, now) for queue, limit in limits.items()}

    def queues(self, after: str, limit: int) -> tuple[str, ...]:
        return tuple(nsmallest(limit, (queue for queue in self._queued if queue > after)))

    def waiting(self, limit: int) -> tuple[TaskRow, ...]:
        refs = (ref for ref, _ in zip(self._pending, range(limit), strict=False))
        return tuple(self._tasks[ref] for ref in refs)

    def walk(self, after: int, limit: int) -> tuple[TaskRow, ...]:
        first = bisect_right(self._born, after, key=lambda ref: self._tasks[ref].order)
        return tuple(self._tasks[ref] for ref in self._born[first : first + limit])

    def counts(self) -> dict[tuple[Kind, TaskState], int]:
        return dict(self._counts)

    def verdicts(self, kind: Kind = Kind.PAGE) -> dict[tuple[TaskState, str], int]:
        return {key: number for key, number in self._verdicts[kind].items() if number}

    def apply(self, changes: Sequence[Change]) -> None:
        check_versions(changes, self._rows, self._ledger)
        for change in changes:
            self._is_changed = True
            match change:
                case TaskMoved(task=task):
                    self._move(task)
                case Put(row=row):
                    self._put(row)
                case Gone(row=row):
                    self._remove(row)
                case Recorded(result=result):
                    self._applied.append(result)

    def kept(self, key: str) -> bytes | None:
        return self._kept.get(key)

    def keep(self, key: str, value: bytes) -> None:
        self._kept[key] = value

    def open_marks(self) -> MemoryMarks:
        return MemoryMarks()

    def close(self) -> None:
        pass

    def is_surely_owned(self) -> bool:
        return True

    def hurry(self) -> None:
        pass

    def standing_by(self) -> tuple[str, ...]:
        return ()

    def commit(self, now: float, ended: Callable[[], None]) -> None:  # noqa: ARG002  # nothing outlasts the process
        assert self._under_way is None, "a commit begins while another one is under way"
        if self._is_changed:
            self._under_way, self._applied, self._is_changed = self._applied, [], False
        ended()

    def conclude(self) -> Conclusion | None:
        if self._under_way is not None:
            for result in self._under_way:
                self._results.append(result)
                # Last: another thread may look the result up at any time.
                self._place[result.ref] = len(self._results) - 1
            self._under_way = None
            self.commit_number += 1
        return Conclusion.DONE

    def results(self, cursor: int, limit: int) -> Sequence[Result]:
        return self._results[cursor : cursor + limit]

    def result(self, ref: bytes) -> Result | None:
        place = self._place.get(ref)
        return None if place is None else self._results[place]

    def result_count(self) -> int:
        return len(self._results)

    def _ready(self, queue: str, limit: int, now: float) -> Ready:
        waiting = self._queues.get(queue)
        return waiting.ready(self._tasks, now, limit) if waiting is not None else Ready((), None)

    def _move(self, task: TaskRow) -> None:
        before = self._tasks.get(task.ref)
        self._tasks[task.ref] = task
        if before is None:
            self._born.append(task.ref)
        for row, step in ((before, -1), (task, 1)):
            if row is not None and row.state is TaskState.PENDING:
                self._queued[row.queue] += step
                if not self._queued[row.queue]:
                    del self._queued[row.queue]
            if row is not None:
                self._counts[row.kind, row.state] += step
            if row is not None and row.kind in WITH_VERDICTS:
                self._verdicts[row.kind][row.state, row.verdict] += step
        if task.state is TaskState.PENDING:
            self._pending[task.ref] = None
            self._queues[task.queue].push(task)
        else:
            self._pending.pop(task.ref, None)

    def _put(self, row: StoreRow) -> None:
        if isinstance(row, LedgerRow):
            self._ledger = row
            return
        if isinstance(row, HostRow):
            self._due.note(row, self._hosts.get(row.key))
        elif isinstance(row, ResidentRow):
            self._families[type(row)].put(row, self._rows[type(row)].get(row.key))
        self._rows[type(row)][row.key] = row

    def _remove(self, row: RemovableRow) -> None:
        kind = type(row)
        if isinstance(row, ResidentRow):
            self._families[kind].remove(row)
        del self._rows[kind][row.key]


class MemoryMarks:
    """The marks of sinks, for as long as the process lives."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}

    def get(self, sink: str) -> Mark | None:
        return self._marks.get(sink)

    def set(self, sink: str, mark: Mark) -> None:
        self._marks[sink] = mark

    def close(self) -> None:
        pass


class _Queue:
    """PENDING tasks by rank and order; those that wait for a time, by that time."""

    def __init__(self) -> None:
        self._now: list[tuple[int, int, int, bytes]] = []
        self._later: list[tuple[float, int, bytes]] = []

    def push(self, task: TaskRow) -> None:
        if task.not_before > 0:
            heappush(self._later, (task.not_before, task.version, task.ref))
        else:
            heappush(self._now, (task.rank, task.order, task.version, task.ref))

    def ready(self, tasks: Mapping[bytes, TaskRow], now: float, limit: int) -> Ready:
        self._ripen(tasks, now)
        found: list[tuple[int, int, int, bytes]] = []
        while self._now and len(found) < limit:
            entry = heappop(self._now)
            if _waits(tasks[entry[3]], entry[2]):
                found.append(entry)
        for entry in found:
            heappush(self._now, entry)
        next_at = now if len(found) == limit else self._next_at(tasks)
        return Ready(tuple(tasks[entry[3]] for entry in found), next_at)

    def _ripen(self, tasks: Mapping[bytes, TaskRow], now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, version, ref = heappop(self._later)
            task = tasks[ref]
            if _waits(task, version):
                heappush(self._now, (task.rank, task.order, version, ref))

    def _next_at(self, tasks: Mapping[bytes, TaskRow]) -> float | None:
        while self._later and not _waits(tasks[self._later[0][2]], self._later[0][1]):
            heappop(self._later)
        return self._later[0][0] if self._later else None


def _waits(task: TaskRow, version: int) -> bool:
    return task.state is TaskState.PENDING and task.version == version


def open_store(folder: Path, *, power: bool) -> MemoryStore:  # noqa: ARG001  # it stores nothing in the folder
    """Create a store."""
    return MemoryStore()
