"""The sinks of a job, one by one: what each is called, where it is, and the kind that writes it.

A kind of files with one table each makes a file for each table of the job: that of a job's only table has the name that
stands in the job, others have the table's name before the ending (`items.book.csv`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.results.columns import Layout, Table, layout_of
from crawlfleet.coordinator.sinks.late_sink import LateSink
from crawlfleet.coordinator.sinks.line_file import has_block, is_locked
from crawlfleet.coordinator.sinks.port import Shape, Sink, SinkKind
from crawlfleet.coordinator.sinks.registry import OBJECTS, SinkEntry, entry_for, scheme_of, service_for

# The folder of the files that are put elsewhere.
OUTBOX = "outbox"


@dataclass(frozen=True)
class Output:
    """One sink of a job. `name` is that of its mark; `is_late` says that it is created by its first row,
    `is_put` that its file is put at an address. `headers` are sent with rows: its shape, which is kept, has not their
    values. `writer` is that of its shape while it is written."""

    name: str
    path: Path
    entry: SinkEntry
    shape: Shape
    is_late: bool = False
    is_put: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    writer: str = ""

    @property
    def place(self) -> Path | str:
        """Where the rows are, for people: an address, or a path."""
        return self.shape.address or self.path

    @property
    def is_of_folder(self) -> bool:
        """Whether it is written where the crawl's folder is: a file, whose name may lead elsewhere, or one that is put
        at an address. Others have an address of their own."""
        return self.is_put or not self.shape.address

    @property
    def on_disk(self) -> tuple[Path, ...]:
        """The file, and what the sink has beside it, as far as they are there."""
        named = (self.path.with_name(self.path.name + end) for end in ("", *self.entry.beside))
        return tuple(path for path in named if path.exists())

    @property
    def is_locked(self) -> bool:
        """Whether a crawl is writing the file, as far as its kind locks it."""
        if not self.path.is_file():
            return False
        with self.path.open("rb") as file:
            return is_locked(file)

    @cached_property
    def kind(self) -> SinkKind:
        """The sink's kind. Raises `UsageError` if a package for it is missing."""
        return self.entry.made_for(msgspec.structs.replace(self.shape, headers=self.headers, writer=self.writer))

    @property
    def schema(self) -> bytes:
        """What the sink's columns depend on, a `Shape` as JSON; empty if the kind has no columns."""
        return msgspec.json.encode(narrowed(self.shape)) if self.entry.has_columns else b""

    def is_at(self, mark: Mark, *, whole: bool) -> bool:
        """Say whether the sink, which nobody is writing, is as its mark says.

        Unless it is to be `whole`, it may be as a killed run leaves it. Raises as `open` does.
        """
        if not self.entry.transactional:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                return (size == mark.size_bytes or (size > mark.size_bytes and not whole)) and has_block(file, mark)
        with closing(self._open(self.path, mark, power=False)) as sink:
            return sink.mark == mark or not whole

    def open(self, mark: Mark | None, *, power: bool, path: Path | None = None, is_own: bool = False) -> Sink:
        """Open the sink at its mark (see `SinkKind.open`), or one like it at another path.

        What is at its address is the crawl's if `is_own`, or if its folder says so.
        """
        place = path or self.path
        if self.is_put and path is None:
            put_sink = OBJECTS.load()
            opened = partial(self._open, place, mark, power=power)
            sink: Sink = put_sink(opened, place, self.shape.address, self.schema, is_own=is_own)
            return sink
        return self._open(place, mark, power=power)

    def _open(self, place: Path, mark: Mark | None, *, power: bool) -> Sink:
        if not self.is_late:
            return self.kind.open(place, mark, power=power)
        return LateSink(
            place,
            mark,
            lambda mark: self.kind.open(place, mark, power=power),
            lambda results: any(map(self.kind.rows_of, results)),
        )


def narrowed(shape: Shape) -> Shape:
    """Return a shape without the columns of tables that a sink does not hold."""
    layout = shape.layout
    if shape.table and layout.other is not None and shape.table == layout.other.name:
        layout = Layout(tuple(Table(table.name, ()) for table in layout.tables), layout.other)
    elif shape.table:
        layout = Layout(tuple(table for table in layout.tables if table.name == shape.table))
    return msgspec.structs.replace(shape, layout=layout)


def outputs_of(job: Mapping[str, Any], folder: Path) -> tuple[Output, ...]:
    """Return the sinks of a job, which is plain data, in its order. Plain names are files in the crawl's folder."""
    layout = layout_of(job)
    crawl = job.get("name", "")
    return tuple(output for sink in job["sinks"] for output in _outputs(sink, layout, folder, crawl))


def _outputs(sink: str | Mapping[str, Any], layout: Layout, folder: Path, crawl: str) -> Iterator[Output]:
    options: Mapping[str, Any] = {"to" if scheme_of(sink) else "file": sink} if isinstance(sink, str) else sink
    own = {key: value for key, value in options.items() if key not in ("file", "to") and value is not None}
    if "to" in options:
        yield from outputs_at(options["to"], folder, layout, {**own, "crawl": crawl})
        return
    name = options["file"]
    for output in outputs_in(folder / name, entry_for(name), layout, own):
        yield replace(output, name=str(Path(name).with_name(output.path.name)))


def with_headers(output: Output, headers: Mapping[str, tuple[tuple[str, str], ...]]) -> Output:
    """Return a sink with the header fields for its address."""
    return replace(output, headers=headers.get(output.shape.address, ()))


def outputs_at(address: str, folder: Path, layout: Layout, options: Mapping[str, Any]) -> Iterator[Output]:
    """Yield the sinks at an address. Each has the name of its address; files are written in a folder of the crawl's."""
    entry = service_for(address)
    given = {**options, "headers": tuple((name, value) for name, value in options.get("headers", ()))}
    if entry is not None:
        yield Output(address, folder, entry, Shape(layout=layout, address=address, **given))
        return
    parent, _, name = address.rpartition("/")
    path = folder / OUTBOX / blake2b(address.encode(), digest_size=8).hexdigest() / name
    for output in outputs_in(path, entry_for(address), layout, given):
        own = f"{parent}/{output.path.name}"
        yield replace(output, name=own, shape=msgspec.structs.replace(output.shape, address=own), is_put=True)


def outputs_in(path: Path, entry: SinkEntry, layout: Layout, options: Mapping[str, Any]) -> Iterator[Output]:
    """Yield the sinks that one name stands for. Each has the name of its file."""
    if not entry.per_table:
        yield Output(path.name, path, entry, Shape(layout=layout, **options))
        return
    plain = next(iter(layout)) if len(list(layout)) == 1 or len(layout.tables) == 1 else None
    stem = path.name.removesuffix(entry.name)
    for table in layout:
        name = path.name if table is plain else f"{stem}.{table.name}{entry.name}"
        # A late sink goes by its mark alone until it is there; that of a transactional one may be ahead of its files.
        is_late = table is layout.other and table is not plain and not entry.transactional
        shape = Shape(layout=layout, table=table.name, **options)
        yield Output(name, path.with_name(name), entry, shape, is_late)
