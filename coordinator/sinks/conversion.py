"""From the plain values of rows to values of Python, by the type of their column. Pure.

A converter raises `ValueError` or `TypeError` whose text says what is wrong with the value, as in "is no number".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from crawlfleet.coordinator.results.columns import Column
from crawlfleet.shared import field_types

MAX_INT = 2**63
# Of a decimal: it is written without one.
MAX_EXPONENT = 10_000

Convert = Callable[[Any], Any]

_encode = msgspec.json.Encoder().encode


def converter(column: Column) -> Convert:
    """Return the converter of a column: of lists if it has `many`, of mappings if it has fields."""
    one = _nested(column.fields) if column.fields else CONVERTERS[column.type]
    if not column.many:
        return one

    def several(value: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError("is no list")
        return [None if each is None else one(each) for each in value]

    return several


def _nested(columns: tuple[Column, ...]) -> Convert:
    converters = [(column.name, converter(column)) for column in columns]

    def mapping(value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError("is no mapping")
        found = ((name, convert, value.get(name)) for name, convert in converters)
        return {name: None if each is None else convert(each) for name, convert, each in found}

    return mapping


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("is no whole number")
    try:
        number = int(value)
    except ValueError:
        raise ValueError("is no whole number") from None
    if not -MAX_INT <= number < MAX_INT:
        raise ValueError("needs more than 64 bits")
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("is no number")
    try:
        return float(value)
    except ValueError:
        raise ValueError("is no number") from None


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("is no number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("is no number") from None
    if not number.is_finite():
        raise ValueError("is no finite number")
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise ValueError(f"has an exponent beyond {MAX_EXPONENT}")
    return number


def _bool(value: Any) -> bool:
    if value not in (True, False, "true", "false") or not isinstance(value, bool | str):
        raise ValueError("is neither true nor false")
    return value in (True, "true")


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("is no date such as 2026-01-31") from None


def _datetime(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("is no date and time such as 2026-01-31T12:00:00+01:00") from None


def _price(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"amount": _decimal(value), "currency": None}
    amount, currency = value.get("amount"), value.get("currency")
    return {
        "amount": None if amount is None else _decimal(amount),
        "currency": None if currency is None else _text(currency),
    }


CONVERTERS: dict[str, Convert] = {
    field_types.TEXT: _text,
    field_types.URL: _text,
    field_types.INT: _int,
    field_types.FLOAT: _float,
    field_types.DECIMAL: _decimal,
    field_types.BOOL: _bool,
    field_types.DATE: _date,
    field_types.DATETIME: _datetime,
    field_types.PRICE: _price,
    field_types.JSON: lambda value: value,
}
