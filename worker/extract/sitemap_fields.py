"""Reads the priorities and dates of sitemaps and feeds."""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import parsedate_to_datetime

from crawlfleet.shared import dates

_YEAR_OR_MONTH = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?")


def priority_of(written: str) -> int:
    """Return a priority of 0.0 to 1.0 as -5 to 5: 0 for the default of 0.5 and for invalid values."""
    try:
        value = float(written)
    except ValueError:
        return 0
    return round((value - 0.5) * 10) if 0.0 <= value <= 1.0 else 0


def timestamp_of(written: str) -> int:
    """Return a date (W3C profile of ISO 8601, or RFC 822 in RSS) as seconds since 1970; 0 if invalid."""
    text = written.strip()[:64]
    short = _YEAR_OR_MONTH.fullmatch(text)
    try:
        if short:
            date = datetime(int(short[1]), int(short[2] or 1), 1)
        elif text[:4].isdigit():
            date = datetime.fromisoformat(text)
        else:
            date = parsedate_to_datetime(text)
        return max(0, int(dates.timestamp_of(date)))
    except (ValueError, OverflowError, TypeError, IndexError):
        return 0
