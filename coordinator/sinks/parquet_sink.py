"""Parquet files, one for each table. One cannot grow, so rows are written as whole parts, and joined at the end.

The parts of `items.parquet` are in the folder `items.parquet.parts`; each is named by the results that it holds, and
says how far the crawl is with it (a `State` in its metadata), as the joined file does. A part is there whole or not at
all, so after a crash the sink goes on behind its last part. With `rotate` the parts are the output: `items.parquet` is
their folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.folder_sync import sync_folder
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.sinks.arrow_cells import arrow_type, store_for, table_of
from crawlfleet.coordinator.sinks.cells import CellReader, Cells, flat
from crawlfleet.coordinator.sinks.database import State, canonical, foreign
from crawlfleet.coordinator.sinks.port import Rejected, RowRejected, Shape
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.coordinator.sinks.sorter import Sorter
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.paths import shown

(PARTS,) = SINKS[".parquet"].beside
ENDING = ".parquet"
STATE = b"crawlfleet"
# A part is written when so many rows, or rows of so many bytes, have come.
PART_ROWS = 50_000
PART_BYTES = 64 * 1024 * 1024
BATCH = 10_000

_size = msgspec.msgpack.Encoder().encode


class ParquetFiles(Sorter["_Row"]):
    """Parquet files."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.table = next(table for table in shape.layout if table.name == shape.table)
        columns = flat(self.table)
        self.names = tuple(column.name for column in columns)
        self.types = tuple(map(arrow_type, columns))
        self._stores = tuple(map(store_for, columns))
        self._reader = CellReader(shape.layout, shape.table)

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> ParquetSink:
        """See the port."""
        return ParquetSink(self, ParquetFolder(path, rotates=self.shape.rotate > 0, power=power), mark)

    def remove(self, path: Path) -> None:
        """See the port."""
        ParquetFolder(path, rotates=self.shape.rotate > 0, power=False).remove()

    def rows_of(self, result: Result) -> list[bytes]:
        """See the port."""
        return [canonical(self.table.name, each) for each in self.taken(result)]

    def read(self, path: Path, *, whole: bool) -> Iterator[bytes]:  # noqa: ARG002  a part is whole
        """See the port."""
        folder = ParquetFolder(path, rotates=self.shape.rotate > 0, power=False)
        for file in folder.files():
            for row in _rows(file.path, self.names):
                yield canonical(self.table.name, row)

    def sorted(self, result: Result) -> Iterator[_Row | Rejected]:
        """Yield the rows of the table as Arrow takes them, or why one is rejected."""
        for each in self._reader.sorted(result):
            yield each if isinstance(each, Rejected) else self._stored(result, each)

    def _stored(self, result: Result, row: Cells) -> _Row | Rejected:
        values = []
        for name, store, value in zip(self.names, self._stores, row.values, strict=True):
            try:
                values.append(None if value is None else store(value))
            except ValueError as error:
                given = result.rows[row.place]
                whole = {"url": result.url, "item": given.item, **given.fields}
                return Rejected(row.place, whole, str(RowRejected(f"{name} {error}")))
        return _Row(values)


class _Row(tuple[Any, ...]):
    """The values of a row, in the order of the columns."""


class _File(NamedTuple):
    """A Parquet file of this crawl: where it is, and how far the crawl is with it."""

    path: Path
    state: State


