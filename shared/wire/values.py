"""Which values programs may share through named objects, their encoding as msgpack, and the keys to look them up by.

None, bool, int of 64 bits, float, str, bytes, list and a dict whose keys are str are msgpack's own types. All others
are extensions: a code, and the msgpack of what the value is made of. A value comes back with the type and the contents
it had, or is refused; what is refused when encoding cannot arrive by decoding either. What two places of a value hold
in common arrives as one copy for each.

Bytes to decode come from other processes. They are never unpickled; time and memory grow with their size, except that
keys of a dict or set cost what Python's own hashing lets them cost when a sender chose them to collide.

Owns the list of types and the codes. It must not know objects, connections or messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, time, timedelta
from types import NoneType
from typing import Any, NoReturn

from msgspec import DecodeError
from msgspec.msgpack import Decoder, Encoder, Ext

from crawlfleet.shared.errors import WireError
from crawlfleet.shared.wire.forms import DEPTH_LIMIT, Form, at_index, at_key, plain_str
from crawlfleet.shared.wire.zones import Zone, portable_zone, zone_from

# Codes of extensions in values. A code never changes its meaning.
_INT, _TUPLE, _SET, _FROZENSET, _DICT, _DATE, _TIME, _DATETIME, _TIMEDELTA = range(1, 10)
# Codes of extensions in keys: a time of day and a moment, each either as a clock shows it or independent of zones.
_CLOCK_TIME, _ZONED_TIME, _CLOCK_MOMENT, _INSTANT, _AMBIGUOUS_MOMENT = range(64, 69)

_SCALARS = frozenset({NoneType, bool, int, float, str, bytes})
_STR = frozenset({str})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY_S = 86_400

_encode = Encoder().encode
# Extensions stay as they are, without a copy of their contents, until their depth is known.
_decode = Decoder(ext_hook=Ext).decode
_decode_list = Decoder(list[Any], ext_hook=Ext).decode
_decode_three = Decoder(tuple[int, int, int]).decode
_decode_time = Decoder(tuple[int, int, int, int, int, Zone]).decode
_decode_datetime = Decoder(tuple[int, int, int, int, int, int, int, int, Zone]).decode


def encode(value: object) -> bytes:
    """Encode a value; raise `TypeError` or `ValueError`, with the place, if a part of it cannot be shared.

    Allowed are None, bool, int, float, str, bytes, tuple, list, set, frozenset, dict, and the date, time, datetime and
    timedelta of the standard library, naive or with a `timezone` or a `ZoneInfo`, but no subclasses of these. The place
    in a refusal is a path such as `value[3]['x'].<key>`, where `<key>` is a key of a dict, `<member>` one of a set.
    """
    try:
        if type(value) in _SCALARS:
            return _encode(value)
        flat = _flat_copy(value)
        if flat is not None:
            return _encode(flat)
    except (OverflowError, UnicodeEncodeError):
        pass  # an int or a str that needs care, which it gets below
    return _encode(_SHARED.whole(value))


def decode(data: bytes) -> Any:
    """Decode a value; raise `WireError` for anything that `encode` does not give."""
    try:
        return _restore(_decode(data), DEPTH_LIMIT)
    except (DecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise WireError(f"the other side sent an invalid value: {error}") from error


def key_of(value: object) -> bytes:
    """Return a key that two values have in common exactly if they are equal.

    Two exceptions: all nans have one key, as if they were equal; and so have `ZoneInfo` objects of one name, though
    Python tells apart two copies of a zone at times that a change of its clock skips or repeats. Raise `TypeError` or
    `ValueError` as `encode` does, and as Python does for a value that is not hashable.
    """
    try:
        if type(value) is str or type(value) is int or type(value) is bytes:
            return _encode(value)
    except (OverflowError, UnicodeEncodeError):
        pass  # as in encode
    return _encode(_KEYED.whole(value))


def _flat_copy(value: object) -> object:
    """Return a copy, which no other thread can change, of a list or dict of scalars; None for any other value."""
    if type(value) is list:
        parts = value.copy()
        return parts if _SCALARS.issuperset(map(type, parts)) else None
    if type(value) is dict:
        copy = value.copy()
        if _STR.issuperset(map(type, copy)) and _SCALARS.issuperset(map(type, copy.values())):
            return copy
    return None


# --- parts of both forms


def _same(value: object) -> object:
    return value


def _portable_int(value: int) -> int | Ext:
    if -(2**63) <= value < 2**64:
        return value
    return Ext(_INT, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def _portable_date(value: date) -> Ext:
    return Ext(_DATE, _encode((value.year, value.month, value.day)))


def _portable_timedelta(value: timedelta) -> Ext:
    return Ext(_TIMEDELTA, _encode((value.days, value.seconds, value.microseconds)))


# --- the form of values


def _in_set(_index: int) -> str:
    return ".<member>"


def _in_keys(_index: int) -> str:
    return ".<key>"


def _portable_parts(values: Collection[object], depth: int, step: Callable[[int], str]) -> Collection[Any]:
    if _SCALARS.issuperset(map(type, values)):
        try:
            _encode(values)
        except (OverflowError, UnicodeEncodeError):
            pass  # as in encode
        else:
            return values
    return _SHARED.parts(values, depth, step)


def _portable_list(value: list[object], depth: int) -> Collection[object]:
    return _portable_parts(value.copy(), depth, at_index)


def _portable_tuple(value: tuple[object, ...], depth: int) -> Ext:
    return Ext(_TUPLE, _encode(_portable_parts(value, depth, at_index)))


def _portable_set(value: set[object], depth: int) -> Ext:
    return Ext(_SET, _encode(_portable_parts(value.copy(), depth, _in_set)))


def _portable_frozenset(value: frozenset[object], depth: int) -> Ext:
    return Ext(_FROZENSET, _encode(_portable_parts(value, depth, _in_set)))


def _portable_dict(value: dict[object, object], depth: int) -> dict[str, object] | Ext:
    copy = value.copy()
    keys = _portable_parts(list(copy), depth, _in_keys)
    parts = _portable_parts(list(copy.values()), depth, lambda index: at_key(list(copy)[index]))
    if _STR.issuperset(map(type, copy)):
        return dict(zip(keys, parts, strict=True))
    return Ext(_DICT, _encode([part for pair in zip(keys, parts, strict=True) for part in pair]))


def _portable_time(value: time) -> Ext:
    zone = portable_zone(value)
    return Ext(_TIME, _encode((value.hour, value.minute, value.second, value.microsecond, value.fold, zone)))


def _portable_datetime(value: datetime) -> Ext:
    zone = portable_zone(value)
    return Ext(_DATETIME, _encode((*_clock_fields(value), value.fold, zone)))


def _clock_fields(value: datetime) -> tuple[int, ...]:
    return (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)


_SHARED = Form(
    leaves={
        NoneType: _same,
        bool: _same,
        int: _portable_int,
        float: _same,
        str: plain_str,
        bytes: _same,
        date: _portable_date,
        time: _portable_time,
        datetime: _portable_datetime,
        timedelta: _portable_timedelta,
    },
    nests={
        list: _portable_list,
        tuple: _portable_tuple,
        set: _portable_set,
        frozenset: _portable_frozenset,
        dict: _portable_dict,
    },
)


# --- the way back


def _restore(tree: object, depth: int) -> Any:
    kind = type(tree)
    if kind in _SCALARS:
        return tree
    if isinstance(tree, Ext) and tree.code in _LEAVES:
        return _LEAVES[tree.code](tree.data)
    if depth == 0:
        raise ValueError(f"it is nested deeper than {DEPTH_LIMIT} levels")
    if isinstance(tree, list):
        return _restore_all(tree, depth - 1)
    if isinstance(tree, Ext) and tree.code in _NESTS:
        return _NESTS[tree.code](_restore_all(_decode_list(tree.data), depth - 1))
    if isinstance(tree, dict) and _STR.issuperset(map(type, tree)):
        return _restore_dict(tree, depth - 1)
    raise ValueError(f"it has a {kind.__qualname__} that stands for nothing")


def _restore_all(parts: list[Any], depth: int) -> list[Any]:
    if _SCALARS.issuperset(map(type, parts)):
        return parts
    return [_restore(part, depth) for part in parts]


def _restore_dict(tree: dict[str, Any], depth: int) -> dict[str, Any]:
    if _SCALARS.issuperset(map(type, tree.values())):
        return tree
    return {key: _restore(part, depth) for key, part in tree.items()}


def _int_from(data: bytes) -> int:
    return int.from_bytes(data, signed=True)


def _dict_from(parts: list[Any]) -> dict[Any, Any]:
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _date_from(data: bytes) -> date:
    return date(*_decode_three(data))


def _timedelta_from(data: bytes) -> timedelta:
    return timedelta(*_decode_three(data))


def _time_from(data: bytes) -> time:
    hour, minute, second, microsecond, fold, zone = _decode_time(data)
    return time(hour, minute, second, microsecond, zone_from(zone), fold=fold)


def _datetime_from(data: bytes) -> datetime:
    year, month, day, hour, minute, second, microsecond, fold, zone = _decode_datetime(data)
    return datetime(year, month, day, hour, minute, second, microsecond, zone_from(zone), fold=fold)


_LEAVES: dict[int, Callable[[Any], object]] = {
    _INT: _int_from,
    _DATE: _date_from,
    _TIME: _time_from,
    _DATETIME: _datetime_from,
    _TIMEDELTA: _timedelta_from,
}
_NESTS: dict[int, Callable[[list[Any]], object]] = {
    _TUPLE: tuple,
    _SET: set,
    _FROZENSET: frozenset,
    _DICT: _dict_from,
}


# --- the form of keys: equal for what is equal, of whatever type


def _number_key(value: float) -> object:
    """Express a number so that it does not matter whether it is a bool, an int or a float."""
    if isinstance(value, int) or value.is_integer():
        return _portable_int(int(value))
    return math.nan if math.isnan(value) else value


def _time_key(value: time) -> Ext:
    portable_zone(value)
    second = value.hour * 3600 + value.minute * 60 + value.second
    offset = value.utcoffset()
    if offset is None:
        return Ext(_CLOCK_TIME, _encode((second, value.microsecond)))
    # Python compares times of day without the microseconds of offsets, and without regard to the day they lead to.
    second -= offset.days * _DAY_S + offset.seconds
    return Ext(_ZONED_TIME, _encode((second, value.microsecond)))


def _datetime_key(value: datetime) -> Ext:
    zone = portable_zone(value)
    fields = _clock_fields(value)
    if zone is None:
        return Ext(_CLOCK_MOMENT, _encode(fields))
    if value.replace(fold=0).utcoffset() != value.replace(fold=1).utcoffset():
        # Such a moment equals none in another zone, and in its own the one that the clock shows in the same way.
        return Ext(_AMBIGUOUS_MOMENT, _encode((*fields, zone)))
    return Ext(_INSTANT, _encode((value - _EPOCH) // _MICROSECOND))


def _tuple_key(value: tuple[object, ...], depth: int) -> list[object]:
    return _KEYED.parts(value, depth, at_index)


def _frozenset_key(value: frozenset[object], depth: int) -> Ext:
    members = {_encode(part) for part in _KEYED.parts(value, depth, _in_set)}
    return Ext(_FROZENSET, _encode(sorted(members)))


def _refuse_unhashable(value: object) -> NoReturn:
    raise TypeError(f"unhashable type: '{type(value).__name__}'")


_KEYED = Form(
    leaves={
        NoneType: _same,
        bool: _number_key,
        int: _number_key,
        float: _number_key,
        str: plain_str,
        bytes: _same,
        date: _portable_date,
        time: _time_key,
        datetime: _datetime_key,
        timedelta: _portable_timedelta,
        list: _refuse_unhashable,
        set: _refuse_unhashable,
        dict: _refuse_unhashable,
    },
    nests={tuple: _tuple_key, frozenset: _frozenset_key},
)
