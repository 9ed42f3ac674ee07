"""The types of fields: what a job may ask for, and the form that a value of each has in a row. Pure.

Rows have plain values only (`shared.plain_values`), whatever the type. A value that cannot be converted is None; a list
is a list of such values, a nested field a dict, or a list of dicts.

| type | in a row |
|---|---|
| `text` | str |
| `int` | int of 64 bits with a sign |
| `float` | finite float |
| `decimal` | str in plain notation such as `12.30`: at most 38 digits, no exponent |
| `bool` | bool |
| `date` | str, `YYYY-MM-DD` |
| `datetime` | str, `YYYY-MM-DDTHH:MM:SS[.ffffff][+HH:MM]`: with the offset from UTC if the page tells one |
| `url` | str: absolute, as the URL standard writes it |
| `price` | dict: `amount` as a decimal; `currency`, a str (its ISO 4217 code, or the sign as found) or None |
| `json` | any plain value |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from math import isfinite
from typing import Any

from crawlfleet.shared.plain_values import refuse_odd_parts
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS, is_canonical

TEXT = "text"
INT = "int"
FLOAT = "float"
DECIMAL = "decimal"
BOOL = "bool"
DATE = "date"
DATETIME = "datetime"
URL = "url"
PRICE = "price"
JSON = "json"

FIELD_TYPES = (TEXT, INT, FLOAT, DECIMAL, BOOL, DATE, DATETIME, URL, PRICE, JSON)

#: The longest `decimal`, in digits before and behind the point together.
MAX_DECIMAL_DIGITS = 38
#: The longest name or sign of a currency.
MAX_CURRENCY_CHARS = 20
#: How deep a `json` value may be nested.
MAX_JSON_DEPTH = 32

INTS = range(-(2**63), 2**63)
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?(?:[+-]\d\d:\d\d)?", re.ASCII)


def fits(kind: str, value: Any) -> bool:
    """Say whether a value has the form of its type in a row. None, which stands for no value, has none."""
    return _FORMS[kind](value)


def is_decimal(value: Any) -> bool:
    """Say whether a value is a decimal as rows have it."""
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        return False
    return sum(map(str.isdigit, value)) <= MAX_DECIMAL_DIGITS


def is_plain(value: Any) -> bool:
    """Say whether any row can have a value in a field of type `json`."""
    try:
        refuse_odd_parts(value, "value", MAX_JSON_DEPTH)
    except (TypeError, ValueError):
        return False
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_plain(value)


def _is_int(value: Any) -> bool:
    return type(value) is int and value in INTS


def _is_float(value: Any) -> bool:
    return type(value) is float and isfinite(value)


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_datetime(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(_DATETIME.fullmatch(value) and datetime.fromisoformat(value))
    except ValueError:
        return False


def _is_url(value: Any) -> bool:
    is_address = isinstance(value, str) and len(value) <= LONGEST_URL_CHARS
    return is_address and value.startswith(("http://", "https://")) and is_canonical(value)


def _is_price(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"amount", "currency"} or not is_decimal(value["amount"]):
        return False
    currency = value["currency"]
    return currency is None or (_is_text(currency) and 0 < len(currency) <= MAX_CURRENCY_CHARS)


_FORMS: dict[str, Callable[[Any], bool]] = {
    TEXT: _is_text,
    INT: _is_int,
    FLOAT: _is_float,
    DECIMAL: is_decimal,
    BOOL: lambda value: isinstance(value, bool),
    DATE: _is_date,
    DATETIME: _is_datetime,
    URL: _is_url,
    PRICE: _is_price,
    JSON: lambda value: value is not None and is_plain(value),
}
