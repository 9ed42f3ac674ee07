"""Values that programs share: what is refused and how it is said, what comes back, and what hostile bytes can do."""

from __future__ import annotations

import math
import time as clock
import tracemalloc
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from enum import IntEnum
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH, ZoneInfo

import pytest
from msgspec.msgpack import Encoder, Ext

from crawlfleet.shared.errors import WireError
from crawlfleet.shared.wire.values import decode, encode, key_of

BERLIN = ZoneInfo("Europe/Berlin")
packed = Encoder().encode


class Colour(IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Day(date):
    pass


class Span(timedelta):
    pass


class Fixed(tzinfo):
    def utcoffset(self, _moment: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, _moment: datetime | None) -> None:
        return None

    def tzname(self, _moment: datetime | None) -> None:
        return None


class Zone(ZoneInfo):
    pass


Point = namedtuple("Point", "x y")


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def nested_tuples(levels: int) -> bytes:
    data = packed([])
    for _ in range(levels):
        data = packed([Ext(2, data)])
    return data


def zone_of_file(name: str, key: str | None) -> ZoneInfo:
    folder = next(Path(folder) for folder in TZPATH if (Path(folder) / name).exists())
    with (folder / name).open("rb") as file:
        return ZoneInfo.from_file(file, key=key)


HERE = __name__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (object(), "value: a value of type builtins.object cannot be shared"),
        (bytearray(b"a"), "value: a value of type builtins.bytearray cannot be shared"),
        (1j, "value: a value of type builtins.complex cannot be shared"),
        (Colour.RED, f"value: a value of type {HERE}.Colour cannot be shared"),
        (Point(1, 2), f"value: a value of type {HERE}.Point cannot be shared"),
        (OrderedDict(), "value: a value of type collections.OrderedDict cannot be shared"),
        (Text("a"), f"value: a value of type {HERE}.Text cannot be shared"),
        ([1, Text("a")], f"value[1]: a value of type {HERE}.Text cannot be shared"),
        ({Text("a"): 1}, f"value.<key>: a value of type {HERE}.Text cannot be shared"),
        ({"a": 1, Colour.RED: 1}, f"value.<key>: a value of type {HERE}.Colour cannot be shared"),
        (Day(2024, 1, 1), f"value: a value of type {HERE}.Day cannot be shared"),
        ([0, 1, 2, {"x": object()}], "value[3]['x']: a value of type builtins.object cannot be shared"),
        ((1, {2: [object()]}), "value[1][2][0]: a value of type builtins.object cannot be shared"),
        ({(1, Colour.RED): 1}, f"value.<key>[1]: a value of type {HERE}.Colour cannot be shared"),
        ({"s": {Colour.RED}}, f"value['s'].<member>: a value of type {HERE}.Colour cannot be shared"),
        (frozenset({Colour.RED}), f"value.<member>: a value of type {HERE}.Colour cannot be shared"),
        ({(1, 2): object()}, "value[<tuple>]: a value of type builtins.object cannot be shared"),
        ({None: object()}, "value[None]: a value of type builtins.object cannot be shared"),
        ({b"a" * 41: object()}, f"value[b'{'a' * 40}'...]: a value of type builtins.object cannot be shared"),
        ({10**5000: object()}, "value[<int of 16610 bits>]: a value of type builtins.object cannot be shared"),
        (datetime(2024, 1, 1, tzinfo=Fixed()), f"value.tzinfo: a value of type {HERE}.Fixed cannot be shared"),
        ([time(1, tzinfo=Fixed())], f"value[0].tzinfo: a value of type {HERE}.Fixed cannot be shared"),
        (time(1, tzinfo=Zone("Europe/Berlin")), f"value.tzinfo: a value of type {HERE}.Zone cannot be shared"),
        (time(1, tzinfo=timezone(Span(hours=1))), f"value.tzinfo: a value of type {HERE}.Span cannot be shared"),
        (
            time(1, tzinfo=timezone(timedelta(hours=1), Text("a"))),
            f"value.tzinfo: a value of type {HERE}.Text cannot be shared",
        ),
    ],
)
def test_a_type_that_cannot_be_shared_is_named_with_its_place(value: object, text: str) -> None:
    with pytest.raises(TypeError) as error:
        encode(value)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("value", "place", "index"),
    [
        ("a\ud800", "value", 1),
        ([1, "\udfff"], "value[1]", 0),
        ({"a": "\udfff"}, "value['a']", 0),
        ({"\udfff": 1}, "value.<key>", 0),
        (time(1, tzinfo=timezone(timedelta(0), "ab\ud800")), "value.tzinfo", 2),
    ],
)
def test_half_a_surrogate_pair_is_refused_with_its_place(value: object, place: str, index: int) -> None:
    what = f"a str with half a surrogate pair (at index {index}), which UTF-8 cannot express,"
    with pytest.raises(ValueError, match="surrogate") as error:
        encode(value)
    assert str(error.value) == f"{place}: {what} cannot be shared"


