"""A durable store: SQLite in WAL mode, one file in the crawl's folder (its tables: see `file_format`).

Rows are msgpack. Changed rows stay in memory until `commit` writes them, so a row that is granted and settled between
two commits is written once. The caches are cut back after a commit, so memory is proportional to the active hosts. A
grant writes the lease's row only: it implies that its tasks are LEASED. One connection writes; each thread that reads
results has its own connection.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from itertools import filterfalse, islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from crawlfleet.coordinator.core.changes import (
    Accepted,
    Change,
    Gone,
    Leased,
    LedOn,
    Linked,
    Put,
    Recorded,
    TaskEvent,
    TaskMoved,
)
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
from crawlfleet.coordinator.frontier.crawl_clock import ClockReading, elapsed_s, read_clocks
from crawlfleet.coordinator.frontier.port import WITH_VERDICTS
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.checkpointer import Checkpointer
from crawlfleet.coordinator.frontier.sqlite.file_format import open_file
from crawlfleet.coordinator.frontier.sqlite.log_writer import LogWriter
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS, SqliteMarks
from crawlfleet.coordinator.frontier.sqlite.queue_edits import QueueEdits
from crawlfleet.coordinator.frontier.sqlite.result_reader import ResultReader
from crawlfleet.coordinator.frontier.sqlite.row_cache import RowCache
from crawlfleet.coordinator.frontier.versions import check_versions
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.messages import Kind

LEASES_PER_EPOCH = 10**9
EMPTY_QUEUES_KNOWN = 20_000
_NEXT_QUEUE = (
    "SELECT min(queue) FROM (SELECT min(queue) AS queue FROM ready WHERE queue > ? "
    "UNION ALL SELECT min(queue) FROM later WHERE queue > ?)"
)
_VERDICTS = {kind: "verdicts" if kind is Kind.PAGE else f"verdicts of {kind}" for kind in WITH_VERDICTS}
_IN = (1, 4, 16, 64, 256)

_encode = msgspec.msgpack.Encoder().encode
_ledger = msgspec.msgpack.Decoder(LedgerRow).decode

V = TypeVar("V")


class SqliteStore:
    """The port over one SQLite file. With `power` each commit survives a power cut, not only a crash.

    Raises `UsageError` if the file is damaged or of another format, `CrawlFailed` if it cannot be written.
    """

    def __init__(self, path: Path, *, power: bool = False, clocks: Callable[[], ClockReading] = read_clocks) -> None:
        self._path = path
        self._power = power
        self._clocks = clocks
        with _mapped_errors(path):
            self._db = open_file(path, power=power)
        self._checkpointer = Checkpointer(path)
        self._results = ResultReader(path)
        self._rows = RowCache()
        self._log = LogWriter()
        self._written_ledger: LedgerRow | None = None
        # How many tasks wait for a time, and queues known to be empty: they save most reads of queues.
        self._later = 0
        self._empty: set[str] = set()
        try:
            with _mapped_errors(path):
                self._load()
        except BaseException:
            self.close()
            raise

    @property
    def epoch(self) -> int:
        """The number of this incarnation: one more than that of the last."""
        return self._epoch

    def kept(self, key: str) -> bytes | None:
        """Return a value that was kept besides the rows."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (f"kept:{key}",)).fetchone()
        return None if found is None else bytes(found[0])

    def keep(self, key: str, value: bytes) -> None:
        """Keep a value besides the rows, at once unless changes wait for a commit."""
        with _mapped_errors(self._path):
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"kept:{key}", value))

    def open_marks(self) -> SqliteMarks:
        """Open the marks of the crawl's sinks, in a separate file: sinks commit independently of the frontier."""
        return SqliteMarks(self._path.with_name(MARKS), power=self._power)

    @property
    def opened_at(self) -> float:
        """Crawl time at which the store was opened: the stored time plus the gap that `crawl_clock` estimates."""
        return self._opened_at

    def close(self) -> None:
        """Close the file; uncommitted changes are lost."""
        self._results.close()
        self._checkpointer.close()
        self._db.close()

    def ledger(self) -> LedgerRow:
        return self._rows.ledger

    def rows(self, kind: type[R], keys: Collection[Any]) -> dict[Any, R]:
        cache: dict[Any, R] = self._rows.rows[kind]
        missing = () if issubclass(kind, ResidentRow) else self._missing(kind, keys)
        for some in _runs(missing):
            self._read(kind, "ref" if kind is TaskRow else "key", some)
        return {key: cache[key] for key in keys if key in cache}

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        known = self._rows.depths
        self._read_depths(ref for ref in refs if ref not in known)
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
        return {queue: self._ready(queue, limit, now) for queue, limit in limits.items()}

    def queues(self, after: str, limit: int) -> tuple[str, ...]:
        found: list[str] = []
        while len(found) < limit and (row := self._db.execute(_NEXT_QUEUE, (after, after)).fetchone()) != (None,):
            (after,) = row
            found.append(after)
        return tuple(found)

    def waiting(self, limit: int) -> tuple[TaskRow, ...]:
        tasks = self._queued("ready LIMIT ?", (limit,))
        return tasks or self._queued("later LIMIT ?", (limit,))

    def walk(self, after: int, limit: int) -> tuple[TaskRow, ...]:
        fresh = (order for order in self._rows.by_id if order > after)
        stored = self._db.execute("SELECT id FROM tasks WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return self._by_id(sorted({number for (number,) in stored} | set(fresh))[:limit])

    def counts(self) -> dict[tuple[Kind, TaskState], int]:
        return dict(self._counts)

    def verdicts(self, kind: Kind = Kind.PAGE) -> dict[tuple[TaskState, str], int]:
        return {key: number for key, number in self._verdicts[kind].items() if number}

    def apply(self, changes: Sequence[Change]) -> None:
        check_versions(changes, self._rows.stored)
        if not changes:
            return
        with _mapped_errors(self._path):
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            queued = QueueEdits()
            for change in changes:
                self._apply_one(change, queued)
            self._write(queued)

    def commit(self, now: float) -> None:
        if not self._db.in_transaction:
            return
        with _mapped_errors(self._path):
            clocks = self._clocks()
            pages = self._rows.write(self._db) + self._log.pages
            self._log.write(self._db, clocks.wall_s)
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", self._meta(now, clocks))
            self._db.execute("COMMIT")
            self._checkpointer.committed(self._db, pages)
        self._results.committed(self._log.take_results())
        self._rows.cut_back()
        if len(self._empty) > EMPTY_QUEUES_KNOWN:
            self._empty.clear()

    def _meta(self, now: float, clocks: ClockReading) -> list[tuple[str, bytes]]:
        """Return the numbers of the crawl that have changed since the last commit, and the time."""
        meta = [("clock", _encode((now, *clocks)))]
        if self._rows.ledger is not self._written_ledger:
            self._written_ledger = self._rows.ledger
            meta.append(("ledger", _encode(self._rows.ledger)))
        if self._log.has_story:  # no task moves without a line of the story
            meta.append(("counts", _encode([(*key, number) for key, number in self._counts.items()])))
            for kind, verdicts in self._verdicts.items():
                meta.append((_VERDICTS[kind], _encode([(*key, number) for key, number in verdicts.items()])))
        return meta

    def results(self, cursor: int, limit: int) -> Sequence[Result]:
        return self._results.read(cursor, limit)

    def result(self, ref: bytes) -> Result | None:
        return self._results.find(ref)

    def result_count(self) -> int:
        return self._results.count

    def _load(self) -> None:
        meta = dict(self._db.execute("SELECT key, value FROM meta"))
        self._rows.ledger = _ledger(meta["ledger"]) if "ledger" in meta else LedgerRow()
        counts = msgspec.msgpack.decode(meta["counts"]) if "counts" in meta else []
        self._counts = Counter({(Kind(kind), TaskState(state)): number for kind, state, number in counts})
        self._verdicts = {kind: _verdicts_in(meta.get(key)) for kind, key in _VERDICTS.items()}
        reading = self._clocks()
        kept_at, *before = msgspec.msgpack.decode(meta["clock"]) if "clock" in meta else (0.0, *reading)
        self._opened_at = kept_at + elapsed_s(ClockReading(*before), reading)
        self._epoch = msgspec.msgpack.decode(meta["epoch"]) + 1 if "epoch" in meta else 1
        self._begin_epoch(reading)
        (self._later,) = self._db.execute("SELECT count(*) FROM later").fetchone()
        (self._results.count,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM results").fetchone()
        self._rows.load_active(self._db)

    def _begin_epoch(self, reading: ClockReading) -> None:
        """Number this incarnation and store its clocks; its leases get numbers that no other incarnation uses.

        This survives a power cut under any durability: workers may still hold leases of lost commits, and must not
        confuse them with new ones.
        """
        (level,) = self._db.execute("PRAGMA synchronous").fetchone()
        self._db.execute("PRAGMA synchronous = FULL")
        kept = [("epoch", _encode(self._epoch)), ("clock", _encode((self._opened_at, *reading)))]
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?), (?, ?)", [*kept[0], *kept[1]])
        self._db.execute(f"PRAGMA synchronous = {level}")
        first = (self._epoch - 1) * LEASES_PER_EPOCH + 1
        ledger = self._rows.ledger
        self._rows.ledger = msgspec.structs.replace(ledger, next_lease=max(ledger.next_lease, first))

    def _ready(self, queue: str, limit: int, now: float) -> Ready:
        if not self._later and queue in self._empty:
            return Ready((), None)
        self._ripen(queue, now)
        tasks = self._queued("ready WHERE queue = ? ORDER BY rank, id LIMIT ?", (queue, limit))
        if len(tasks) == limit:
            return Ready(tasks, now)
        if not self._later:
            if not tasks:
                self._empty.add(queue)
            return Ready(tasks, None)
        (next_at,) = self._db.execute("SELECT min(not_before) FROM later WHERE queue = ?", (queue,)).fetchone()
        return Ready(tasks, next_at)

    def _ripen(self, queue: str, now: float) -> None:
        """Move tasks of a queue whose time has come from `later` to `ready`."""
        if not self._later:
            return
        ripe = self._queued("later WHERE queue = ? AND not_before <= ?", (queue, now))
        if not ripe:
            return
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        queued = QueueEdits()
        for task in ripe:
            queued.ripen(task)
        self._write(queued)

    def _write(self, queued: QueueEdits) -> None:
        self._later += queued.write(self._db)
        self._empty -= queued.filled

    def _read_depths(self, refs: Iterable[bytes]) -> None:
        for some in _runs(refs):
            query = f"SELECT ref, depth FROM tasks WHERE ref IN ({_marks(some)})"
            self._rows.depths.update(self._db.execute(query, some))

    def _missing(self, kind: type[StoreRow], keys: Collection[Any]) -> Iterable[Any]:
        """Return the keys that only the file may have a row for."""
        cache, is_removed = self._rows.rows[kind], self._rows.is_removed
        missing = [key for key in keys if key not in cache]
        return [key for key in missing if not is_removed(kind, key)] if issubclass(kind, RemovableRow) else missing

    def _queued(self, where: str, values: tuple[object, ...]) -> tuple[TaskRow, ...]:
        """Return the tasks that a query over a queue's table names, in its order."""
        return self._by_id([number for (number,) in self._db.execute(f"SELECT id FROM {where}", values)])

    def _by_id(self, ids: Sequence[int]) -> tuple[TaskRow, ...]:
        cache = self._rows.by_id
        for some in _runs(number for number in ids if number not in cache):
            self._read(TaskRow, "id", some)
        return tuple(self._rows.tasks[cache[number]] for number in ids)

    def _read(self, kind: type[StoreRow], column: str, values: Sequence[object]) -> None:
        query = f"SELECT row FROM {KINDS[kind]} WHERE {column} IN ({_marks(values)})"
        for (row,) in self._db.execute(query, values):
            self._rows.keep(kind, row)

    def _apply_one(self, change: Change, queued: QueueEdits) -> None:
        match change:
            case TaskMoved():
                self._move(change, queued)
            case Put(row=row):
                self._rows.put(row)
            case Gone(row=row):
                self._rows.remove(row)
            case Recorded() | Accepted() | Leased() | Linked() | LedOn():
                self._log.take(change, self._rows.tasks, self._results.count)

    def _move(self, change: TaskMoved, queued: QueueEdits) -> None:
        task, before = change.task, self._rows.tasks.get(change.task.ref)
        if before is not None:
            self._count(before, -1)
            if before.state is TaskState.PENDING:
                queued.remove(before)
        self._count(task, 1)
        if task.state is TaskState.PENDING:
            queued.add(task)
        self._rows.put_task(task, implied_by_lease=change.event is TaskEvent.GRANTED)
        self._log.moved(change)

    def _count(self, task: TaskRow, step: int) -> None:
        self._counts[task.kind, task.state] += step
        if task.kind in WITH_VERDICTS:
            self._verdicts[task.kind][task.state, task.verdict] += step


def open_store(folder: Path, *, power: bool) -> SqliteStore:
    """Open the store in a crawl's folder, or create it."""
    return SqliteStore(folder / FRONTIER, power=power)


def _verdicts_in(data: bytes | None) -> Counter[tuple[TaskState, str]]:
    verdicts = msgspec.msgpack.decode(data) if data is not None else []
    return Counter({(TaskState(state), verdict): number for state, verdict, number in verdicts})


def _runs(values: Iterable[V]) -> Iterator[list[V]]:
    """Split values into runs for one statement each.

    A run is padded with its last value to one of a few lengths, so that few statements are prepared.
    """
    rest = iter(values)
    while some := list(islice(rest, _IN[-1])):
        length = next(length for length in _IN if len(some) <= length)
        yield some + some[-1:] * (length - len(some))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


@contextmanager
def _mapped_errors(path: Path) -> Iterator[None]:
    """Map SQLite's errors to ours; they name the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
            raise UsageError(
                f"{path} is damaged ({error}): restore a copy, or start again with --fresh, which keeps it aside"
            ) from error
        raise CrawlFailed(
            f"cannot write {path}: {error}; make room or mend the disk, then run the job again"
        ) from error
