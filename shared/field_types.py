"""The types of fields: what a job may ask for, and the form that a value of each has in a row.

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
