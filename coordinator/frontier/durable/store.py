"""A durable store over a database: what a crawl needs often is in memory, and a commit writes one batch.

Rows are msgpack. Changed rows stay in memory until a commit has written them, so a row that is granted and settled
between two commits is written once. The caches are cut back after a commit, so memory is proportional to the active
hosts. A grant writes the lease's row only: it implies that its tasks are LEASED.

While a commit is under way, a database may have its changes or not. So everything that it changes stays in memory until
it is concluded, and what is read of the database counts only where nothing newer is in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import filterfalse
from typing import Any

import msgspec

from crawlfleet.coordinator.core.changes import Change, Gone, Put, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.rows import (
    HostRow,
    LeaseRow,
    LedgerRow,
    R,
    RemovableRow,
    ResidentRow,
    Result,
    TaskRow,
    TaskState,
)
from crawlfleet.coordinator.core.turn import F, Ready
from crawlfleet.coordinator.frontier.durable.batch import COUNTS, LEDGER, Batch, kept_key, verdicts_key
from crawlfleet.coordinator.frontier.durable.database import Database
from crawlfleet.coordinator.frontier.durable.logs import Logs
from crawlfleet.coordinator.frontier.durable.queues import Queues
from crawlfleet.coordinator.frontier.durable.recent_results import RecentResults
from crawlfleet.coordinator.frontier.durable.row_cache import RowCache
from crawlfleet.coordinator.frontier.port import WITH_VERDICTS, Conclusion, Marks
from crawlfleet.coordinator.frontier.versions import check_versions
from crawlfleet.shared.messages import Kind

PENDING = TaskState.PENDING
LEASES_PER_EPOCH = 10**9
_VERDICTS = {kind: verdicts_key(kind) for kind in WITH_VERDICTS}

_encode = msgspec.msgpack.Encoder().encode
_ledger = msgspec.msgpack.Decoder(LedgerRow).decode


class DurableStore:
    """The port over a database. Raises what the database does: `UsageError` if it is damaged or of another format,
    `CrawlFailed` if it cannot be written. If it cannot be opened, it is closed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = RowCache()
        # What was applied or kept since the last commit began, and what the one under way has of it.
        self._is_changed = self._is_under_way = False
        self._number_under_way = 0
        self._kept: dict[str, bytes] = {}
        self._kept_under_way: dict[str, bytes] = {}
        try:
            self._load()
        except BaseException:
            database.close()
            raise

    @property
    def epoch(self) -> int:
        """The number of this incarnation: one more than that of the last."""
        return self._epoch

    @property
    def opened_at(self) -> float:
        """Crawl time at which the store was opened."""
        return self._opened_at

    @property
    def commit_number(self) -> int:
        """The number of the last commit that is DONE."""
        return self._commit_number

    def kept(self, key: str) -> bytes | None:
        """Return a value that was kept besides the rows."""
        for kept in (self._kept, self._kept_under_way):
            if key in kept:
                return kept[key]
        return self._database.kept(key)

    def keep(self, key: str, value: bytes) -> None:
        """Keep a value besides the rows, at once unless changes wait for a commit, or one is under way."""
        if self._is_to_commit or self._is_under_way:
            self._kept[key] = value
            self._is_changed = True
        else:
            self._database.keep(key, value)

    def open_marks(self) -> Marks:
        """Open the marks of the crawl's sinks, which are committed independently of the frontier."""
        return self._database.open_marks()

    def standing_by(self) -> tuple[str, ...]:
        """Return the addresses of coordinators that wait for the crawl; see `port.Company`."""
        return self._database.standing_by()

    def hurry(self) -> None:
        self._database.hurry()

    def close(self) -> None:
        """Close the database; uncommitted changes are lost."""
        self._database.close()

    def is_surely_owned(self) -> bool:
        return self._database.is_surely_owned()

    def ledger(self) -> LedgerRow:
        return self._rows.ledger

    def rows(self, kind: type[R], keys: Collection[Any]) -> dict[Any, R]:
        cache: dict[Any, R] = self._rows.rows[kind]
        missing = () if issubclass(kind, ResidentRow) else self._missing(kind, keys)
        if missing:
            for row in self._database.rows(kind, missing):
                self._rows.keep(kind, row)
        return {key: cache[key] for key in keys if key in cache}

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        known = self._rows.depths
        self._read_depths([ref for ref in refs if ref not in known])
        return {ref: known[ref] for ref in refs if ref in known}

    def strangers(self, refs: Set[bytes]) -> Set[bytes]:
        missing = list(filterfalse(self._rows.depths.__contains__, refs))
        self._read_depths(missing)
        return set(filterfalse(self._rows.depths.__contains__, missing))

    def leases_of(self, session: str) -> tuple[LeaseRow, ...]:
        return tuple(self.family(LeaseRow, session))

    def resident(self, kind: type[F]) -> Collection[F]:
        return self._rows.rows[kind].values()

    def family(self, kind: type[F], family: Any, after: int = -1, *, backwards: bool = False) -> Iterator[F]:
        return self._rows.families[kind].rows(self._rows.rows[kind], family, after, backwards)

    def due(self, now: float, limit: int) -> tuple[HostRow, ...]:
        return self._rows.due.due(self._rows.hosts, now, limit)

    def hosts_of(self, unit: str, limit: int) -> tuple[HostRow, ...]:
        return self._rows.due.hosts_of(self._rows.hosts, unit, limit)

    def next_due_at(self) -> float | None:
        return self._rows.due.next_at(self._rows.hosts)

    def ready(self, limits: Mapping[str, int], now: float) -> dict[str, Ready]:
        return self._queues.ready(limits, now)

    def queues(self, after: str, limit: int) -> tuple[str, ...]:
        return self._queues.names(after, limit)

    def waiting(self, limit: int) -> tuple[TaskRow, ...]:
        return self._queues.waiting(limit)

    def walk(self, after: int, limit: int) -> tuple[TaskRow, ...]:
        stored = map(self._rows.take_task, self._database.walk(after, limit))
        tasks = {ref: self._rows.tasks[ref] for ref in (*stored, *self._rows.unwritten_births())}
        return tuple(sorted((task for task in tasks.values() if task.order > after), key=_order)[:limit])

    def counts(self) -> dict[tuple[Kind, TaskState], int]:
        return dict(self._counts)

    def verdicts(self, kind: Kind = Kind.PAGE) -> dict[tuple[TaskState, str], int]:
        return {key: number for key, number in self._verdicts[kind].items() if number}

    def apply(self, changes: Sequence[Change]) -> None:
        check_versions(changes, self._rows.rows, self._rows.ledger)
        for change in changes:
            # Not by `match`, which takes long for such classes: there are many changes.
            if type(change) is TaskMoved:
                self._move(change)
            elif type(change) is Put:
                self._rows.put(change.row)
            elif type(change) is Gone:
                self._rows.remove(change.row)
            else:
                self._logs.take(change, self._rows.tasks)
            self._is_changed = True

    def commit(self, now: float, ended: Callable[[], None]) -> None:
        assert not self._is_under_way, "a commit begins while another one is under way"
        if not self._is_to_commit and self.is_surely_owned():
            ended()
            return
        self._is_under_way = True
        self._database.begin(self._batch(now), ended)

    def conclude(self) -> Conclusion | None:
        if not self._is_under_way:
            return Conclusion.DONE
        conclusion = self._database.conclude()
        if conclusion is Conclusion.DONE:
            self._is_under_way = False
            self._commit_number = self._number_under_way
            self._kept_under_way = {}
            self._results.committed(self._logs.conclude())
            self._rows.conclude(self._queues.refs())
            self._queues.conclude()
        return conclusion

    def results(self, cursor: int, limit: int) -> Sequence[Result]:
        return self._results.read(cursor, limit)

    def result(self, ref: bytes) -> Result | None:
        return self._results.find(ref)

    def result_count(self) -> int:
        return self._results.count

    def _load(self) -> None:
        loaded = self._database.load()
        self._epoch, self._opened_at, self._commit_number = loaded.epoch, loaded.opened_at, loaded.commit_number
        meta = loaded.meta
        ledger = self._written_ledger = _ledger(meta[LEDGER]) if LEDGER in meta else LedgerRow()
        # The leases of this incarnation get numbers that no other one uses.
        first = (self._epoch - 1) * LEASES_PER_EPOCH + 1
        self._rows.ledger = msgspec.structs.replace(ledger, next_lease=max(ledger.next_lease, first))
        counts = msgspec.msgpack.decode(meta[COUNTS]) if COUNTS in meta else []
        self._counts = Counter({(Kind(kind), TaskState(state)): number for kind, state, number in counts})
        self._verdicts = {kind: _verdicts_in(meta.get(key)) for kind, key in _VERDICTS.items()}
        for kind, rows in loaded.rows.items():
            self._rows.load(kind, rows)
        leased = [ref for lease in self._rows.leases.values() for ref in lease.refs]
        if leased:
            self._rows.load_leased(self._database.rows(TaskRow, leased))
        self._logs = Logs(loaded.results)
        self._results = RecentResults(self._database, loaded.results)
        self._queues = Queues(self._database, self._rows, loaded.later)

    @property
    def _is_to_commit(self) -> bool:
        return self._is_changed or self._queues.is_changed

    def _batch(self, now: float) -> Batch:
        """Return what was changed since the last commit began, maybe nothing; what changes from now on belongs to the
        next."""
        self._number_under_way = self._commit_number + self._is_to_commit
        batch = Batch(number=self._number_under_way, at=now)
        self._rows.begin(batch)
        self._queues.begin(batch)
        self._logs.begin(batch)
        kept = ((kept_key(key), value) for key, value in self._kept.items())
        batch.meta = [*self._meta(batch.story is not None), *kept]
        self._kept_under_way, self._kept = self._kept, {}
        self._is_changed = False
        return batch

    def _meta(self, has_story: bool) -> Iterable[tuple[str, bytes]]:
        """Yield the numbers of the crawl that have changed since the last commit."""
        if self._rows.ledger is not self._written_ledger:
            self._written_ledger = self._rows.ledger
            yield LEDGER, _encode(self._rows.ledger)
        if has_story:  # no task moves without a line of the story
            yield COUNTS, _encode([(*key, number) for key, number in self._counts.items()])
            for kind, verdicts in self._verdicts.items():
                yield _VERDICTS[kind], _encode([(*key, number) for key, number in verdicts.items()])

    def _read_depths(self, refs: Collection[bytes]) -> None:
        if refs:
            for ref, depth in self._database.depths(refs).items():
                self._rows.depths.setdefault(ref, depth)

    def _missing(self, kind: type[R], keys: Collection[Any]) -> Collection[Any]:
        """Return the keys that only the database may have a row for."""
        cache, is_removed = self._rows.rows[kind], self._rows.is_removed
        missing = [key for key in keys if key not in cache]
        return [key for key in missing if not is_removed(kind, key)] if issubclass(kind, RemovableRow) else missing

    def _move(self, change: TaskMoved) -> None:
        task = change.task
        before = self._rows.put_task(task, implied_by_lease=change.event is TaskEvent.GRANTED)
        self._logs.moved(change)
        if before is not None:
            self._counts[before.kind, before.state] -= 1
            if before.kind in WITH_VERDICTS:
                self._verdicts[before.kind][before.state, before.verdict] -= 1
            if before.state is PENDING:
                self._queues.remove(before)
        self._counts[task.kind, task.state] += 1
        if task.kind in WITH_VERDICTS:
            self._verdicts[task.kind][task.state, task.verdict] += 1
        if task.state is PENDING:
            self._queues.add(task)


def _order(task: TaskRow) -> int:
    return task.order


def _verdicts_in(data: bytes | None) -> Counter[tuple[TaskState, str]]:
    verdicts = msgspec.msgpack.decode(data) if data is not None else []
    return Counter({(TaskState(state), verdict): number for state, verdict, number in verdicts})
