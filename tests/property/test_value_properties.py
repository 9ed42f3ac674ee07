"""Values that programs share: what comes back, when two have one key, and what bytes from elsewhere can do."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from crawlfleet.shared.errors import WireError
from crawlfleet.shared.wire.values import decode, encode, key_of

BERLIN = ZoneInfo("Europe/Berlin")
BERLIN_REPEATS = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)
BERLIN_SKIPS = datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN)

OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)) | st.sampled_from(
    [timedelta(0), timedelta(hours=1), timedelta(hours=-5), timedelta(microseconds=1)]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ZONES = (
    st.none()
    | st.just(UTC)
    | st.builds(timezone, OFFSETS)
    | st.builds(timezone, OFFSETS, TEXTS)
    | st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Etc/GMT+1", "Africa/Monrovia"]).map(
        ZoneInfo
    )
)
FOLDS = st.integers(0, 1)
# Few values, so that equal ones of different types and zones meet.
MOMENTS = st.datetimes() | st.builds(
    datetime, st.just(2024), st.sampled_from([3, 10]), st.sampled_from([27, 31]), st.integers(0, 4), st.just(30)
)
DATETIMES = st.builds(lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold), MOMENTS, ZONES, FOLDS)
TIMES = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.times() | st.builds(time, st.integers(0, 3)),
    ZONES,
    FOLDS,
)
NUMBERS = (
    st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.builds(lambda number, bits: number << bits, st.integers(), st.integers(0, 2000))
    | st.sampled_from([0.0, -0.0, 1.0, 2.0**63, 2.0**64, -(2.0**63), 1e300, 2**63, 2**64, -(2**63), int(1e300)])
)
LEAVES = st.none() | NUMBERS | st.floats() | TEXTS | st.binary(max_size=8)
LEAVES |= st.dates() | st.timedeltas() | TIMES | DATETIMES
HASHABLE = st.recursive(
    st.deferred(lambda: LEAVES),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
VALUES = st.recursive(
    st.deferred(lambda: HASHABLE),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(st.deferred(lambda: HASHABLE), max_size=4)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.dictionaries(st.deferred(lambda: HASHABLE), inner, max_size=4)
    ),
    max_leaves=12,
)
# Without what equals nothing, itself included.
COMPARABLE = st.recursive(
    LEAVES.filter(lambda value: value == value),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
ALLOWED = {type(None), bool, int, float, str, bytes, tuple, list, set, frozenset, dict, date, time, datetime, timedelta}


def described(value: Any) -> Any:
    """Tell all about a value that must come back, in a form that can be compared, whatever equals what in Python."""
    kind = type(value).__name__
    if isinstance(value, list | tuple):
        return kind, [described(part) for part in value]
    if isinstance(value, set | frozenset):
        return kind, sorted((described(part) for part in value), key=repr)
    if isinstance(value, dict):
        return kind, [(described(key), described(part)) for key, part in value.items()]
    if isinstance(value, time | datetime):
        zone = value.tzinfo
        return kind, value.replace(tzinfo=None).isoformat(), value.fold, type(zone).__name__, repr(zone)
    if isinstance(value, float):
        return kind, math.copysign(1, value), repr(value)
    return kind, value


def assert_allowed(value: Any) -> None:
    assert type(value) in ALLOWED
    if isinstance(value, dict):
        assert_allowed(list(value))
        assert_allowed(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            assert_allowed(part)


@given(VALUES)
@example({(1, (b"", frozenset({(None,)}))): [{1: ()}, {"x": {1, 2}}], ((),): -0.0})
@example({1: "b", "a": 2, None: 3, (1, 2.0): 4})
@example({"b": 1, "a": (2,)})
@example(datetime.min.replace(tzinfo=timezone(timedelta(hours=23))))
@example(datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))))
@example(datetime.min.replace(tzinfo=BERLIN))
@example(datetime.max.replace(tzinfo=BERLIN))
@example(timedelta.max)
@example(timedelta.min)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert described(decode(encode(value))) == described(value)


@given(COMPARABLE, COMPARABLE)
@example(1, True)
@example(1e300, int(1e300))
@example(2.0**64, 2**64)
@example(0.0, -0.0)
@example(1, "1")
@example("a", b"a")
@example((1, (2.0,)), (True, (2,)))
@example(date(2024, 1, 1), datetime(2024, 1, 1))
@example(time(1), time(1, tzinfo=BERLIN))
@example(time(1), time(1, tzinfo=UTC))
@example(time(1, tzinfo=UTC), time(2, tzinfo=timezone(timedelta(hours=1))))
@example(time(23, tzinfo=timezone(timedelta(hours=-2))), time(1, tzinfo=UTC))
@example(time(1, tzinfo=UTC), time(1, tzinfo=timezone(timedelta(microseconds=1))))
@example(BERLIN_REPEATS, BERLIN_REPEATS.replace(fold=1))
@example(BERLIN_REPEATS, BERLIN_REPEATS.astimezone(UTC))
@example(BERLIN_SKIPS, BERLIN_SKIPS.replace(fold=1))
@example(BERLIN_SKIPS, BERLIN_SKIPS.replace(hour=3))
@example(BERLIN_SKIPS.replace(hour=3), BERLIN_SKIPS.replace(hour=3).astimezone(UTC))
@example(datetime.min.replace(tzinfo=BERLIN), datetime.min.replace(tzinfo=UTC))
@example(datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))), datetime.max.replace(tzinfo=UTC))
def test_two_values_have_one_key_exactly_if_they_are_equal(one: object, other: object) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)


@given(st.lists(COMPARABLE, max_size=4))
def test_the_order_of_a_frozenset_does_not_matter_to_its_key(members: list[Any]) -> None:
    assert key_of(frozenset(members)) == key_of(frozenset(reversed(members)))


@given(COMPARABLE)
def test_the_key_of_a_value_is_that_of_the_value_that_comes_back(value: object) -> None:
    assert key_of(decode(encode(value))) == key_of(value)


@given(st.binary(max_size=64))
def test_random_bytes_give_an_allowed_value_or_an_error_of_the_wire(data: bytes) -> None:
    with suppress(WireError):
        value = decode(data)
        assert_allowed(value)
        encode(value)


@given(VALUES, st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=4), st.data())
def test_altered_bytes_give_an_allowed_value_or_an_error_of_the_wire(
    value: object, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    altered = bytearray(encode(value))
    for place, byte in changes:
        altered[place % len(altered)] = byte
    length = data.draw(st.integers(0, len(altered)) | st.just(len(altered)))
    with suppress(WireError):
        found = decode(bytes(altered[:length]))
        assert_allowed(found)
        encode(found)
