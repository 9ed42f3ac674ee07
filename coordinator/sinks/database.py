"""Sinks that are databases: a table for each table of the job, and one row that says how many results are there.

Both are committed together, so a batch of results is there as a whole or not at all, and the database knows by itself
how far it is. `row_id`, the first column of each table, numbers the rows of the crawl: rows are ordered and cut by it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.results.columns import Column, Table
from crawlfleet.coordinator.sinks.cells import CellReader, Cells, flat
from crawlfleet.coordinator.sinks.port import Rejected, RowRejected, Shape, SinkUnreachable
from crawlfleet.coordinator.sinks.sorter import Sorter
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.paths import shown

ROW_ID = "row_id"
# The one row of this table is a `State`.
STATE = "crawlfleet_state"
# So often a batch is tried if the connection is lost again and again.
ATTEMPTS = 5

Store = Callable[[Any], Any]

_canonical = msgspec.json.Encoder(order="sorted").encode
_fields = msgspec.msgpack.Encoder().encode


class State(NamedTuple):
    """How far a database is: results, rows, and a digest of which results these are."""

    results: int = 0
    rows: int = 0
    digest: str = ""

    def after(self, result: Result, rows: int = 0) -> State:
        """Return the state with one more result, of which so many rows were taken."""
        said = self.digest.encode() + _fields((result.ref, result.url, result.at, len(result.rows)))
        return State(self.results + 1, self.rows + rows, blake2b(said, digest_size=16).hexdigest())

    def leads_to(self, later: State, results: Iterable[Result]) -> bool:
        """Say whether the results that follow make it a later state, but for the number of rows."""
        state = self
        for result in islice(results, later.results - self.results):
            state = state.after(result)
        return (state.results, state.digest) == (later.results, later.digest)

    @property
    def mark(self) -> Mark:
        """The same for the crawl's marks."""
        return Mark(results=self.results, block_hash=self.digest.encode())


class StoredColumn(NamedTuple):
    """A column as a database has it: its name there, and what it is."""

    name: str
    column: Column


class StoredTable(NamedTuple):
    """A table as a database has it, without its `row_id`."""

    name: str
    columns: tuple[StoredColumn, ...]


class ConnectionLost(SinkUnreachable):
    """The connection to a database was lost. What was being committed may be there or not."""


