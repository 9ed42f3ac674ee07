"""dict, set and Namespace: the proxies over the real rules."""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSet
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.core.objects import desk, entries
from crawlfleet.coordinator.core.objects.entries import DictRow
from crawlfleet.coordinator.core.objects.rows import ObjectsRow, PartRow, SessionRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.worker.talk.objects import contents
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects
from tests.commits import commit
from tests.unit.object_fleet import Failed, ObjectFleet
from tests.unit.object_proxies import program


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


@pytest.fixture
def objects(fleet: ObjectFleet) -> SharedObjects:
    return program(fleet)


def bytes_counted(fleet: ObjectFleet) -> int:
    (numbers,) = fleet.rows(ObjectsRow)
    return int(numbers.size_bytes)


# dict


def test_a_dict_is_shared_by_name(fleet: ObjectFleet, objects: SharedObjects) -> None:
    mine, theirs = objects.dict("d"), program(fleet, "t").dict("d")
    mine["k"] = [1, (2, 3)]
    assert theirs["k"] == [1, (2, 3)]
    assert "k" in theirs
    assert objects.dict("other").copy() == {}


def test_first_entries_count_for_whoever_creates_the_dict(objects: SharedObjects) -> None:
    assert objects.dict("d", {"a": 1}, b=2).copy() == {"a": 1, "b": 2}
    assert objects.dict("d", [("c", 3)]).copy() == {"a": 1, "b": 2}
    assert objects.dict("e", objects.dict("d"), c=3).copy() == {"a": 1, "b": 2, "c": 3}
    with pytest.raises(TypeError):
        objects.dict("f", 5)


def test_a_missing_key_is_named(objects: SharedObjects) -> None:
    d = objects.dict("d")
    missing = (1, "x")
    for attempt in (lambda: d[missing], lambda: d.pop(missing), lambda: d.__delitem__(missing)):
        with pytest.raises(KeyError) as caught:
            attempt()
        assert caught.value.args == (missing,)
    with pytest.raises(KeyError, match="dictionary is empty"):
        d.popitem()
    assert d.get(missing) is None
    assert (d.get(missing, 5), d.pop(missing, 6), d.pop(missing, None)) == (5, 6, None)


def test_equal_keys_are_one_key_and_it_comes_back_as_first_given(objects: SharedObjects) -> None:
    d = objects.dict("d")
    d[1] = "one"
    d[True] = "true"
    d[1.0] = "float"
    assert d.copy() == {1: "float"}
    assert type(d.keys()[0]) is int
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        d[[]] = 1
    with pytest.raises(TypeError):
        _ = [] in d


def test_long_keys_differ_by_all_they_have(objects: SharedObjects) -> None:
    d = objects.dict("d")
    long = "x" * 10_000
    d[long + "a"], d[long + "b"] = 1, 2
    assert (d[long + "a"], d[long + "b"], len(d)) == (1, 2, 2)
    assert d.keys() == [long + "a", long + "b"]


def test_entries_keep_the_order_in_which_their_keys_were_added(objects: SharedObjects) -> None:
    d = objects.dict("d", c=1, a=2, b=3)
    d["c"] = 4
    del d["a"]
    d["a"] = 5
    assert d.items() == [("c", 4), ("b", 3), ("a", 5)]
    assert list(reversed(d)) == ["a", "b", "c"]
    assert d.popitem() == ("a", 5)
    assert d.popitem() == ("b", 3)


def test_the_other_methods_of_dicts(objects: SharedObjects) -> None:
    d: Any = objects.dict("d")
    mapping: Any = MutableMapping
    assert isinstance(d, mapping)
    assert not d
    assert d.setdefault("a", 1) == 1
    assert d.setdefault("a", 2) == 1
    assert d.setdefault("n") is None
    d.update({"b": 2}, c=3)
    d.update([("d", 4)])
    d |= {"e": 5}
    assert len(d) == 6
    assert d.values() == [1, None, 2, 3, 4, 5]
    assert d.pop("n") is None
    assert "n" not in d
    assert type(d | {"f": 6}) is dict
    assert (d | {"f": 6})["f"] == 6
    plain: Any = {"a": 0, "z": 9}
    assert (plain | d)["a"] == 1
    assert (d | d) == d.copy()
    with pytest.raises(TypeError):
        d | [("a", 1)]
    with pytest.raises(TypeError):
        [("a", 1)] | d
    assert d.fromkeys("ab", 1) == {"a": 1, "b": 1}
    assert str(objects.dict("one", a=1)) == "{'a': 1}"
    assert repr(d) == "<Dict 'd' of the fleet>"
    d.clear()
    assert d.copy() == {}


