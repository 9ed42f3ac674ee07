"""Time zones of values: which may be shared, the plain values that stand for them, and the way back."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from crawlfleet.shared.wire.forms import RefusedError, plain_str, refused_type

# None; the name of a `ZoneInfo`; or days, seconds, microseconds of the offset of a `timezone`, and its name or None.
Zone = str | tuple[int, int, int, str | None] | None

# Of the time zone database. No path leads out of it.
_NAME = re.compile(r"[A-Za-z0-9_+-]{1,64}(/[A-Za-z0-9_+-]{1,64}){0,3}")
_SHOWN_CHARS = 64


def portable_zone(value: time | datetime) -> Zone:
    """Return what stands for the zone of a value; raise `RefusedError` if it cannot be shared."""
    zone = value.tzinfo
    if zone is None:
        return None
    try:
        if type(zone) is ZoneInfo:
            return _name_of(zone, value)
        if type(zone) is timezone:
            return _offset_of(zone)
        raise refused_type(zone)
    except RefusedError as refused:
        refused.within(".tzinfo")
        raise


def zone_from(zone: Zone) -> tzinfo | None:
    """Return the zone that a plain value stands for; raise `ValueError` or `OverflowError` if there is none."""
    if zone is None:
        return None
    if isinstance(zone, str):
        return _zone_named(zone)
    *offset, name = zone
    return timezone(timedelta(*offset)) if name is None else timezone(timedelta(*offset), name)


def _offset_of(zone: timezone) -> Zone:
    # What pickle and copy take; `tzname` would not tell a given name from the one that an offset has by itself.
    offset, *names = zone.__getinitargs__()  # type: ignore[attr-defined]  # not in typeshed
    if type(offset) is not timedelta:
        raise refused_type(offset)
    for name in names:
        if type(name) is not str:
            raise refused_type(name)
        plain_str(name)
    return (offset.days, offset.seconds, offset.microseconds, names[0] if names else None)


def _name_of(zone: ZoneInfo, value: time | datetime) -> str:
    """Return the name by which the other side finds a zone that gives the value the same offset."""
    name = str(zone.key)
    try:
        same = value.utcoffset() == value.replace(tzinfo=_zone_named(name)).utcoffset()
    except ValueError:
        same = False
    if not same:
        raise RefusedError(ValueError, "a ZoneInfo that is not the one of its name in the time zone database")
    return name


def _zone_named(name: str) -> ZoneInfo:
    if _NAME.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"this machine knows no time zone {name[:_SHOWN_CHARS]!r}") from error
    raise ValueError(f"no time zone has the name {name[:_SHOWN_CHARS]!r}")