class Database(Protocol):
    """An open database. It raises `CrawlFailed`, which names the place, if it cannot be used; `ConnectionLost` if it is
    to be connected to again."""

    def state(self) -> State | None:
        """Return how far it is; None if nothing of a crawl is there. `UsageError` if something else is in the way."""

    def transaction(self) -> AbstractContextManager[object]:
        """Return a context whose changes are committed together at its end, or dropped after an error."""

    def create(self) -> None:
        """Create the tables, and the state."""

    def insert(self, table: StoredTable, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows to a table: `row_id`, then the values of its columns."""

    def save(self, state: State) -> None:
        """Replace the state."""

    def cut(self, rows: int) -> None:
        """Remove all rows from this `row_id` on."""

    def rows(self) -> Generator[tuple[str, tuple[Any, ...]], None, None]:
        """Yield all rows in the order of `row_id`: the name of the table, and the values as they were given."""

    def reconnect(self) -> None:
        """Connect again, after a `ConnectionLost`. Raise `CrawlFailed` if that does not succeed for a while."""

    def close(self) -> None:
        """Close it."""


class DatabaseKind(Sorter[Cells]):
    """Base of the kinds of databases. A kind defines `connect`, `remove` and `store_for`."""

    # Whether `a` and `A` are the same name.
    folds_case = True
    # Names that no column may have, beside `ROW_ID`.
    reserved: frozenset[str] = frozenset()

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tables = stored_tables(shape, folds_case=self.folds_case, reserved=self.reserved)
        self._reader = CellReader(shape.layout)
        self._stores = {
            name: tuple(self.store_for(each.column) for each in table.columns) for name, table in self.tables.items()
        }

    def connect(self, path: Path, *, power: bool, only_reads: bool = False) -> Database | None:
        """Open a database, and create it if it is not there; None if it `only_reads` and nothing is there."""
        raise NotImplementedError

    def remove(self, path: Path) -> None:
        """See the port."""
        raise NotImplementedError

    def place_of(self, path: Path) -> Path | str:
        """Return what people know a database as."""
        return path

    def store_for(self, column: Column) -> Store:
        """Return the function from the cells of a column to the values that are stored and read back.

        It raises `ValueError`, whose text says what is wrong with a value, as in "is too long".
        """
        raise NotImplementedError

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> DatabaseSink:
        """See the port."""
        database = self.connect(path, power=power)
        assert database is not None
        try:
            return DatabaseSink(self, database, self.place_of(path), mark)
        except BaseException:
            database.close()
            raise

    def sorted(self, result: Result) -> Iterator[Cells | Rejected]:
        """Yield the rows of a result as they are stored, or why one is rejected."""
        for each in self._reader.sorted(result):
            if isinstance(each, Rejected):
                yield each
                continue
            try:
                yield each._replace(values=self._stored(each))
            except RowRejected as rejected:
                row = result.rows[each.place]
                yield Rejected(each.place, {"url": result.url, "item": row.item, **row.fields}, str(rejected))

    def rows_of(self, result: Result) -> list[bytes]:
        """See the port."""
        return [canonical(self.tables[each.table.name].name, each.values) for each in self.taken(result)]

    def read(self, path: Path, *, whole: bool) -> Iterator[bytes]:  # noqa: ARG002  a transaction tears nothing
        """See the port."""
        database = self.connect(path, power=False, only_reads=True)
        if database is not None:
            try:
                if database.state() is not None:
                    yield from (canonical(table, values) for table, values in database.rows())
            finally:
                database.close()

    def _stored(self, row: Cells) -> tuple[Any, ...]:
        values = []
        for column, store, value in zip(flat(row.table), self._stores[row.table.name], row.values, strict=True):
            try:
                values.append(None if value is None else store(value))
            except ValueError as error:
                raise RowRejected(f"{column.name} {error}") from error
        return tuple(values)


class DatabaseSink:
    """A database that follows the log. The mark's hash tells whether it is the crawl's."""

    def __init__(self, kind: DatabaseKind, database: Database, place: Path | str, mark: Mark | None) -> None:
        self._kind = kind
        self._database = database
        self._place = place
        found = database.state()
        self._is_new = found is None
        self._state = found or State()
        self._is_unclaimed = mark is None and self._state.results > 0
        self._before = (
            State(mark.results, digest=mark.block_hash.decode(errors="replace")) if mark is not None else None
        )
        self._is_certain = self._state.results == 0 or (mark is not None and mark == self._state.mark)

    @property
    def mark(self) -> Mark:
        """How far it is."""
        return self._state.mark

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        """See the port.

        A database that is ahead of its mark, as a death between the two commits leaves it, is the crawl's if the
        results in between are those of the log. Otherwise every row is compared with the log.
        """
        before = self._before
        if before is not None and before.results < self._state.results <= length:
            if not before.leads_to(self._state, islice(log, before.results, None)):
                raise UsageError(self._foreign())
        elif not self._is_certain or self._state.results > length:
            self._agree(log)
        self._is_certain, self._before = True, None
        return self.mark

    def write(self, results: Sequence[Result]) -> Mark:
        """See the port."""
        self._kind.remember()
        state = self._state
        rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in self._kind.tables}
        for result in results:
            found = self._kind.taken(result)
            for number, each in enumerate(found, state.rows):
                rows[each.table.name].append((number, *each.values))
            state = state.after(result, len(found))
        self._commit({self._kind.tables[name]: some for name, some in rows.items() if some}, state)
        self._is_new, self._state = False, state
        return self.mark

    def finish(self) -> None:
        """Do nothing: each transaction is whole."""

    def close(self) -> None:
        """See the port."""
        self._database.close()

    def _commit(self, rows: Mapping[StoredTable, Sequence[tuple[Any, ...]]], state: State) -> None:
        """Commit rows and state together. A database that went away is asked afterwards whether it has them."""
        is_lost = False
        for left in reversed(range(ATTEMPTS)):
            try:
                if is_lost:
                    self._database.reconnect()
                    if self._is_committed(state):
                        return
                self._insert(rows, state)
                return
            except ConnectionLost:
                is_lost = True
                if not left:
                    raise

    def _insert(self, rows: Mapping[StoredTable, Sequence[tuple[Any, ...]]], state: State) -> None:
        with self._database.transaction():
            if self._is_new:
                self._database.create()
            for table, some in rows.items():
                self._database.insert(table, some)
            self._database.save(state)

    def _is_committed(self, state: State) -> bool:
        found = self._database.state()
        if found == state:
            return True
        if (found or State()) != self._state:
            raise UsageError(self._foreign())
        self._is_new = found is None
        return False

    def _agree(self, log: Iterator[Result]) -> None:
        """Compare the rows with the log, and remove those of results that it does not have."""
        state = State()
        with closing(self._database.rows()) as rows:
            found = (canonical(table, values) for table, values in rows)
            for result in log:
                if state.results == self._state.results:
                    break
                wanted = self._kind.rows_of(result)
                if list(islice(found, len(wanted))) != wanted:
                    raise UsageError(self._foreign())
                state = state.after(result, len(wanted))
        if state.results == self._state.results and state != self._state:
            raise UsageError(self._foreign())
        if state != self._state:
            if self._is_unclaimed:
                raise UsageError(self._foreign())
            with self._database.transaction():
                self._database.cut(state.rows)
                self._database.save(state)
            self._state = state

    def _foreign(self) -> str:
        if self._is_unclaimed:
            return foreign(self._place)
        return (
            f"{shown(self._place)} was changed by somebody else: move it away, "
            "then write it again with `crawlfleet export`, or start again with --fresh"
        )


def foreign(path: Path | str) -> str:
    """Return the sentence about a place that something else has taken."""
    ways = "move it away, name another sink, or replace it by --overwrite"
    if isinstance(path, str):
        ways = "move it away, or name another sink"
    return f"{shown(path)} exists already and is not this crawl's: {ways}"


def quoted(name: str) -> str:
    """Return a name as SQL writes any name."""
    return '"' + name.replace('"', '""') + '"'


def canonical(table: str, values: Sequence[Any]) -> bytes:
    """Return a row in the form that rows are compared in."""
    return _canonical((table, *values))


def stored_tables(shape: Shape, *, folds_case: bool, reserved: frozenset[str]) -> Mapping[str, StoredTable]:
    """Return the tables of a database by those of a layout; names that the database takes for one get a `_`."""
    taken: set[str] = {STATE}
    found = ((table, _free(shape.prefix + table.name, taken, folds_case)) for table in shape.layout)
    return {table.name: _stored_table(table, name, folds_case, reserved) for table, name in found}


def _stored_table(table: Table, name: str, folds_case: bool, reserved: frozenset[str]) -> StoredTable:
    names = {ROW_ID, *reserved}
    columns = tuple(StoredColumn(_free(column.name, names, folds_case), column) for column in flat(table))
    return StoredTable(name, columns)


def _free(name: str, taken: set[str], folds_case: bool) -> str:
    while (name.casefold() if folds_case else name) in taken:
        name += "_"
    taken.add(name.casefold() if folds_case else name)
    return name