@pytest.mark.parametrize("name", [None, "no such zone", "../etc/passwd", "Europe", "Europe/Nowhere", "Etc/UTC"])
def test_a_zone_that_the_other_side_would_not_find_by_its_name_is_refused(name: str | None) -> None:
    moment = datetime(2024, 1, 1, tzinfo=zone_of_file("Europe/Berlin", name))
    with pytest.raises(ValueError, match="ZoneInfo") as error:
        encode([moment])
    assert str(error.value) == (
        "value[0].tzinfo: a ZoneInfo that is not the one of its name in the time zone database cannot be shared"
    )


def test_sixty_four_levels_are_shared_and_one_more_is_not() -> None:
    assert decode(encode(nested(64))) == nested(64)
    with pytest.raises(ValueError, match="nested deeper than 64 levels, or in itself, cannot be shared") as error:
        encode(nested(65))
    assert str(error.value).startswith("value[0][0]")
    assert "..." in str(error.value)
    assert decode(packed(nested(64))) == nested(64)
    with pytest.raises(WireError, match="nested deeper than 64 levels"):
        decode(packed(nested(65)))
    with pytest.raises(WireError, match="nested deeper than 64 levels"):
        decode(packed({"a": nested(64)}))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: (inner,),
        lambda inner: frozenset({inner}),
        lambda inner: ("a", inner),
    ],
    ids=["tuple", "frozenset", "pair"],
)
def test_sixty_four_levels_of_any_nest_are_shared(wrap: Callable[[Any], Any]) -> None:
    value: Any = ()
    for _ in range(62):
        value = wrap(value)
    for outer in ([value], {"a": value}, {1: value}, {value: 1}, {value}):
        assert decode(encode(outer)) == outer
        with pytest.raises(ValueError, match="nested deeper than 64 levels"):
            encode([outer])
        with pytest.raises(WireError, match="nested deeper than 64 levels"):
            decode(b"\x91" + encode(outer))


def test_scalars_below_the_deepest_level_are_shared() -> None:
    value: Any = [1, 2**70, {}, date(2024, 1, 1)]
    value[2] = 1.5
    for _ in range(63):
        value = [value]
    assert decode(encode(value)) == value


def test_a_value_in_itself_is_refused() -> None:
    items: list[Any] = []
    items.append((items, items))
    with pytest.raises(ValueError, match="or in itself"):
        encode(items)
    table: dict[Any, Any] = {}
    table["a"] = {1: table}
    with pytest.raises(ValueError, match="or in itself"):
        encode(table)


def test_a_refusal_is_short_whatever_is_refused() -> None:
    long_type = type("T" * 10_000, (), {})
    value: Any = long_type()
    for _ in range(60):
        value = {"\U0010ffff" * 1000: value}
    with pytest.raises(TypeError) as error:
        encode(value)
    assert len(str(error.value)) <= 310


