"""Dates and times as pages and servers write them. Pure: nothing depends on today, or on the zone of the machine.

A text is read as ISO 8601; else by a given format, as English, or in other languages by dateparser. What is not
complete (`May 2024`, `yesterday`), or may mean two days (`03/04/2024`), is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from crawlfleet.shared.errors import UsageError

#: The format of ISO 8601.
ISO = "iso"
MAX_DATE_CHARS = 100

# What differs is not in the text: each part of a date, and its day of the week, is another in the two.
_ASSUMED = (datetime(1904, 1, 1), datetime(1907, 3, 6))
_EXAMPLE = datetime(2004, 11, 23)
# As RFC 5322 defines them; most other names of zones mean several.
_ZONES = {"UT": 0, "UTC": 0, "GMT": 0, "EDT": -4, "EST": -5, "CDT": -5, "CST": -6, "MDT": -6, "MST": -7, "PDT": -7}
_ZONES |= {"PST": -8}
_SETTINGS = {"PARSERS": ["absolute-time"], "REQUIRE_PARTS": ["day", "month", "year"]}

Read = Callable[[str], datetime]


def timestamp_of(date: datetime) -> float:
    """Return a date as seconds since 1970; one without an offset is in UTC. Raise `OverflowError` or `ValueError`."""
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()


def timestamp_in_field(text: str) -> float | None:
    """Read the date of a header field (RFC 9110, 5.6.7, or RFC 5322) as seconds since 1970; None if it is none."""
    try:
        return timestamp_of(parsedate_to_datetime(text))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def reader(form: str = "", languages: tuple[str, ...] = ()) -> Read:
    """Return a function that reads a text, with an offset if the text has one. It raises for what is no date.

    `form` is a format of `strptime`, or `iso`; `languages` are codes such as `de`, for dateparser, which tries them in
    their order. Raise `UsageError` if that is not installed, `ValueError` with a sentence for a format or a language
    that cannot be used.
    """
    if form == ISO:
        return datetime.fromisoformat
    if form:
        _check_format(form)
        return lambda text: datetime.strptime(text, form)
    read = _in_languages(languages) if languages else _english()

    def iso_or_other(text: str) -> datetime:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return read(text)

    return iso_or_other


def _check_format(form: str) -> None:
    try:
        with warnings.catch_warnings(action="ignore"):  # of a format without a year, which is refused below
            said = datetime.strptime(_EXAMPLE.strftime(form), form)
    except ValueError as error:
        raise ValueError(f"{form!r} is no format of dates ({error}): write one such as %d.%m.%Y, or iso") from error
    if said.date() != _EXAMPLE.date():
        raise ValueError(f"{form!r} does not tell year, month and day: write one such as %d.%m.%Y, or iso")


def _english() -> Read:
    # Imported when a job asks for it: that takes long, and some MB.
    from dateutil import parser

    class Terms(parser.parserinfo):  # type: ignore[misc]  # the library has no types
        def convertyear(self, year: int, century_specified: bool = False) -> int:
            if not century_specified:
                raise ValueError("a year of two digits may be in several centuries")
            return year

    terms = parser.parser(Terms())

    def read(text: str) -> datetime:
        first, second = (
            terms.parse(text, default=assumed, tzinfos=_zone, dayfirst=order, yearfirst=order)
            for order, assumed in enumerate(_ASSUMED)
        )
        if first != second:
            raise ValueError("is not complete, or means two days")
        return first  # type: ignore[no-any-return]  # the library has no types

    return read


def _zone(name: str | None, offset_s: int | None) -> timezone | None:
    if offset_s is not None:
        return timezone(timedelta(seconds=offset_s))
    if name is None:
        return None
    if name not in _ZONES:
        raise ValueError(f"{name} may be several zones")
    return timezone(timedelta(hours=_ZONES[name]))


def _in_languages(languages: tuple[str, ...]) -> Read:
    try:
        from dateparser.date import DateDataParser
    except ImportError as error:
        text = "dates in other languages than English are read by dateparser, which is not installed"
        raise UsageError(f"{text}: pip install 'crawlfleet[dates]'") from error
    try:
        found: Any = DateDataParser(languages=list(languages), settings=_SETTINGS, use_given_order=True)
        found.get_date_data("1")  # it loads the languages
    except ValueError as error:
        raise ValueError(f"{error}: write codes of languages that dateparser knows, such as [de, fr]") from error

    def read(text: str) -> datetime:
        date = found.get_date_data(text).date_obj
        if date is None:
            raise ValueError("is no date in these languages")
        return date  # type: ignore[no-any-return]  # the library has no types

    return read
