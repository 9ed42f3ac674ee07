"""Value and Array: the proxies over the real rules."""

from __future__ import annotations

import ctypes
import math
from array import array
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.core.objects import arrays, desk
from crawlfleet.coordinator.core.objects.rows import ObjectsRow, PartRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.shared import typecodes
from crawlfleet.worker.talk.objects import arrays as proxies
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects
from tests.commits import commit
from tests.unit.object_fleet import Failed, ObjectFleet
from tests.unit.object_proxies import program

INTEGERS = {code: typecodes.SIZES[code] * 8 for code in "bBhHiIlLqQ"}


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


@pytest.fixture
def objects(fleet: ObjectFleet) -> SharedObjects:
    return program(fleet)


# Value without a typecode


def test_a_value_without_a_typecode_is_an_int_of_any_size_or_a_float(
    fleet: ObjectFleet, objects: SharedObjects
) -> None:
    value = objects.Value("n")
    assert (value.get(), value.value) == (0, 0)
    value.value = 2**64 - 1
    assert value.add(1) == 2**64
    value.set(-(10**500))
    assert value.add(1) == value.value == 1 - 10**500
    assert fleet.rows(ObjectsRow)[0].size_bytes > 200
    value.set(True)
    assert value.add(0.5) == 1.5
    assert fleet.rows(ObjectsRow)[0].size_bytes == 0
    for wrong in ("1", None, 1j):
        with pytest.raises(TypeError, match="a number is expected"):
            value.set(wrong)
    value.set(10**400)
    with pytest.raises(OverflowError):
        value.add(0.5)
    assert value.get() == 10**400
    value.set(math.inf)
    assert value.get() == math.inf
    assert objects.Value("m", initial=5).get() == 5
    assert objects.Value("m", initial=6).get() == 5


# Value with a typecode


@pytest.mark.parametrize("code", INTEGERS)
def test_an_int_that_does_not_fit_is_refused(objects: SharedObjects, code: str) -> None:
    value = objects.Value("n", code)
    low = 0 if code.isupper() else -(2 ** (INTEGERS[code] - 1))
    high = low + 2 ** INTEGERS[code] - 1
    for number in (low, high):
        value.value = number
        assert value.value == number
        for other in (low - 1, high + 1, 2**100, 10**5_000, -(10**5_000)):
            with pytest.raises(OverflowError, match="does not fit"):
                value.value = other
    for more in (1, 10**5_000):
        with pytest.raises(OverflowError, match="does not fit"):
            value.add(more)
    for wrong in (1.0, "1", None):
        with pytest.raises(TypeError):
            value.value = wrong
    with pytest.raises(TypeError, match="holds an int, not float"):
        value.add(0.5)
    assert (value.value, value.add(-1)) == (high, high - 1)
    with pytest.raises(OverflowError):
        objects.Value("other", code, 2**100)


def test_floats_are_rounded_as_their_typecode_does(objects: SharedObjects) -> None:
    double, single = objects.Value("d", "d", 1), objects.Value("f", "f")
    assert type(double.value) is float
    double.value = 0.1
    single.value = 0.1
    assert (double.value, single.value) == (0.1, array("f", [0.1])[0])
    assert single.add(0.2) == array("f", [single.value])[0]
    for value in (math.inf, -math.inf):
        single.value = value
        assert single.value == value
    single.value = math.nan
    assert math.isnan(single.value)
    for number in (1e300, 10**400):
        with pytest.raises(OverflowError):
            single.value = number
    with pytest.raises(OverflowError):
        double.value = 10**400
    with pytest.raises(TypeError):
        double.value = "1"


def test_characters_and_truth_values(objects: SharedObjects) -> None:
    byte, character, truth = objects.Value("c", "c", b"x"), objects.Value("u", "u"), objects.Value("t", ctypes.c_bool)
    assert (byte.value, character.value, truth.value) == (b"x", "\0", False)
    byte.value, character.value, truth.value = bytearray(b"y"), "é", True
    assert (byte.value, character.value, truth.value) == (b"y", "é", True)
    byte.value = 65
    assert byte.value == b"A"
    for value, wrong in ((byte, b"xy"), (byte, "x"), (character, "xy"), (character, 65), (truth, "x")):
        with pytest.raises(TypeError):
            value.value = wrong
    for value, number in ((byte, 256), (truth, 2)):
        with pytest.raises(OverflowError):
            value.value = number
    for value in (byte, character, truth):
        with pytest.raises(TypeError, match="nothing can be added"):
            value.add(1)
    for wrong in (7, 10**5_000):
        with pytest.raises(TypeError, match="one character is expected, not an int"):
            character.value = wrong


