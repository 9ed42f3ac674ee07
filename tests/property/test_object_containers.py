"""Shared containers do what Python's own do: the proxies over the real rules, against plain models."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crawlfleet.coordinator.core.objects import arrays, blocks, entries, lists
from crawlfleet.coordinator.core.objects.blocks import ListRow
from crawlfleet.coordinator.core.objects.rows import ObjectsRow, PartRow
from tests.unit.object_fleet import ObjectFleet
from tests.unit.object_proxies import program

Call = tuple[str, tuple[Any, ...]]

# Few, so that equal ones meet, also of different types.
NUMBERS = st.integers(-2, 2) | st.booleans() | st.sampled_from([0.0, 1.0, 2**70, "a", "b" * 100])
HASHABLE = NUMBERS | st.tuples(NUMBERS)
KEYS = HASHABLE | st.lists(NUMBERS, max_size=1)
VALUES = NUMBERS | st.lists(NUMBERS, max_size=2)
DICTS = st.dictionaries(HASHABLE, VALUES, max_size=4)
SETS = st.sets(NUMBERS, max_size=4)
ITERABLES = st.lists(NUMBERS, max_size=6)
INDEXES = st.integers(-12, 12) | st.sampled_from([2**100, -(2**100)])
PARTS = st.none() | INDEXES
SLICES = st.builds(slice, PARTS, PARTS, st.none() | st.integers(-3, 3))


def calls(names: str, *arguments: SearchStrategy[Any]) -> SearchStrategy[Call]:
    return st.tuples(st.sampled_from(names.split()), st.tuples(*arguments))


DICT_CALLS = (
    calls("__getitem__ __delitem__ __contains__ get setdefault", KEYS)
    | calls("__setitem__ get setdefault", KEYS, VALUES)
    | calls("pop", HASHABLE)
    | calls("pop", HASHABLE, VALUES)
    | calls("popitem clear __len__")
    | calls("update __or__ __ror__ __ior__", DICTS)
)
SET_CALLS = (
    calls("add discard remove __contains__", KEYS)
    | calls("clear __len__")
    | calls("update difference_update intersection_update union", ITERABLES, SETS)
    | calls("symmetric_difference_update difference isdisjoint issubset issuperset", ITERABLES)
    | calls("__or__ __and__ __sub__ __xor__ __ior__ __iand__ __isub__ __ixor__ __le__ __lt__ __ge__ __gt__", SETS)
)
LIST_CALLS = (
    calls("append remove index count __contains__", VALUES)
    | calls("extend __iadd__", ITERABLES)
    | calls("insert", INDEXES, VALUES)
    | calls("index", VALUES, st.integers(-3, 3), st.integers(-3, 30))
    | calls("pop __getitem__ __delitem__", INDEXES)
    | calls("__getitem__ __delitem__", SLICES)
    | calls("__setitem__", INDEXES, VALUES)
    | calls("__setitem__", SLICES, ITERABLES)
    | calls("pop reverse sort clear __len__")
    | calls("__mul__ __rmul__ __imul__", st.integers(-1, 3))
)


ARRAY_CALLS = (
    calls("__getitem__", INDEXES | SLICES)
    | calls("__setitem__", INDEXES, st.integers(-(2**31), 2**31 - 1))
    | calls("__setitem__", SLICES, st.lists(st.integers(-9, 9), max_size=10))
    | calls("__len__")
)


class PlainList(list[Any]):
    """A list that a sort which fails does not change."""

    def sort(self, **_options: Any) -> None:
        self[:] = sorted(self)


def outcome(subject: Any, call: Call) -> Any:
    """Return what a call gives, or the error that it raises."""
    name, arguments = call
    try:
        value = getattr(subject, name)(*arguments)
    except KeyError as error:
        return KeyError, error.args if name != "popitem" else ()
    except (IndexError, OverflowError, TypeError, ValueError) as error:
        return type(error)
    return "itself" if value is subject else value


def run(shared: Any, plain: Any, steps: list[Call], check: Callable[[], None]) -> None:
    for step in steps:
        assert outcome(shared, step) == outcome(plain, step), step
        assert shared.copy() == plain, step
        # Which of equal members a set keeps is not said.
        assert isinstance(plain, set) or str(shared) == str(plain), step
        check()


@settings(deadline=None)
@given(DICTS, st.lists(DICT_CALLS, max_size=12))
def test_a_dict_is_as_pythons(initial: dict[Any, Any], steps: list[Call]) -> None:
    fleet = ObjectFleet()
    shared, plain = program(fleet).dict("d", initial), dict(initial)
    with patch.object(entries, "PAGE_ITEMS", 2):
        run(shared, plain, steps, lambda: None)
    shared.clear()
    assert fleet.rows(PartRow) == []
    assert fleet.rows(ObjectsRow)[0].size_bytes == 0


@settings(deadline=None)
@given(SETS, st.lists(SET_CALLS, max_size=12))
def test_a_set_is_as_pythons(initial: set[Any], steps: list[Call]) -> None:
    fleet = ObjectFleet()
    shared, plain = program(fleet).set("s", initial), set(initial)
    with patch.object(entries, "PAGE_ITEMS", 2):
        run(shared, plain, steps, lambda: None)
    shared.clear()
    assert fleet.rows(PartRow) == []
    assert fleet.rows(ObjectsRow)[0].size_bytes == 0


@settings(deadline=None)
@given(ITERABLES, st.lists(LIST_CALLS, max_size=15))
def test_a_list_is_as_pythons(initial: list[Any], steps: list[Call]) -> None:
    fleet = ObjectFleet()

    def check() -> None:
        (row,) = fleet.rows(ListRow)
        numbers = [part.place for part in fleet.rows(PartRow)]
        assert sorted(memoryview(row.blocks).cast("I")) == sorted(numbers)
        assert len(row.counts) == 2 * max(0, len(numbers) - 1)
        assert all(0 < count <= 4 for count in memoryview(row.counts).cast("H"))

    few = (patch.object(blocks, "BLOCK_ITEMS", 4), patch.object(blocks, "FEW_ITEMS", 2))
    with few[0], few[1], patch.object(lists, "PAGE_ITEMS", 3), patch.object(blocks, "BLOCK_BYTES", 100):
        shared, plain = program(fleet).list("l", initial), PlainList(initial)
        run(shared, plain, steps, check)
        shared.clear()
    assert fleet.rows(PartRow) == []
    assert fleet.rows(ObjectsRow)[0].size_bytes == 0


@settings(deadline=None)
@given(st.lists(st.integers(-9, 9), max_size=10), st.lists(ARRAY_CALLS, max_size=15))
def test_an_array_is_as_multiprocessings(initial: list[int], steps: list[Call]) -> None:
    fleet = ObjectFleet()
    with patch.object(arrays, "BLOCK_BYTES", 8), patch.object(arrays, "PAGE_BYTES", 12):
        shared, plain = program(fleet).Array("a", "i", initial), multiprocessing.Array("i", initial, lock=False)
        for step in steps:
            assert outcome(shared, step) == outcome(plain, step), step
            assert shared[:] == plain[:], step
