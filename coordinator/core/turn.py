"""A turn: the rows that one decision sees, and what it decided.

    turn = Turn(reader, policy, now)
    host = turn.hosts["a.test"]              a row by its table and key; None if there is none
    turn.put(succeed(host, ready_at=5.0))    rules that come later in the turn see this row
    turn.move(task, TaskEvent.GRANTED)       an event happened to the task, whose row follows from it
    turn.batch()                             all changes, which the store takes or refuses

A rule is a function of a turn. A look-up of a key that was not read before is a *miss*: one call to the store for one
key, which costs time and nothing else. Rules that know what they will look up read it in one call for all keys (`read`,
`read_queues`). Both are counted, so that tests can show that a path has no misses.

A turn has no clock: `now` is crawl time. The store does not change while it lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from functools import partial
from heapq import merge
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from crawlfleet.coordinator.core.changes import (
    Accepted,
    Capped,
    Change,
    Flooded,
    Full,
    Gone,
    Leased,
    LedOn,
    Linked,
    Put,
    Recorded,
    TaskEvent,
    TaskMoved,
)
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import (
    HostRow,
    LeaseRow,
    LedgerRow,
    OriginRow,
    R,
    RemovableRow,
    ResidentRow,
    StoreRow,
    TaskRow,
    TaskState,
    TrapRow,
    succeed,
)
from crawlfleet.coordinator.core.transitions import created, moved

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=ResidentRow)

_BY_PLACE = attrgetter("place")
# The tables that nearly every turn of a crawl needs; those of other kinds are made when they are asked for.
_KINDS_OF_CRAWLS = (TaskRow, LeaseRow, HostRow, OriginRow, TrapRow)


class Ready(msgspec.Struct, frozen=True):
    """The tasks of a queue that may be granted now, by rank and age, and when the next of the others may be."""

    tasks: tuple[TaskRow, ...]
    next_at: float | None


class Reader(Protocol):
    """What a turn reads from: a store. Answers leave out keys without a row."""

    def ledger(self) -> LedgerRow:
        """Return the crawl's own numbers."""
        ...

    def rows(self, kind: type[R], keys: Collection[Any]) -> dict[Any, R]:
        """Return the rows of a kind under these keys."""
        ...

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        """Return the depths of these tasks. `rows` holds them too, but costs more."""
        ...

    def strangers(self, refs: Set[bytes]) -> Set[bytes]:
        """Return the fingerprints that are no tasks. There are hardly ever any, and the call is cheap."""
        ...

    def ready(self, limits: Mapping[str, int], now: float) -> dict[str, Ready]:
        """Return of each queue up to its limit of PENDING tasks whose `not_before` has come, by rank and order."""
        ...

    def leases_of(self, session: str) -> tuple[LeaseRow, ...]:
        """Return the leases of a session, oldest first."""
        ...

    def family(self, kind: type[F], family: Any, after: int = -1, *, backwards: bool = False) -> Iterable[F]:
        """Yield the rows of a resident kind that have this family and a place beyond `after`, by their places."""
        ...

    def due(self, now: float, limit: int) -> tuple[HostRow, ...]:
        """Return units, and hosts that are in none, whose `ready_at` has come, the longest due first."""
        ...

    def hosts_of(self, unit: str, limit: int) -> tuple[HostRow, ...]:
        """Return up to `limit` of the hosts that joined a unit and have a `ready_at`, the earliest first."""
        ...


class Table(dict[K, V | None], Generic[K, V]):
    """The rows of one table that a turn has read or put. None: there is no row under the key."""

    __slots__ = ("_load", "first", "misses", "reads")

    def __init__(self, load: Callable[[Collection[K]], dict[K, V]]) -> None:
        self._load = load
        self.first: dict[K, V | None] = {}
        self.misses = 0
        self.reads = 0

    def __missing__(self, key: K) -> V | None:
        self.misses += 1
        self.read((key,))
        return self[key]

    def read(self, keys: Iterable[K]) -> None:
        """Read the keys that this table does not hold yet, in one call."""
        wanted = {key for key in keys if key not in self}
        if wanted:
            self.reads += 1
            self.update(dict.fromkeys(wanted))
            self.update(self._load(wanted))