class ParquetFolder:
    """Where the files of one sink are. It raises `CrawlFailed`, which names the place, if it cannot be used."""

    def __init__(self, path: Path, *, rotates: bool, power: bool) -> None:
        self.path = path
        self.rotates = rotates
        self._power = power
        self.parts = path if rotates else path.with_name(path.name + PARTS)

    def files(self) -> list[_File]:
        """Return the joined file, if it is there, and the parts behind it, but not what a crash has left."""
        found = []
        if not self.rotates and self.path.exists():
            found.append(self._file(self.path))
        for path in sorted(self.parts.glob(f"*{ENDING}")) if self.parts.is_dir() else ():
            done = found[-1].state.results if found else 0
            begin = int(path.name.partition("-")[0]) if path.name[:1].isdigit() else -1
            if begin == done:
                found.append(self._file(path))
            elif not 0 <= begin < done:
                raise UsageError(foreign(path))
        return found

    def add(self, before: State, after: State, table: pa.Table) -> None:
        """Write a part."""
        with self.mapped_errors():
            self.parts.mkdir(parents=True, exist_ok=True)
            self._write(self.parts / f"{before.results:012}-{after.results:012}{ENDING}", after, table.schema, [table])

    def join(self, state: State, schema: pa.Schema) -> None:
        """Write one file in the place of all."""
        files = self.files()
        with self.mapped_errors():
            if not self.rotates and [each.path for each in files] != [self.path]:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._write(self.path, state, schema, (part for file in files for part in _tables(file.path, schema)))
            self._remove_rest()

    def keep(self, results: int) -> None:
        """Remove files that hold more than so many results of the log."""
        for file in self.files():
            if file.state.results > results:
                file.path.unlink()

    def remove(self) -> None:
        """Remove all files."""
        with self.mapped_errors():
            for path in (self.path, *(self.parts.glob("*") if self.parts.is_dir() else ())):
                if path.is_file():
                    path.unlink()
            self._remove_rest()

    def _remove_rest(self) -> None:
        """Remove parts that are joined, and drafts that a crash has left; then the folder, if it is empty."""
        if self.parts.is_dir():
            kept = {file.path for file in self.files() if file.path != self.path}
            for path in self.parts.iterdir():
                if path not in kept and path.suffix in (ENDING, ".tmp"):
                    path.unlink()
            if not any(self.parts.iterdir()):
                self.parts.rmdir()

    def _file(self, path: Path) -> _File:
        try:
            said = pq.read_metadata(path).metadata or {}
            return _File(path, msgspec.json.decode(said.get(STATE, b""), type=State))
        except (pa.ArrowInvalid, msgspec.MsgspecError) as error:
            raise UsageError(foreign(path)) from error
        except OSError as error:
            raise CrawlFailed(f"cannot read {shown(path)}: {error}") from error

    def _write(self, path: Path, state: State, schema: pa.Schema, tables: Iterator[pa.Table] | list[pa.Table]) -> None:
        self.parts.mkdir(parents=True, exist_ok=True)
        draft = self.parts / f"{path.name}.tmp"
        with pq.ParquetWriter(draft, schema.with_metadata({STATE: msgspec.json.encode(state)})) as writer:
            for table in tables:
                writer.write_table(table)
        if self._power:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
        draft.replace(path)
        if self._power:
            sync_folder(path.parent)

    @contextmanager
    def mapped_errors(self) -> Iterator[None]:
        """Turn errors of the system into `CrawlFailed`."""
        try:
            yield
        except OSError as error:
            text = f"cannot write {shown(self.path)}: {error.strerror or error}; make room, then run the job again"
            raise CrawlFailed(text) from error


class ParquetSink:
    """Gathers rows, and writes them as parts. Its mark may be ahead of its files, which say how far they are."""

    def __init__(self, kind: ParquetFiles, folder: ParquetFolder, mark: Mark | None) -> None:
        self._kind = kind
        self._folder = folder
        with folder.mapped_errors():
            folder.path.parent.mkdir(parents=True, exist_ok=True)
        files = folder.files()
        self._written = self._taken = files[-1].state if files else State()
        self._is_unclaimed = mark is None and self._written.results > 0
        self._is_certain = self._written.results == 0 or (mark is not None and mark == self._written.mark)
        self._rows: list[_Row] = []
        self._bytes = 0

    @property
    def mark(self) -> Mark:
        """How many results it has taken."""
        return self._taken.mark

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        """See the port. The state of each file says which results it holds: those of the log, or another crawl's."""
        if not self._is_certain or self._written.results > length:
            self._agree(log, length)
            self._is_certain = True
        return self.mark

    def write(self, results: Sequence[Result]) -> Mark:
        """Take results; write a part if there are enough."""
        self._kind.remember()
        for result in results:
            rows = self._kind.taken(result)
            self._rows += rows
            self._bytes += sum(len(_size(row.fields)) for row in result.rows) if rows else 0
            self._taken = self._taken.after(result, len(rows))
            limit = self._kind.shape.rotate or PART_ROWS
            if len(self._rows) >= limit or self._bytes >= PART_BYTES:
                self._flush()
        return self.mark

    def finish(self) -> None:
        """Join all parts."""
        self._flush()
        self._folder.join(self._taken, self._schema())

    def close(self) -> None:
        """Write what has come as a part."""
        self._flush()

    def _flush(self) -> None:
        if self._taken == self._written:
            return
        table = table_of(self._kind.names, self._kind.types, self._rows)
        self._folder.add(self._written, self._taken, table)
        self._written, self._rows, self._bytes = self._taken, [], 0

    def _schema(self) -> pa.Schema:
        return table_of(self._kind.names, self._kind.types, ()).schema

    def _agree(self, log: Iterator[Result], length: int) -> None:
        """Compare the states of the files with the log, and remove those that hold more."""
        states = {file.state.results: file.state for file in self._folder.files()}
        state = State()
        for result in islice(log, self._written.results):
            state = state.after(result)
            if state.results in states and states[state.results].digest != state.digest:
                raise UsageError(self._foreign())
        if self._written.results > length:
            if self._is_unclaimed or not (self._is_certain or any(each <= length for each in states)):
                raise UsageError(self._foreign())
            with self._folder.mapped_errors():
                self._folder.keep(length)
            files = self._folder.files()
            self._written = self._taken = files[-1].state if files else State()

    def _foreign(self) -> str:
        return foreign(self._folder.path)


def _tables(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=PART_ROWS):
            yield pa.Table.from_batches([batch]).cast(schema)


def _rows(path: Path, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            columns = [batch.column(place).to_pylist() for place in range(len(names))]
            yield from zip(*columns, strict=True)
