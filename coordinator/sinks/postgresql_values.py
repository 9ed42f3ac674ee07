"""The values of a PostgreSQL table: what is stored for a cell, and the same when it is read back. Pure.

`jsonb` keeps no order of keys and no form of numbers, so JSON is compared in one form: keys sorted, numbers in plain
notation without zeros at their ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks.cells import json_text
from crawlfleet.shared import field_types

# Digits before and behind the point that a number may have: far more than any field, and fewer than `numeric` allows.
MAX_DIGITS = 10_000

JSONB = "jsonb"
_TYPES = {
    field_types.INT: "bigint",
    field_types.FLOAT: "double precision",
    field_types.DECIMAL: "numeric",
    field_types.BOOL: "boolean",
    field_types.DATE: "date",
    field_types.DATETIME: "timestamptz",
    field_types.JSON: JSONB,
}

_encode = msgspec.json.Encoder(order="sorted").encode


def type_of(column: Column) -> str:
    """Return the type of a column."""
    return JSONB if column.many or column.fields else _TYPES.get(column.type, "text")


def store_for(column: Column) -> Callable[[Any], Any]:
    """Return the function from the cells of a column to values that PostgreSQL gives back unchanged."""
    return _STORES.get(type_of(column), lambda cell: cell)


def reader_of(column: Column) -> Callable[[Any], Any]:
    """Return the function from values as they are read to those that were stored."""
    return _READERS.get(type_of(column), lambda value: value)


def canonical_json(text: str) -> str:
    """Return JSON in the form that is compared."""
    try:
        return _encode(_plain(json.loads(text, parse_float=Decimal))).decode()
    except RecursionError:
        raise ValueError("is nested too deep") from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return _text(value)
    return msgspec.Raw(_number(value).encode()) if isinstance(value, Decimal) else value


def _number(value: Decimal) -> str:
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _text(cell: str) -> str:
    if "\0" in cell:
        raise ValueError("has a NUL character, which PostgreSQL cannot store")
    return cell


def _json(cell: Any) -> str:
    text = json_text(cell)
    assert text is not None
    return canonical_json(text)


def _decimal(cell: Decimal) -> Decimal:
    exponent = cell.as_tuple().exponent
    assert isinstance(exponent, int)
    if not (cell.adjusted() < MAX_DIGITS and exponent > -MAX_DIGITS):
        raise ValueError(f"has more than {MAX_DIGITS:,} digits")
    plain = Decimal(format(cell, "f"))
    return plain if plain else plain.copy_abs()


def _datetime(cell: datetime) -> datetime:
    try:
        return cell.replace(tzinfo=UTC) if cell.tzinfo is None else cell.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the year 1 or after the year 9999 in UTC") from None


_STORES: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "numeric": _decimal,
    "timestamptz": _datetime,
    JSONB: _json,
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "timestamptz": lambda value: value.astimezone(UTC),
    JSONB: canonical_json,
}