def test_typecodes_agree_where_they_are_given(objects: SharedObjects) -> None:
    objects.Value("n", "i", 7)
    assert objects.Value("n").get() == objects.Value("n", ctypes.c_int).get() == 7
    with pytest.raises(OverflowError):
        objects.Value("n").set(2**40)
    with pytest.raises(ValueError, match="the Value 'n' has the typecode 'i', not 'd'"):
        objects.Value("n", "d")
    objects.Value("m")
    with pytest.raises(ValueError, match="the Value 'm' has no typecode, not 'd'"):
        objects.Value("m", "d")
    with pytest.raises(ValueError, match="there is no typecode 'x'"):
        objects.Value("o", "x")
    for wrong in (5, int, object()):
        with pytest.raises(TypeError, match="a typecode, or a ctypes type"):
            objects.Value("o", wrong)
    assert str(objects.Value("n")) == "Value('i', 7)"


def test_the_coordinator_checks_numbers_again(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    with pytest.raises(Failed, match="ValueError: there is no typecode 'x'"):
        thread.open("Value", "x", "x", 0)
    value = thread.open("Value", "n", "b", 0)
    with pytest.raises(Failed, match="OverflowError"):
        value.set(128)
    with pytest.raises(Failed, match="TypeError"):
        value.set(1.5)
    assert value.get() == 0


def test_the_size_of_numbers_is_bounded(objects: SharedObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    value = objects.Value("n", initial=1)
    monkeypatch.setattr(desk, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100 bytes"):
        value.set(10**1_000)
    assert value.get() == 1


# Array


def test_an_array_is_read_and_written_by_index_and_slice(fleet: ObjectFleet, objects: SharedObjects) -> None:
    numbers: Any = objects.Array("a", "i", range(10))
    plain = list(range(10))
    assert (len(numbers), numbers[3], numbers[-1], list(numbers)) == (10, 3, 9, plain)
    for part in (slice(2, 7), slice(None, None, -1), slice(8, 1, -3), slice(5, 2), slice(None, None, 4)):
        assert numbers[part] == plain[part]
    numbers[3] = plain[3] = 33
    numbers[4:8] = plain[4:8] = array("i", [1, 2, 3, 4])
    numbers[::-3] = plain[::-3] = [7, 8, 9, 10]
    numbers[9:2:-2] = plain[9:2:-2] = [-1, -2, -3, -4]
    numbers[5:2] = []
    assert program(fleet, "t").Array("a")[:] == plain
    for index in (10, -11, 2**100):
        with pytest.raises(IndexError, match="invalid index"):
            numbers[index]
        with pytest.raises(IndexError, match="invalid index"):
            numbers[index] = 1
    with pytest.raises(ValueError, match="Can only assign sequence of same size"):
        numbers[2:4] = [1]
    with pytest.raises(OverflowError):
        numbers[:2] = [1, 2**40]
    with pytest.raises(TypeError):
        numbers[0] = 1.5
    with pytest.raises(TypeError):
        numbers["0"]
    assert numbers[:] == plain
    assert str(objects.Array("b", "d", [1])) == "Array('d', [1.0])"


def test_an_array_of_a_size_consists_of_zeros_and_takes_no_room(fleet: ObjectFleet, objects: SharedObjects) -> None:
    numbers = objects.Array("a", ctypes.c_double, 100_000)
    assert fleet.rows(PartRow) == []
    assert numbers[99_990:] == [0.0] * 10
    numbers[1_000:1_003] = [1.5, 2.5, 3.5]
    assert numbers[999:1_004] == [0.0, 1.5, 2.5, 3.5, 0.0]
    assert len(fleet.rows(PartRow)) == 1
    assert sum(numbers) == 7.5
    assert list(objects.Array("empty", "i", 0)) == objects.Array("empty")[:] == []


def test_values_that_lie_in_several_blocks(objects: SharedObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = objects.Array("a", "h", 10_000)
    numbers[2_000:5_000] = range(3_000)
    assert numbers[:] == [0] * 2_000 + list(range(3_000)) + [0] * 5_000
    monkeypatch.setattr(arrays, "PAGE_BYTES", 1_000)
    assert list(numbers)[1_990:2_010] == [0] * 10 + list(range(10))
    numbers[::1_999] = [9] * 6
    assert numbers[::1_999] == [9] * 6


def test_typecode_and_size_agree_where_they_are_given(objects: SharedObjects) -> None:
    with pytest.raises(ValueError, match="there is no Array 'a' yet"):
        objects.Array("a")
    objects.Array("a", "i", 3)
    assert len(objects.Array("a")) == len(objects.Array("a", "i")) == len(objects.Array("a", "i", [7, 8, 9])) == 3
    assert objects.Array("a")[:] == [0, 0, 0]
    for options in (("d", 3), ("i", 4), ("i", [1])):
        with pytest.raises(ValueError, match="the Array 'a' has 3 of typecode 'i', not"):
            objects.Array("a", *options)
    for size in (-1, 2**40):
        with pytest.raises(ValueError, match="an Array has 0 to"):
            objects.Array("b", "i", size)
    wrong: Any
    for wrong in (5.5, [1.5], ["x"]):
        with pytest.raises(TypeError):
            objects.Array("b", "i", wrong)
    with pytest.raises(TypeError, match="takes a typecode"):
        objects.Array("b", None, [1])


def test_arrays_of_characters(objects: SharedObjects) -> None:
    text: Any = objects.Array("c", "c", b"hello")
    assert (text.value, text.raw, text[0], text[1:3], list(text)[-1]) == (b"hello", b"hello", b"h", b"el", b"o")
    text.value = b"hi"
    assert (text.value, text.raw) == (b"hi", b"hi\0lo")
    text.raw = b"HI"
    assert (text.value, text.raw) == (b"HI", b"HI\0lo")
    text.value = b"HELLO"
    assert text.value == b"HELLO"
    for name in ("value", "raw"):
        with pytest.raises(ValueError, match="byte string too long"):
            setattr(text, name, b"longer")
    assert objects.Array("u", "u", "héllo")[:] == "héllo"
    numbers = objects.Array("i", "i", 3)
    for look in (lambda: numbers.value, lambda: setattr(numbers, "raw", b"")):
        with pytest.raises(AttributeError, match="neither value nor raw"):
            look()


def test_the_coordinator_checks_arrays_again(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    numbers = thread.open("Array", "a", ("i", 3, b""))
    for start, step, data in ((3, 1, bytes(4)), (-1, 1, bytes(4)), (0, 2, bytes(12)), (2, -1, bytes(16))):
        with pytest.raises(Failed, match="IndexError"):
            numbers.write(start, step, data)
    with pytest.raises(Failed, match="ValueError: 3 bytes are no numbers"):
        numbers.write(0, 1, bytes(3))
    with pytest.raises(Failed, match="ValueError: a number does not fit"):
        thread.open("Array", "u", ("u", 1, b"\xff" * 4))
    assert numbers.read(-5, 99) == bytes(12)
    assert numbers.read(2, 1) == b""


def test_arrays_are_bounded(objects: SharedObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = objects.Array("a", "i", 10_000)
    monkeypatch.setattr(proxies, "CALL_BYTES", 100)
    with pytest.raises(ValueError, match="more than 100 bytes"):
        numbers[:100] = range(100)
    monkeypatch.setattr(desk, "MAX_BYTES", 10_000)
    with pytest.raises(ValueError, match="at most 10000 bytes"):
        numbers[::1_000] = range(10)
    numbers[0] = numbers[1] = 1
    assert sum(numbers) == 2


# Both


def test_each_value_and_array_has_a_recursive_lock_of_its_own(objects: SharedObjects) -> None:
    value, numbers = objects.Value("x", "i"), objects.Array("x", "i", 2)
    with value.get_lock() as fence, numbers:
        assert fence
        assert value.acquire(blocking=False) == fence
        value.value += 1
        value.release()
    with pytest.raises(AssertionError):
        value.release()
    assert objects.RLock("x").acquire(blocking=False)
    with objects.Value("y").get_lock():
        assert value.value == 1


def test_values_and_arrays_survive_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    objects = program(before)
    objects.Value("n", "f").value = 0.1
    objects.Value("big").set(10**100)
    objects.Array("a", "h", 5_000)[::1_000] = range(5)
    commit(before.store, 0.0)
    before.store.close()
    after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    objects = program(after, "t")
    assert objects.Value("n", "f").value == array("f", [0.1])[0]
    assert objects.Value("big").add(1) == 10**100 + 1
    assert objects.Array("a")[::1_000] == list(range(5))
    after.store.close()
