"""Numbers as pages write them. Pure.

A number is a sign or none, digits, maybe in groups of three, maybe a fraction, maybe an exponent. Unless it is said
otherwise the decimal separator is a point. A text that has anything else in it is not a number: what is meant is not
guessed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import Any

from crawlfleet.shared.field_types import MAX_DECIMAL_DIGITS

# Between groups: blanks of any width, apostrophes, an underscore; and of point and comma the one that is not decimal.
_GAPS = "\\s'\u2019_"
_MINUS = "\u2212"
# Beyond it nothing is a float, or has few enough digits.
_MAX_EXPONENT = 400


def decimal_of(value: Any, separator: str = ".") -> Decimal:
    """Return a number as a page, or a JSON document, has it; raise `ValueError` for anything else."""
    if type(value) is int or type(value) is float:
        value, separator = str(value), "."
    match = _form(separator).fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or abs(int(match["exponent"] or 0)) > _MAX_EXPONENT:
        raise ValueError
    # Made from text, since arithmetic would round.
    minus = "-" if match["sign"] in ("-", _MINUS) else ""
    whole = re.sub(r"\D", "", match["whole"])
    return Decimal(f"{minus}{whole}.{match['fraction'] or ''}e{match['exponent'] or 0}")


def plain(number: Decimal) -> str:
    """Return a number in plain notation; raise `ValueError` if it has too many digits."""
    if not number.is_finite() or abs(number.adjusted()) > MAX_DECIMAL_DIGITS:
        raise ValueError
    text = f"{number:f}"
    if sum(map(str.isdigit, text)) > MAX_DECIMAL_DIGITS:
        raise ValueError
    return text


@cache
def _form(separator: str) -> re.Pattern[str]:
    point, gaps = re.escape(separator), _GAPS + ("." if separator == "," else ",")
    grouped = rf"\d{{1,3}}(?P<gap>[{gaps}])\d{{3}}(?:(?P=gap)\d{{3}})*+"
    return re.compile(
        rf"(?P<sign>[-+{_MINUS}])?\s?(?P<whole>{grouped}|\d++|(?={point}\d))(?:{point}(?P<fraction>\d*+))?"
        r"(?:[eE](?P<exponent>[-+]?\d{1,4}))?"
    )