@pytest.mark.parametrize(
    "value",
    [
        *(sign * (2**bits) + step for bits in (31, 32, 63, 64, 127, 128) for sign in (1, -1) for step in (-1, 0, 1)),
        10**5000,
        -(10**5000),
    ],
    ids=hex,
)
def test_an_int_of_any_size_comes_back(value: int) -> None:
    assert decode(encode(value)) == value
    assert decode(encode([value, (value,)])) == [value, (value,)]
    assert decode(encode({value: value})) == {value: value}
    assert decode(encode({"a": value})) == {"a": value}


def test_floats_come_back_with_their_sign_and_kind() -> None:
    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode([math.inf, -math.inf])) == [math.inf, -math.inf]
    assert math.copysign(1, decode(encode(-0.0))) == -1
    assert type(decode(encode(1.0))) is float
    assert type(decode(encode(True))) is bool


@pytest.mark.parametrize(
    "value",
    [
        datetime(2024, 10, 27, 2, 30, 1, 999_999, tzinfo=BERLIN, fold=1),
        datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
        datetime(2024, 1, 1, fold=1),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(0), "UTC")),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(0), "")),
        datetime(2024, 1, 1, tzinfo=timezone(-timedelta(hours=3, microseconds=1), "Mañana")),
        datetime.min,
        datetime.max.replace(tzinfo=UTC),
        date.min,
        date.max,
        time(23, 59, 59, 999_999, fold=1),
        time(1, tzinfo=BERLIN),
        time(1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        timedelta.min,
        timedelta.max,
        timedelta(microseconds=-1),
    ],
)
def test_dates_and_times_come_back_with_fold_zone_and_name(value: Any) -> None:
    back = decode(encode(value))
    assert (type(back), repr(back), back) == (type(value), repr(value), value)


def test_a_zone_comes_back_as_the_object_of_its_name() -> None:
    back = decode(encode(datetime(2024, 1, 1, tzinfo=ZoneInfo.no_cache("Europe/Berlin"))))
    assert back.tzinfo is BERLIN


def test_a_dict_keeps_its_order_whatever_its_keys() -> None:
    value = {"b": 1, 2: [], (1, frozenset({None})): {"x": ()}, "a": {3}, None: 0, b"": 1, 2.5: 2}
    back = decode(encode(value))
    assert list(back.items()) == list(value.items())
    assert [type(key) for key in back] == [type(key) for key in value]


def moment(*fields: Any) -> bytes:
    return packed(Ext(8, packed(fields)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xc0\xc0",
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",  # half a surrogate pair
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xd6\xff\x00\x00\x00\x01",  # msgpack's own timestamp
        packed(Ext(0, b"")),
        packed(Ext(10, b"")),
        packed(Ext(64, packed((1, 2)))),  # a code of keys
        packed({1: 2}),
        packed({(1, 2): 2}),
        b"\x81\x90\x01",
        b"\x81" + packed(Ext(1, b"\x01")) + b"\x01",
        packed(Ext(2, packed(1))),
        packed(Ext(2, b"")),
        packed(Ext(2, packed([Ext(99, b"")]))),
        packed(Ext(3, packed([[]]))),
        packed(Ext(3, packed([{}]))),
        packed(Ext(4, packed([Ext(3, packed([]))]))),
        packed(Ext(5, packed([1]))),
        packed(Ext(5, packed([[], 1]))),
        packed(Ext(5, packed([Ext(2, packed([[]])), 1]))),
        packed(Ext(6, packed((2024, 13, 1)))),
        packed(Ext(6, packed((2024, 1)))),
        packed(Ext(6, packed((2024, True, 1)))),
        packed(Ext(6, packed((2**63, 1, 1)))),
        packed(Ext(6, packed((b"\x07\xe8\x01\x01", None, None)))),  # what pickle gives to a date
        packed(Ext(7, packed((24, 0, 0, 0, 0, None)))),
        packed(Ext(7, packed((1, 0, 0, 0, 2, None)))),
        packed(Ext(9, packed((10**9, 0, 0)))),
        packed(Ext(9, packed((2**63, 0, 0)))),
        packed(Ext(9, packed((0.5, 0, 0)))),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, "../../etc/passwd"),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, "/etc/localtime"),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, "Europe"),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, "Nowhere" * 8),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, "A" * 100_000),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, ""),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, (1, 0, 0, None)),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, (2**63, 0, 0, None)),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, (0, 0, 0, 1)),
        moment(2024, 1, 1, 0, 0, 0, 0, 0, (0, 0, 0)),
        b"\x91" * 1_000_000,
        b"\x81" * 1_000_000,
        nested_tuples(64),
        nested_tuples(5_000),
    ],
    ids=lambda data: repr(data[:24]),
)
def test_bytes_that_encode_does_not_give_are_an_error_of_the_wire(data: bytes) -> None:
    with pytest.raises(WireError, match="the other side sent an invalid value: ") as error:
        decode(data)
    assert len(str(error.value)) < 300


