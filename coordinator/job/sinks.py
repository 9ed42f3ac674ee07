"""The sinks of a job, as a person wrote them, and the columns of the rows of its hook. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_validator,
)

from crawlfleet.coordinator.job import values as job_values
from crawlfleet.coordinator.job.headers import RowHeaders, secret
from crawlfleet.coordinator.job.section import Section, Written, fault, given, keys_of, repeated, tag_of, within
from crawlfleet.coordinator.results.columns import Layout
from crawlfleet.coordinator.sinks.addresses import check_address
from crawlfleet.coordinator.sinks.cells import flat
from crawlfleet.coordinator.sinks.registry import SERVICES, SINKS, entry_for, scheme_of, service_for
from crawlfleet.shared.field_types import FIELD_TYPES
from crawlfleet.shared.paths import shown

Rows: TypeAlias = Annotated[Annotated[int, within(1, 10**9)] | None, BeforeValidator(given)]
Formulas: TypeAlias = Literal["escape", "keep"]


def _file(value: str, info: ValidationInfo) -> str:
    if scheme_of(value):
        raise ValueError("is an address, not a file: write it under `to`")
    job_values.sink_ending(value)
    if not value.isprintable():
        raise ValueError(f"{value[:60]!r} is no file name: write printable characters")
    assert info.context is not None
    path = os.path.realpath(Path(info.context["folder"]) / value)
    if path != shown(path):
        raise ValueError(f"{shown(path)} has bytes that are no UTF-8 in its name: choose a file elsewhere")
    return path


class FileSink(Section):
    """A file anywhere: its path, relative to the job file, and how it is written."""

    file: Annotated[str, AfterValidator(_file)]
    formulas: Formulas = "escape"
    rotate: Rows = None

    @model_validator(mode="after")
    def _options_fit(self) -> FileSink:
        entry = entry_for(self.file)
        for name in sorted(self.model_fields_set - {"file"} - set(entry.options)):
            fitting = ", ".join(each.name for each in SINKS.values() if name in each.options)
            raise fault((name,), f"is for files that end in {fitting}: leave it out")
        return self


class AddressSink(Section):
    """A sink that is no file of this machine: its address, and how it is written."""

    to: Annotated[str, AfterValidator(check_address)]
    formulas: Formulas = "escape"
    rotate: Rows = None
    schema_name: Annotated[str, AfterValidator(job_values.schema_name)] = Field(default="public", alias="schema")
    prefix: Annotated[str, AfterValidator(job_values.table_prefix)] = ""
    headers: RowHeaders = Field(default=(), repr=False)

    @model_validator(mode="after")
    def _options_fit(self) -> AddressSink:
        entry = service_for(self.to) or entry_for(self.to)
        keys = dict(zip(AddressSink.model_fields, keys_of(AddressSink), strict=True))
        for name in sorted(self.model_fields_set - {"to"} - set(entry.options)):
            fitting = ", ".join(each.name for each in (*SERVICES.values(), *SINKS.values()) if name in each.options)
            raise fault((keys[name],), f"is for {fitting}: leave it out")
        return self


def _form(value: object) -> str:
    if not isinstance(value, dict | Section):
        return "(name)"
    is_address = isinstance(value, AddressSink) or (isinstance(value, dict) and "to" in value)
    return tag_of(AddressSink if is_address else FileSink)


# The tags show up in the paths of complaints and are left out of them by `problems`.
Sink: TypeAlias = Annotated[
    Annotated[Annotated[str, AfterValidator(job_values.sink)], Tag("(name)")]
    | Annotated[FileSink, Tag(tag_of(FileSink))]
    | Annotated[AddressSink, Tag(tag_of(AddressSink))],
    Discriminator(_form),
]


def name_of(sink: Sink) -> str:
    """Return the name of a sink: as it stands in the job, or its path, or its address."""
    return sink if isinstance(sink, str) else sink.to if isinstance(sink, AddressSink) else sink.file


def headers_of(sinks: Iterable[Sink]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the header fields, with their values, that are sent with the rows of sinks, by their addresses."""
    return {sink.to: secret(sink.headers) for sink in sinks if isinstance(sink, AddressSink) and sink.headers}


def check_name_lengths(sinks: tuple[Sink, ...], layout_of_job: Callable[[], Layout]) -> None:
    """Refuse a sink whose database has no room for the name of a table or column."""
    for index, sink in enumerate(sinks):
        entry = service_for(name_of(sink))
        if entry is None or not entry.longest_name_bytes:
            continue
        layout = layout_of_job()
        prefix = sink.prefix if isinstance(sink, AddressSink) else ""
        columns = (column.name for table in layout for column in flat(table))
        for name in (*(prefix + table.name for table in layout), *columns):
            if len(name.encode()) > entry.longest_name_bytes:
                most = entry.longest_name_bytes
                raise fault(("sinks", index), f"{entry.name} has names of {most} bytes at most: shorten {name!r}")


def check_sinks(sinks: tuple[Sink, ...]) -> tuple[Sink, ...]:
    """Refuse a sink that is listed twice."""
    # By folded case, since some file systems take the two for one file.
    index = repeated(name_of(sink).casefold() for sink in sinks)
    if index is not None:
        raise fault((index,), f"{name_of(sinks[index])!r} is listed twice: keep one")
    return sinks


TableFile = Annotated[str, AfterValidator(job_values.sink_file)]


class TableFiles(Section):
    """The files that tables of the crawl are written to when it is finished: see `offline.tables`."""

    urls: Annotated[TableFile | None, BeforeValidator(given)] = None
    links: Annotated[TableFile | None, BeforeValidator(given)] = None
    broken: Annotated[TableFile | None, BeforeValidator(given)] = None

    @property
    def files(self) -> dict[str, str]:
        """The files by the names of the tables."""
        return {name: file for name, file in self if file is not None}

    @property
    def has_links(self) -> bool:
        """Whether the links of pages are recorded."""
        return self.links is not None or self.broken is not None

    def check(self, sinks: tuple[Sink, ...]) -> None:
        """Refuse a file that is a sink, or of two tables."""
        taken = {name_of(sink).casefold(): f"the sink {name_of(sink)!r}" for sink in sinks}
        for table, file in self.files.items():
            if file.casefold() in taken:
                raise fault(("tables", table), f"{file!r} is {taken[file.casefold()]} already: name another file")
            taken[file.casefold()] = f"the file of the table {table}"


def _column_type(value: str) -> str:
    name = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if name not in FIELD_TYPES:
        known = ", ".join(FIELD_TYPES)
        raise ValueError(f"{value[:60]!r} is no type: write one of {known}, or one in '[]' for a list")
    return value


def _written_type(value: object) -> object:
    return f"[{value[0]}]" if isinstance(value, tuple) and len(value) == 1 else value


def _column_types() -> dict[str, Any]:
    names = list(FIELD_TYPES)
    several = {"type": "array", "items": {"enum": names}, "minItems": 1, "maxItems": 1}
    return {"anyOf": [{"enum": [*names, *(f"[{name}]" for name in names)]}, several]}


ColumnType = Annotated[
    str,
    AfterValidator(_column_type),
    BeforeValidator(_written_type, json_schema_input_type=Annotated[Any, Written(_column_types)]),
]
ItemName = Annotated[str, AfterValidator(job_values.item_name)]
ColumnName = Annotated[str, AfterValidator(job_values.item_field_name)]
Columns: TypeAlias = dict[ItemName, dict[ColumnName, ColumnType]]