class Turn:
    """One decision over the rows of a store: see the module's docstring."""

    __slots__ = (
        "_events",
        "_gone",
        "_orders",
        "_queue_reads",
        "_queues",
        "_read_ledger",
        "_reader",
        "_tables",
        "depths",
        "hosts",
        "leases",
        "ledger",
        "now",
        "origins",
        "policy",
        "tasks",
        "traps",
    )

    def __init__(self, reader: Reader, policy: Policy, now: float) -> None:
        self.policy = policy
        self.now = now
        self._reader = reader
        self._tables: dict[type[StoreRow], Table[Any, Any]] = {
            kind: Table(partial(reader.rows, kind)) for kind in _KINDS_OF_CRAWLS
        }
        self.tasks: Table[bytes, TaskRow] = self._tables[TaskRow]
        self.leases: Table[int, LeaseRow] = self._tables[LeaseRow]
        self.hosts: Table[str, HostRow] = self._tables[HostRow]
        self.origins: Table[str, OriginRow] = self._tables[OriginRow]
        self.traps: Table[str, TrapRow] = self._tables[TrapRow]
        self.depths: Table[bytes, int] = Table(reader.depths)
        self.ledger = self._read_ledger = reader.ledger()
        self._queues: dict[str, Ready] = {}
        self._queue_reads = 0
        self._events: list[Change] = []
        # How many places in the order of admission were taken: the ledger is told at the end.
        self._orders = 0
        self._gone: dict[tuple[type[StoreRow], Any], Gone] = {}

    @property
    def misses(self) -> int:
        """How many keys were looked up without having been read before."""
        return self.depths.misses + sum(table.misses for table in self._tables.values())

    @property
    def reads(self) -> int:
        """How many calls for rows and queues were made to the store."""
        return self.depths.reads + self._queue_reads + sum(table.reads for table in self._tables.values())

    def table(self, kind: type[StoreRow]) -> Table[Any, Any]:
        """Return the table of a kind."""
        table = self._tables.get(kind)
        if table is None:
            table = self._tables[kind] = Table(partial(self._reader.rows, kind))
        return table

    def host(self, key: str) -> HostRow:
        """Return a host that is known to exist, or the unit that it has joined."""
        row = existing(self.hosts[key])
        return existing(self.hosts[row.unit]) if row.unit else row

    def read_hosts(self, keys: Iterable[str]) -> None:
        """Read hosts, and the units that they joined."""
        wanted = set(keys)
        self.hosts.read(wanted)
        self.hosts.read(row.unit for row in map(self.hosts.__getitem__, wanted) if row is not None and row.unit)

    def strangers(self, refs: Set[bytes], named: Iterable[bytes] = ()) -> Set[bytes]:
        """Return the fingerprints that are no tasks of the crawl. Depths of those `named` are read with them: what
        reaches a store's database is one call."""
        unread = {ref for ref in named if ref not in self.depths}
        missing = self._reader.strangers(refs | unread) if refs else refs
        self.depths.update(dict.fromkeys(missing & unread))
        self.depths.read(unread)
        return missing & refs

    def leases_of(self, session: str) -> tuple[LeaseRow, ...]:
        """Return the leases that a session had when the turn began, oldest first."""
        leases = self._reader.leases_of(session)
        for lease in leases:
            self.leases.setdefault(lease.id, lease)
        return leases

    def family(self, kind: type[F], family: Any, after: int = -1, *, backwards: bool = False) -> Iterator[F]:
        """Yield the rows of a family beyond the place `after` as they are in this turn, in the order of their places.

        Rows that are put or removed meanwhile may be missing, or still be there.
        """
        table = self.table(kind)
        put = [(table[key], before) for key, before in table.first.items()]
        fresh = [row for row, before in put if row is not None and (before is None or before.place != row.place)]
        mine = [row for row in fresh if row.family == family and row.place > after]
        found = self._reader.family(kind, family, after, backwards=backwards)
        latest = ((table.setdefault(row.key, row), row.place) for row in found)
        stored = (row for row, place in latest if row is not None and row.place == place)
        if not mine:
            return stored
        mine.sort(key=_BY_PLACE, reverse=backwards)
        return merge(stored, mine, key=_BY_PLACE, reverse=backwards)

    def due(self, limit: int) -> tuple[HostRow, ...]:
        """Return hosts whose check was due when the turn began, the longest due first."""
        hosts = self._reader.due(self.now, limit)
        for host in hosts:
            self.hosts.setdefault(host.key, host)
        return hosts

    def hosts_of(self, unit: str, limit: int) -> tuple[HostRow, ...]:
        """Return up to `limit` hosts of a unit that had a `ready_at` when the turn began, the earliest first."""
        hosts = self._reader.hosts_of(unit, limit)
        for host in hosts:
            self.hosts.setdefault(host.key, host)
        return hosts

    def read_queues(self, limits: Mapping[str, int]) -> None:
        """Read the heads of queues in one call."""
        wanted = {queue: limit for queue, limit in limits.items() if queue not in self._queues}
        if wanted:
            self._queue_reads += 1
            found = self._reader.ready(wanted, self.now)
            self._queues.update(found)
            for ready in found.values():
                for task in ready.tasks:
                    self.tasks.setdefault(task.ref, task)

    def ready(self, queue: str, limit: int) -> Ready:
        """Return the tasks of a queue that may be granted now, without those that this turn has moved."""
        if queue not in self._queues:
            self.read_queues({queue: limit})
        found = self._queues[queue]
        if not found.tasks or not self._events:
            return found
        rows = map(self.tasks.__getitem__, (task.ref for task in found.tasks))
        waiting = (row for row in rows if row is not None and row.state is TaskState.PENDING and row.queue == queue)
        return Ready(tuple(waiting), found.next_at)

    def put(self, row: StoreRow) -> None:
        """Store a new row, or the successor of the row seen here."""
        if type(row) is LedgerRow:
            self.ledger = row
            return
        table, key = self.table(type(row)), row.key
        if key not in table.first:
            # Whoever creates a first version has looked up its key, or has created the key itself.
            table.first[key] = table[key] if row.version > 1 or key in table else None
        table[key] = row

    def remove(self, row: RemovableRow, why: str = "") -> None:
        """Remove a row, of which `row` is the last version: a lease as `settled`, `released` or `lost`."""
        self.put(row)
        kind, key = type(row), row.key
        self._tables[kind][key] = None
        self._gone[kind, key] = Gone(row=row, why=why)

    def move(self, task: TaskRow, event: TaskEvent, **changed: Any) -> TaskRow:
        """Apply an event to a task and return its new row; `changed` are its other new values."""
        return self._happen(moved(task, event, **changed))

    def next_order(self) -> int:
        """Return the next place in the order of admission, which nothing else has then."""
        self._orders += 1
        return self.ledger.next_order + self._orders - 1

    def create(self, event: TaskEvent, **values: Any) -> TaskRow:
        """Create a task, as ADMITTED or REFUSED, next in the order of admission."""
        return self._happen(created(event, order=self.next_order(), **values))

    def note(self, event: Accepted | Leased | Recorded | Linked | LedOn | Flooded | Full | Capped) -> None:
        """Add an event other than the move of a task."""
        self._events.append(event)

    def batch(self) -> list[Change]:
        """Return the decided changes: every event in order, then the last row of each kind and key."""
        if self._orders:
            self.put(succeed(self.ledger, next_order=self.next_order()))
            self._orders = 0
        changes = self._events.copy()
        for kind, table in self._tables.items():
            for key, before in table.first.items():
                row = table[key]
                if row is not None:
                    changes.append(Put(row=_successor(before, row)))
                elif before is not None:
                    gone = self._gone[kind, key]
                    changes.append(Gone(row=_successor(before, gone.row), why=gone.why))
        if self.ledger is not self._read_ledger:
            changes.append(Put(row=_successor(self._read_ledger, self.ledger)))
        return changes

    def _happen(self, change: TaskMoved) -> TaskRow:
        task = change.task
        self.tasks[task.ref] = task
        self.depths[task.ref] = task.depth
        self._events.append(change)
        return task


def existing(row: R | None) -> R:
    """Return a row that is known to exist: if it does not, the rule has a bug."""
    assert row is not None, "a rule looked up what is not there"
    return row


def _successor(before: R | None, last: R) -> R:
    """Return the last of several successors as the one successor of what was read."""
    version = 1 if before is None else before.version + 1
    return last if last.version == version else msgspec.structs.replace(last, version=version)