def test_a_large_int_takes_no_time_that_grows_with_the_square_of_its_size() -> None:
    data = packed(Ext(1, b"\x7f" * 4_000_000))
    started = clock.process_time()
    value = decode(data)
    assert encode(value) == data
    assert clock.process_time() - started < 1


def test_what_is_nested_is_not_copied_for_each_level() -> None:
    data = packed(b"x" * 1_000_000)
    for _ in range(60):
        data = packed(Ext(2, b"\x91" + data))
    tracemalloc.start()
    try:
        decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_500_000


@pytest.mark.parametrize("value", [[], set(), {}, (1, []), ((), ({1},))])
def test_a_value_that_is_not_hashable_has_no_key(value: object) -> None:
    with pytest.raises(TypeError) as mine:
        key_of(value)
    with pytest.raises(TypeError) as pythons:
        hash(value)
    assert str(mine.value) == str(pythons.value)


def test_what_cannot_be_shared_has_no_key() -> None:
    with pytest.raises(TypeError, match=r"value\[1\]: a value of type .*Colour cannot be shared"):
        key_of((1, Colour.RED))
    with pytest.raises(ValueError, match="surrogate"):
        key_of("\ud800")
    with pytest.raises(TypeError, match=r"value\.tzinfo: a value of type .*Fixed cannot be shared"):
        key_of(time(1, tzinfo=Fixed()))
    value: Any = ()
    for _ in range(64):
        value = (value,)
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        key_of(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0.0, -0.0),
        (0, False),
        (1e300, int(1e300)),
        (2**64, 2.0**64),
        (math.nan, -math.nan),
        ((1, (None, 2.0)), (True, (None, 2))),
        (frozenset({1, "a", (2,)}), frozenset({(2.0,), "a", True})),
        (datetime(2024, 1, 1, 12, tzinfo=UTC), datetime(2024, 1, 1, 13, tzinfo=BERLIN)),
        (datetime(2024, 1, 1, 12), datetime(2024, 1, 1, 12, fold=1)),
        (datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN), datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)),
        (time(1, tzinfo=UTC), time(2, tzinfo=timezone(timedelta(hours=1)))),
        (time(1), time(1, tzinfo=BERLIN)),
        (timedelta(days=1), timedelta(hours=24)),
    ],
)
def test_equal_values_have_one_key(one: object, other: object) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        ("a", b"a"),
        (None, False),
        (0.1, 1),
        (math.inf, -math.inf),
        (2**64, 2**64 + 1),
        ((), frozenset()),
        ((1, 2), (2, 1)),
        (((1,), 2), (1, (2,))),
        (date(2024, 1, 1), datetime(2024, 1, 1)),
        (datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)),
        (time(1), time(1, tzinfo=UTC)),
        (datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN), datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
        (datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN), datetime(2024, 3, 31, 3, 30, tzinfo=BERLIN)),
        (timedelta(1), 1),
    ],
)
def test_values_that_differ_have_two_keys(one: object, other: object) -> None:
    assert key_of(one) != key_of(other)
