"""Rows as the cells of a table: values of Python, each of the type of its column. Pure.

A price becomes two columns: the amount under its own name, and the currency. A column with `many` or with fields of its
own has lists and mappings, whose values are converted likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.results.columns import Column, Layout, Table
from crawlfleet.coordinator.results.rows import flat as flat_row
from crawlfleet.coordinator.sinks.conversion import Convert, converter
from crawlfleet.coordinator.sinks.port import Rejected, RowRejected
from crawlfleet.shared import field_types

CURRENCY = "_currency"
MAX_SHOWN_CHARS = 60

_encode = msgspec.json.Encoder(order="sorted").encode


class Cells(NamedTuple):
    """A row of a table: the place of the row in its result, and a value for each of the table's flat columns."""

    table: Table
    place: int
    values: tuple[Any, ...]


class CellReader:
    """Turns results into the cells of a layout's tables, or of one of them: `only`.

    Rows for which there is no table are rejected; if there are several readers, the one of the first table does that.
    """

    def __init__(self, layout: Layout, only: str = "") -> None:
        self._layout = layout
        self._readers = {table.name: _reader(table) for table in layout if only in ("", table.name)}
        self._is_first = next(iter(layout)).name in self._readers

    def sorted(self, result: Result) -> Iterator[Cells | Rejected]:
        """Yield the cells of each row, or why it is rejected."""
        for place, row in enumerate(result.rows):
            table = self._layout.table_of(row.item)
            if table is None:
                if self._is_first:
                    yield _rejected(result, place, f"there is no table for the item {shown(row.item)}")
            elif table.name in self._readers:
                try:
                    values = self._readers[table.name](flat_row(result, row))
                except RowRejected as rejected:
                    yield _rejected(result, place, str(rejected))
                else:
                    yield Cells(table, place, values)


def flat(table: Table) -> tuple[Column, ...]:
    """Return the columns of a table whose prices are divided into amount and currency."""
    return tuple(one for column in table.columns for one in _flat(column, {each.name for each in table.columns}))


def json_text(value: Any) -> str | None:
    """Return a list or mapping of cells as JSON; None of None."""
    return None if value is None else _encode(value).decode()


def shown(value: Any) -> str:
    """Return a value for a sentence, cut."""
    return repr(value)[:MAX_SHOWN_CHARS]


def _flat(column: Column, names: set[str]) -> tuple[Column, ...]:
    if not _is_price(column):
        return (column,)
    currency = column.name + CURRENCY
    while currency in names:
        currency += "_"
    return (Column(column.name, field_types.DECIMAL), Column(currency))


def _is_price(column: Column) -> bool:
    return column.type == field_types.PRICE and not column.many


def _rejected(result: Result, place: int, reason: str) -> Rejected:
    row = result.rows[place]
    return Rejected(place, flat_row(result, row), reason)


def _reader(table: Table) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Return a function from a row to its cells. A field without a column is in the column `rest`, if there is one."""
    columns = table.columns[:-1] if table.rest else table.columns
    own = [(column.name, converter(column), _is_price(column)) for column in columns]
    named = {"url", "item", *(name for name, _, _ in own)}

    def read(fields: dict[str, Any]) -> tuple[Any, ...]:
        cells: list[Any] = []
        for name, convert, is_price in own:
            value = fields.get(name)
            cell = None if value is None else _checked(name, convert, value)
            if is_price:
                cells += (cell["amount"], cell["currency"]) if cell is not None else (None, None)
            else:
                cells.append(cell)
        if table.rest:
            cells.append({key: value for key, value in fields.items() if key not in named} or None)
        return tuple(cells)

    return read


def _checked(name: str, convert: Convert, value: Any) -> Any:
    try:
        return convert(value)
    except (ValueError, TypeError) as error:
        raise RowRejected(f"{name} is {shown(value)}, which {error}") from error