def test_a_loop_shows_one_moment(objects: SharedObjects) -> None:
    d = objects.dict("d", a=1, b=2)
    seen = []
    for key in d:
        seen.append(key)
        d[key + "x"] = 0
    assert seen == ["a", "b"]


def test_contents_are_read_page_by_page(objects: SharedObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    d = objects.dict("d", {number: str(number) for number in range(10)})
    monkeypatch.setattr(entries, "PAGE_ITEMS", 3)
    assert d.copy() == {number: str(number) for number in range(10)}
    assert d.keys() == list(range(10))
    monkeypatch.setattr(entries, "PAGE_BYTES", 1)
    assert d.copy() == {number: str(number) for number in range(10)}


def test_a_call_that_is_too_large_is_refused_and_changes_nothing(
    objects: SharedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "CALL_BYTES", 100)
    d = objects.dict("d")
    with pytest.raises(ValueError, match="more than 100 bytes"):
        d.update(dict.fromkeys(range(10), "x" * 10))
    monkeypatch.setattr(contents, "CALL_ENTRIES", 2)
    for change in (lambda: d.update({1: 1, 2: 2, 3: 3}), lambda: objects.set("s", "abc")):
        with pytest.raises(ValueError, match="at most 2 entries"):
            change()
    d.update({1: 1, 2: 2})
    assert d.copy() == {1: 1, 2: 2}


def test_bytes_are_counted_and_given_back(fleet: ObjectFleet, objects: SharedObjects) -> None:
    d, s = objects.dict("d"), objects.set("s")
    d.update({"a": "x" * 100, "b": 1})
    assert bytes_counted(fleet) > 100
    d["a"] = "x" * 10
    s.update(range(10))
    del d["a"]
    d.clear()
    s.clear()
    assert bytes_counted(fleet) == 0
    assert fleet.rows(SessionRow)[0].size_bytes == 0
    assert fleet.rows(PartRow) == []


def test_there_is_a_bound_on_bytes(objects: SharedObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    d = objects.dict("d", a=1)
    s = objects.set("s", {1})
    monkeypatch.setattr(desk, "MAX_BYTES", 1_000)
    for change in (
        lambda: d.update(dict.fromkeys(range(5), "x" * 100)),
        lambda: d.setdefault("b", "x" * 1_000),
        lambda: s.symmetric_difference_update({1, 2, "x" * 1_000}),
        lambda: objects.dict("e", a="x" * 1_000),
    ):
        with pytest.raises(ValueError, match="at most 1000 bytes"):
            change()
    assert (d.copy(), s.copy()) == ({"a": 1}, {1})
    d["a"] = 2
    assert d["a"] == 2


def test_whoever_makes_an_entry_larger_has_it_counted_as_its_own(
    fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entry(key: int, size: int) -> tuple[bytes, bytes, bytes]:
        return bytes([key]), b"", bytes(size)

    first, second = fleet.thread("first"), fleet.thread("second")
    d = first.open("dict", "d", tuple(entry(key, 100) for key in range(4)))
    theirs = second.open("dict", "d", ())
    monkeypatch.setattr(desk, "MAX_BYTES_OF_SESSION", 1_500)
    theirs.update((entry(0, 100),))
    theirs.update((entry(1, 50),))
    assert counted(fleet) == {"first": 4 * 501 - 50, "second": 0}
    for key in range(2):
        theirs.update((entry(key, 500),))
    assert counted(fleet) == {"first": 2 * 501, "second": 2 * 901}
    with pytest.raises(Failed, match="a program may add at most 1500 bytes"):
        theirs.update((entry(3, 500),))
    d.update((entry(3, 500),))
    theirs.clear()
    assert counted(fleet) == {"first": 0, "second": 0}


def counted(fleet: ObjectFleet) -> dict[str, int]:
    return {row.session: row.size_bytes for row in fleet.rows(SessionRow)}


def test_a_repeated_pop_removes_nothing_more(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    d = thread.open("dict", "d", ((b"a", b"a", b"1"), (b"b", b"b", b"2")))
    assert d.popitem() == (b"b", b"2")
    assert thread.again() == (b"b", b"2")
    assert d.remove(b"a") == b"1"
    assert thread.again() == b"1"
    assert d.size() == 0
    with pytest.raises(Failed, match="TypeError"):
        d.update(5)


def test_entries_that_come_twice_in_one_call_are_counted_once(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    d = thread.open("dict", "d", ((b"a", b"a", b"1"), (b"a", b"a", b"2")))
    assert (d.get(b"a"), d.size()) == (b"2", 1)
    s = thread.open("set", "s", ())
    s.toggle(((b"a", b"a", b""), (b"a", b"a", b"")))
    assert s.size() == 1


def test_dicts_survive_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    objects = program(before)
    d = objects.dict("d", a=1, b=2)
    objects.set("s", range(5)).discard(0)
    objects.Namespace("n", x=1).y = 2
    commit(before.store, 0.0)
    del d["a"]
    d["a"] = 3
    commit(before.store, 0.0)
    before.store.close()
    after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    objects = program(after, "t")
    assert objects.dict("d").items() == [("b", 2), ("a", 3)]
    assert objects.set("s").copy() == {1, 2, 3, 4}
    assert str(objects.Namespace("n")) == "Namespace(x=1, y=2)"
    assert after.rows(DictRow)[0].size == 2
    after.store.close()


# set


def test_a_set_has_the_methods_that_change_it(objects: SharedObjects) -> None:
    s = objects.set("s", [1, 2, 2])
    assert isinstance(s, MutableSet)
    assert objects.set("s", [7]).copy() == {1, 2}
    s.add(3)
    s.add(3.0)
    assert (len(s), 3 in s, 4 in s) == (3, True, False)
    s.discard(3)
    s.discard(3)
    s.remove(2)
    with pytest.raises(KeyError) as caught:
        s.remove((2,))
    assert caught.value.args == ((2,),)
    assert s.pop() == 1
    with pytest.raises(KeyError, match="pop from an empty set"):
        s.pop()
    s.update([1, 2], {3}, objects.set("t", {4}))
    s.intersection_update([2, 3, 4], {3, 4, 5})
    s.intersection_update()
    assert s.copy() == {3, 4}
    s.difference_update([3], [9])
    s.symmetric_difference_update([4, 5, 6])
    assert sorted(s) == [5, 6]
    assert str(objects.set("one", {1})) == "{1}"
    s.clear()
    assert s.copy() == set()


def test_operators_of_sets_in_place_are_for_sets(objects: SharedObjects) -> None:
    s: Any = objects.set("s", {1, 2, 3})
    same = s
    s |= {4}
    s &= {2, 3, 4, 9}
    s -= {2}
    s ^= {3, 5}
    assert s is same
    assert s.copy() == {4, 5}
    for change in (s.__ior__, s.__iand__, s.__isub__, s.__ixor__):
        assert change([1]) is NotImplemented


def test_what_sets_give_is_of_this_process(objects: SharedObjects) -> None:
    s: Any = objects.set("s", {1, 2, 3})
    other = objects.set("t", {3, 4})
    assert s.union([9], other) == {1, 2, 3, 4, 9}
    assert s.intersection([1, 3], other) == {3}
    assert s.difference([1], other) == {2}
    assert s.symmetric_difference(other) == {1, 2, 4}
    assert (s.isdisjoint([7]), s.issubset([1, 2, 3, 4]), s.issuperset(other)) == (True, True, False)
    assert (s | other, s & other, s - other, s ^ other) == ({1, 2, 3, 4}, {3}, {1, 2}, {1, 2, 4})
    assert ({9} | s, {1, 9} & s, {1, 9} - s, {1, 9} ^ s) == ({1, 2, 3, 9}, {1}, {9}, {2, 3, 9})
    assert (s <= {1, 2, 3}, s < {1, 2, 3}, s >= other, s > {1}) == (True, False, False, True)
    for operator in ("or", "and", "sub", "xor", "ror", "rand", "rsub", "rxor", "le", "lt", "ge", "gt"):
        assert getattr(s, f"__{operator}__")([1]) is NotImplemented


# Namespace


def test_a_namespace_shares_attributes_of_any_name(fleet: ObjectFleet, objects: SharedObjects) -> None:
    mine, theirs = objects.Namespace("n", name="Bob", kind=[1]), program(fleet, "t").Namespace("n", x=1)
    mine.get, mine.job = 5, "Builder"
    assert (theirs.name, theirs.kind, theirs.get, theirs.job) == ("Bob", [1], 5, "Builder")
    del theirs.job
    assert not hasattr(mine, "job")
    with pytest.raises(AttributeError, match="the Namespace 'n' has no attribute 'x'"):
        _ = mine.x
    with pytest.raises(AttributeError, match="has no attribute 'job'"):
        del mine.job
    assert repr(mine) == "<Namespace 'n' of the fleet>"
    assert str(mine) == "Namespace(get=5, kind=[1], name='Bob')"


def test_names_with_an_underscore_are_the_proxys_own(objects: SharedObjects) -> None:
    n = objects.Namespace("n", a=1)
    n._hidden = 1
    assert n._hidden == 1
    del n._hidden
    for look in ("_hidden", "__other__"):
        with pytest.raises(AttributeError, match=look):
            getattr(n, look)
    assert str(n) == "Namespace(a=1)"
