"""Cells as Apache Arrow has them, for formats with typed columns: Parquet, DuckDB.

A decimal has 28 digits before the point and 10 behind it; a date and time is in UTC (one without an offset counts as
UTC); JSON is a text; lists are lists, nested fields structs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import pyarrow as pa

from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks.cells import json_text, shown
from crawlfleet.shared import field_types

SCALE = 10
_PRICE = (Column("amount", field_types.DECIMAL), Column("currency"))
_TYPES = {
    field_types.INT: pa.int64(),
    field_types.FLOAT: pa.float64(),
    field_types.DECIMAL: pa.decimal128(field_types.MAX_DECIMAL_DIGITS, SCALE),
    field_types.BOOL: pa.bool_(),
    field_types.DATE: pa.date32(),
    field_types.DATETIME: pa.timestamp("us", tz="UTC"),
}
_EXACT = Context(prec=field_types.MAX_DECIMAL_DIGITS, traps=[Inexact, InvalidOperation])
_STEP = Decimal(1).scaleb(-SCALE)


def arrow_type(column: Column) -> pa.DataType:
    """Return the type of a column."""
    fields = _fields_of(column)
    one = (
        pa.struct([(each.name, arrow_type(each)) for each in fields])
        if fields
        else _TYPES.get(column.type, pa.string())
    )
    return pa.list_(one) if column.many else one


def store_for(column: Column) -> Callable[[Any], Any]:
    """Return the function from the cells of a column to values that its type takes, and gives back.

    It raises `ValueError` for a number that does not fit.
    """
    fields = _fields_of(column)
    one = _struct(fields) if fields else _STORES.get(column.type, lambda cell: cell)
    if not column.many:
        return one
    return lambda cells: [None if cell is None else one(cell) for cell in cells]


def table_of(names: Sequence[str], types: Sequence[pa.DataType], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Return rows as a table of Arrow."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    arrays = [pa.array(column, type=kind) for column, kind in zip(columns, types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(zip(names, types, strict=True))))


def inferred(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows as a table of Arrow, with a column for each field that one has, of the type of its values.

    Raise `ValueError` if the values of a field have several.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise ValueError(f"the values of {name!r} have several types ({error})") from error
    return pa.table(columns)


def _fields_of(column: Column) -> tuple[Column, ...]:
    return _PRICE if column.type == field_types.PRICE and not column.fields else column.fields


def _struct(fields: tuple[Column, ...]) -> Callable[[Any], Any]:
    stores = [(each.name, store_for(each)) for each in fields]

    def store(cell: Any) -> Any:
        return {name: None if cell[name] is None else one(cell[name]) for name, one in stores}

    return store


def _decimal(cell: Decimal) -> Decimal:
    try:
        return cell.quantize(_STEP, context=_EXACT)
    except (Inexact, InvalidOperation):
        raise ValueError(
            f"is {shown(str(cell))}, which has more than 28 digits before the point or 10 behind it"
        ) from None


def _datetime(cell: datetime) -> datetime:
    try:
        return cell.replace(tzinfo=UTC) if cell.tzinfo is None else cell.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"is {cell.isoformat()}, which is in no year from 1 to 9999 in UTC") from None


_STORES: dict[str, Callable[[Any], Any]] = {
    field_types.DECIMAL: _decimal,
    field_types.DATETIME: _datetime,
    field_types.JSON: json_text,
}
