"""Converts what was taken of a page to the type of its field: see `shared.field_types`. Pure.

A text, or a value of a JSON document, goes in; a value as rows have it comes out, or `Unconvertible` is raised. What a
value is, is never guessed; a text may have blanks around it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from crawlfleet.shared import dates, field_types
from crawlfleet.shared.brief import ELEMENTS, FieldRule
from crawlfleet.shared.field_types import INTS, MAX_CURRENCY_CHARS
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS
from crawlfleet.worker.extract.decimals import decimal_of, plain
from crawlfleet.worker.extract.page import Page

#: No number, date or price is longer.
MAX_TEXT_CHARS = 1_000
_MINUS = ("-", "\u2212")
_BOOLS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)

#: From a value, and the page, to which addresses are relative.
Convert = Callable[[Any, Page], Any]


class Unconvertible(Exception):
    """A value cannot be converted to the type of its field."""


def converter(rule: FieldRule) -> Convert:
    """Return the conversion to the type of a field; raise `UsageError` if what it needs is not installed."""
    return _guarded(_CONVERSIONS[rule.type](rule), field_types.fits if rule.type == field_types.JSON else None)


def _guarded(convert: Convert, check: Callable[[str, Any], bool] | None) -> Convert:
    def guarded(value: Any, page: Page) -> Any:
        try:
            made = convert(value, page)
        except (MemoryError, Unconvertible):
            raise
        except Exception as error:  # libraries raise many kinds for odd texts, and none may fail a page
            raise Unconvertible from error
        if check is not None and not check(field_types.JSON, made):
            raise Unconvertible
        return made

    return guarded


def _short(value: Any, limit: int = MAX_TEXT_CHARS) -> str:
    """Return a text that is not too long, without the blanks around it."""
    if not isinstance(value, str) or len(value) > limit:
        raise Unconvertible
    return value.strip()


def as_text(value: Any) -> str | None:
    """Return a scalar as a text; None for any other value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _to_text(_rule: FieldRule) -> Convert:
    def convert(value: Any, _page: Page) -> str:
        text = as_text(value)
        if text is None:
            raise Unconvertible
        # A document may have half a surrogate pair, which cannot be sent.
        return text if text.isascii() else text.encode(errors="replace").decode()

    return convert


def _to_int(rule: FieldRule) -> Convert:
    number = _number(rule)

    def convert(value: Any, _page: Page) -> int:
        exact = number(value)
        whole = int(exact)
        if whole != exact or whole not in INTS:
            raise Unconvertible
        return whole

    return convert


def _to_float(rule: FieldRule) -> Convert:
    number = _number(rule)

    def convert(value: Any, _page: Page) -> float:
        made = float(number(value))
        if not field_types.fits(field_types.FLOAT, made):
            raise Unconvertible
        return made

    return convert


def _to_decimal(rule: FieldRule) -> Convert:
    number = _number(rule)
    return lambda value, _page: plain(number(value))


def _number(rule: FieldRule) -> Callable[[Any], Any]:
    separator = rule.decimal_separator or "."
    return lambda value: decimal_of(_short(value) if isinstance(value, str) else value, separator)


def _to_bool(_rule: FieldRule) -> Convert:
    def convert(value: Any, _page: Page) -> bool:
        if isinstance(value, bool):
            return value
        return _BOOLS[str(value) if type(value) is int else _short(value).lower()]

    return convert


def _to_date(rule: FieldRule) -> Convert:
    moment = _moment(rule)
    return lambda value, _page: moment(value).date().isoformat()


def _to_datetime(rule: FieldRule) -> Convert:
    moment = _moment(rule)

    def convert(value: Any, _page: Page) -> str:
        text = moment(value).isoformat()
        if not field_types.fits(field_types.DATETIME, text):
            raise Unconvertible
        return text

    return convert


def _moment(rule: FieldRule) -> Callable[[Any], datetime]:
    read = dates.reader(rule.format, rule.languages)
    return lambda value: read(_short(value, dates.MAX_DATE_CHARS))


def _to_url(_rule: FieldRule) -> Convert:
    def convert(value: Any, page: Page) -> str:
        url = page.resolve(_short(value, LONGEST_URL_CHARS))
        if url is None or len(url) > LONGEST_URL_CHARS:
            raise Unconvertible
        return url

    return convert


def _to_price(rule: FieldRule) -> Convert:
    # Imported when a job asks for it: that takes long.
    from price_parser import Price

    separator = rule.decimal_separator or None

    def convert(value: Any, _page: Page) -> dict[str, str | None]:
        if isinstance(value, str):
            text = _short(value)
            price = Price.fromstring(text, decimal_separator=separator)
            amount, currency = price.amount, price.currency
            if amount is not None and text.startswith(_MINUS):
                amount = amount.copy_negate()
        else:
            amount, currency = decimal_of(value), None
        if amount is None or (currency and len(currency) > MAX_CURRENCY_CHARS):
            raise Unconvertible
        return {"amount": plain(amount), "currency": currency or rule.currency or None}

    return convert


def _to_json(rule: FieldRule) -> Convert:
    if rule.by in ELEMENTS:
        return lambda value, _page: msgspec.json.decode(_text(value))
    return lambda value, _page: value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unconvertible
    return value


_CONVERSIONS: dict[str, Callable[[FieldRule], Convert]] = {
    field_types.TEXT: _to_text,
    field_types.INT: _to_int,
    field_types.FLOAT: _to_float,
    field_types.DECIMAL: _to_decimal,
    field_types.BOOL: _to_bool,
    field_types.DATE: _to_date,
    field_types.DATETIME: _to_datetime,
    field_types.URL: _to_url,
    field_types.PRICE: _to_price,
    field_types.JSON: _to_json,
}
