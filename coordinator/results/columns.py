"""The tables of a job's rows: their columns, with the types that its rules and its `columns` define. Pure.

Rows have plain values whatever the types (`shared.field_types`); `sinks.cells` turns them into values of Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from crawlfleet.coordinator.core.seed_line import REQUESTED, SEED
from crawlfleet.shared.brief import DATA
from crawlfleet.shared.field_types import INT, JSON, TEXT, URL
from crawlfleet.shared.messages import PAGE_FIELDS, PAGE_ITEM

OTHER = "other"
REST = "rest"
_PAGE_TYPES = {"status": INT, "size": INT, "canonical": URL, "depth": INT}


class Column(msgspec.Struct, frozen=True):
    """One column. `many` makes it a list; one that is nested has `fields`, and each of its values is a mapping."""

    name: str
    type: str = TEXT
    many: bool = False
    fields: tuple[Column, ...] = ()


class Table(msgspec.Struct, frozen=True):
    """The rows of one item. `rest` is the name of the last column, which has the fields without a column, if any."""

    name: str
    columns: tuple[Column, ...]
    rest: str = ""


class Layout(msgspec.Struct, frozen=True):
    """The tables of a job. `other` takes the rows of all items without a table of their own; None: there are none."""

    tables: tuple[Table, ...]
    other: Table | None = None

    def table_of(self, item: str) -> Table | None:
        """Return the table of an item's rows."""
        return next((table for table in self.tables if table.name == item), self.other)

    def __iter__(self) -> Iterator[Table]:
        yield from self.tables
        if self.other is not None:
            yield self.other


def layout_of(job: Mapping[str, Any]) -> Layout:
    """Return the tables of a job, as plain data: one for each rule, and each item that `columns` defines.

    The rows of a hook may have other fields and be of other items; those of a job without rules or a hook are pages.
    With seeds of files, tables have columns for what a line says.
    """
    head = _head(job.get("seed_columns"))
    items, declared = job.get("items", ()), job.get("columns") or {}
    fields = {item["name"]: tuple(_of_form(name, form) for name, form in item["fields"].items()) for item in items}
    for name, columns in declared.items():
        known = tuple(column for column in fields.get(name, ()) if column.name not in columns)
        fields[name] = (*known, *(_declared(column, kind) for column, kind in columns.items()))
    if job.get("hooks") is None:
        fields = fields or {PAGE_ITEM: tuple(Column(name, _PAGE_TYPES.get(name, TEXT)) for name in PAGE_FIELDS)}
        return Layout(tuple(_table(name, (*head, *columns), is_open=False) for name, columns in fields.items()))
    tables = tuple(_table(name, (*head, *columns), is_open=True) for name, columns in fields.items())
    return Layout(tables, _table(_free(OTHER, fields), (Column("item"), *head), is_open=True))


def _head(columns: Sequence[str] | None) -> tuple[Column, ...]:
    """Return the columns of rows that lines of seeds files lead to: those lines have these, None if there are none."""
    if columns is None:
        return ()
    seed = (Column(SEED, fields=tuple(map(Column, columns))),) if columns else ()
    return (Column(REQUESTED), *seed)


def _table(name: str, columns: tuple[Column, ...], *, is_open: bool) -> Table:
    columns = (Column("url", URL), *columns)
    if not is_open:
        return Table(name, columns)
    rest = _free(REST, {column.name for column in columns})
    return Table(name, (*columns, Column(rest, JSON)), rest)


def _free(name: str, taken: Mapping[str, Any] | set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _of_form(name: str, form: Mapping[str, Any]) -> Column:
    """Return the column of a rule's field. A nested field is a list unless it says otherwise."""
    fields = form.get("fields") or {}
    below = tuple(_of_form(each, nested) for each, nested in fields.items())
    many = form["many"] if "many" in form else form.get("list") is not False if fields else bool(form.get("list"))
    # A part of data is kept as it is, unless the job says otherwise.
    usual = JSON if any(form.get(way) is not None for way in DATA) else TEXT
    return Column(name, form.get("type") or usual, many, below)


def _declared(name: str, kind: str) -> Column:
    """Return the column that `columns` defines: a type, or a list of one such as `[int]`."""
    return Column(name, kind.strip("[]"), kind.startswith("["))
