"""list: the proxy over the real rules."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import MutableSequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.msgpack import encode

from crawlfleet.coordinator.core.changes import Put
from crawlfleet.coordinator.core.objects import blocks, desk, lists
from crawlfleet.coordinator.core.objects.blocks import ListRow
from crawlfleet.coordinator.core.objects.rows import ObjectsRow, PartRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects
from tests.commits import commit
from tests.unit.object_fleet import Failed, ObjectFleet
from tests.unit.object_proxies import program

MANY = 1_000


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


@pytest.fixture
def objects(fleet: ObjectFleet) -> SharedObjects:
    return program(fleet)


def test_a_list_is_shared_and_whoever_creates_it_gives_it_its_first_items(
    fleet: ObjectFleet, objects: SharedObjects
) -> None:
    mine, theirs = objects.list("l", range(MANY)), program(fleet, "t").list("l", [5])
    assert theirs.copy() == list(range(MANY))
    theirs[3] = {"a": (1,)}
    assert mine[3] == {"a": (1,)}
    sequence: Any = MutableSequence
    assert isinstance(mine, sequence)
    assert repr(mine) == "<List 'l' of the fleet>"
    assert str(objects.list("two", [1, "x"])) == "[1, 'x']"


@pytest.mark.parametrize("far", [2**63, 2**64 - 1])
def test_no_number_that_a_message_can_carry_is_too_large(fleet: ObjectFleet, far: int) -> None:
    thread, items = fleet.thread("s"), (b"a", b"b", b"c")
    empty, shared = thread.open("list", "empty", ()), thread.open("list", "l", items)
    empty.repeat(far)
    assert empty.size() == 0
    assert shared.page((None, None, far), 0) == ([b"a"], False)
    assert shared.page((None, far, None), far) == ([], False)
    shared.insert(far, b"d")
    shared.delete((1, far, far))
    assert shared.page((None, None, -(2**63)), 0) == ([b"d"], False)
    assert shared.size() == 3


def test_items_are_read_by_index_and_slice(objects: SharedObjects) -> None:
    plain = list(range(MANY))
    shared = objects.list("l", plain)
    assert (shared[0], shared[-1], shared[500], len(shared)) == (0, 999, 500, MANY)
    for part in (
        slice(None),
        slice(3, 300),
        slice(-5, None),
        slice(5, 2),
        slice(None, None, 7),
        slice(None, None, -1),
        slice(900, 3, -50),
        slice(3, 900, -1),
        slice(2**100, -(2**100), -(2**100)),
    ):
        assert shared[part] == plain[part]
    for index in (MANY, -MANY - 1, 2**100):
        with pytest.raises(IndexError, match="list index out of range"):
            shared[index]
    with pytest.raises(ValueError, match="slice step cannot be zero"):
        shared[::0]
    with pytest.raises(TypeError):
        shared["1"]  # type: ignore[call-overload]  # it is an error
    assert list(shared) == plain
    assert list(reversed(shared)) == plain[::-1]


def test_slices_are_assigned_and_deleted(objects: SharedObjects) -> None:
    plain: list[Any] = list(range(300))
    shared = objects.list("l", plain)
    for both in (plain, shared):
        both[10:20] = "abc"
        both[5:2] = ["x"]
        both[::2] = range(len(both[::2]))
        both[-3:] = []
        both[len(both) :] = [1, 2]
        del both[7]
        del both[-1]
        del both[100:200]
        del both[::3]
        del both[5:2]
    assert shared.copy() == plain
    with pytest.raises(ValueError, match="attempt to assign sequence of size 1 to extended slice of size"):
        shared[::2] = [1]
    for change in (lambda: shared.__setitem__(999, 1), lambda: shared.__delitem__(999), lambda: shared.pop(999)):
        with pytest.raises(IndexError, match="out of range"):
            change()
    assert shared.copy() == plain
    shared.clear()
    assert shared.copy() == []
    with pytest.raises(IndexError, match="pop from empty list"):
        shared.pop()
    with pytest.raises(OverflowError):
        shared.insert(2**100, 1)


def test_the_other_methods_of_lists(objects: SharedObjects) -> None:
    shared: Any = objects.list("l", [3, 1])
    same = shared
    shared.append(2)
    shared.extend((1,))
    shared += [5]
    shared.insert(0, "first")
    shared.insert(-1, "x")
    shared.insert(99, "last")
    assert shared.copy() == ["first", 3, 1, 2, 1, "x", 5, "last"]
    assert (shared.pop(), shared.pop(0), shared.pop(-2)) == ("last", "first", "x")
    assert (shared.index(1), shared.index(1.0, 2), shared.count(True), 9 in shared, 5 in shared) == (
        1,
        3,
        2,
        False,
        True,
    )
    with pytest.raises(ValueError, match="'y' is not in list"):
        shared.index("y")
    with pytest.raises(ValueError, match="is not in list"):
        shared.index(3, 1, 2)
    shared.remove(1)
    with pytest.raises(ValueError, match=r"list.remove\(x\): x not in list"):
        shared.remove("y")
    shared.sort()
    assert shared.copy() == [1, 2, 3, 5]
    shared.sort(reverse=True)
    shared.reverse()
    shared.reverse()
    assert shared.copy() == [5, 3, 2, 1]
    tail = [0]
    assert (shared + tail, shared + objects.list("m", [7])) == ([5, 3, 2, 1, 0], [5, 3, 2, 1, 7])
    with pytest.raises(TypeError):
        shared + tuple(tail)
    assert shared * 2 == 2 * shared == [5, 3, 2, 1] * 2
    shared *= 2
    assert shared.copy() == [5, 3, 2, 1] * 2
    shared *= 0
    assert shared is same
    assert shared.copy() == []


def test_what_cannot_be_compared_cannot_be_sorted(objects: SharedObjects) -> None:
    shared = objects.list("l", [1, "a", math.nan])
    with pytest.raises(TypeError, match="'<' not supported"):
        shared.sort()
    assert shared.copy()[:2] == [1, "a"]
    with pytest.raises(TypeError, match="functions are not sent"):
        shared.sort(key=len)  # type: ignore[arg-type]  # it is an error


def test_sorting_is_stable_and_keeps_each_item_as_it_was(objects: SharedObjects) -> None:
    shared = objects.list("l", [1.0, True, 0, 1])
    shared.sort()
    assert [type(value) for value in shared] == [int, float, bool, int]
    shared.sort(reverse=True)
    assert [type(value) for value in shared] == [float, bool, int, int]


def test_a_loop_reads_as_it_goes(objects: SharedObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = objects.list("l", range(10))
    loop = iter(shared)
    shared[0] = 100
    assert next(loop) == 100
    assert list(loop) == list(range(1, 10))
    assert list(loop) == []
    monkeypatch.setattr(lists, "PAGE_ITEMS", 3)
    assert shared[::-1] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 100]
    monkeypatch.setattr(lists, "PAGE_BYTES", 1)
    assert shared[1:] == list(range(1, 10))


def test_blocks_stay_bounded_wherever_items_come_and_go(fleet: ObjectFleet, objects: SharedObjects) -> None:
    shared, plain, chance = objects.list("l"), list[int](), random.Random(1)
    for number in range(600):
        index = chance.choice([0, len(plain) // 2, len(plain)])
        plain.insert(index, number)
        shared.insert(index, number)
    assert shared.copy() == plain
    parts = fleet.rows(PartRow)
    assert len(parts) <= 600 / (blocks.BLOCK_ITEMS / 2) + 2
    while len(plain) > 20:
        index = chance.choice([0, len(plain) // 2, -1])
        assert shared.pop(index) == plain.pop(index)
    assert shared.copy() == plain
    assert len(fleet.rows(PartRow)) <= 4
    del shared[:]
    assert fleet.rows(PartRow) == []
    assert fleet.rows(ObjectsRow)[0].size_bytes == 0


def test_large_items_have_blocks_of_their_own(fleet: ObjectFleet, objects: SharedObjects) -> None:
    shared = objects.list("l", ["x" * 5_000, "y" * 3_000, "z" * 3_000, 1])
    assert len(fleet.rows(PartRow)) == 3
    shared.insert(1, "w" * 5_000)
    assert [value[0] for value in shared[:4]] == ["x", "w", "y", "z"]


def test_an_append_writes_one_block(fleet: ObjectFleet, objects: SharedObjects) -> None:
    shared = objects.list("l", range(10_000))
    shared.append(1)
    for number in range(40):
        fleet.changes.clear()
        shared.append(number)
        written = [change.row for change in fleet.changes if isinstance(change, Put)]
        assert [type(row) for row in written].count(PartRow) == 1
        assert ListRow not in map(type, written)
        assert sum(len(encode(row)) for row in written) < 1_000


def test_what_is_too_large_is_refused_and_changes_nothing(
    objects: SharedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: Any = objects.list("l", ["x" * 100] * 10)
    with pytest.raises(ValueError, match="grow by more than 8388608 bytes"):
        shared *= 100_000
    monkeypatch.setattr(blocks, "MAX_BLOCKS", 2)
    with pytest.raises(ValueError, match="at most 2 blocks"):
        shared.extend(range(1_000))
    monkeypatch.setattr(desk, "MAX_BYTES", 2_000)
    with pytest.raises(ValueError, match="at most 2000 bytes"):
        shared.append("x" * 1_000)
    with pytest.raises(ValueError, match="at most 2000 bytes"):
        objects.list("m", ["x" * 2_000])
    assert shared.copy() == ["x" * 100] * 10
    shared.reverse()
    assert len(shared) == 10


def test_what_no_client_sends_is_refused(fleet: ObjectFleet) -> None:
    handle = fleet.thread("s").open("list", "l", (b"\xc1", b"\x01"))
    for method, *arguments in (("find", b"\x01", 0, sys.maxsize), ("sort", False), ("page", (None, None, 0), 0)):
        with pytest.raises(Failed, match="ValueError"):
            handle.call(str(method), *arguments)
    assert handle.page((None, None, None), -1) == ([b"\xc1", b"\x01"], False)


def test_items_without_a_byte_are_items_like_others(fleet: ObjectFleet) -> None:
    items = fleet.thread("s").open("list", "l", (b"",) * 200)
    assert items.size() == 200


def test_lists_survive_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    shared = program(before).list("l", range(200))
    commit(before.store, 0.0)
    shared.insert(100, "x")
    del shared[10:50]
    commit(before.store, 0.0)
    before.store.close()
    after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    again = program(after, "t").list("l")
    again.append("end")
    assert again.copy() == [*range(10), *range(50, 100), "x", *range(100, 200), "end"]
    after.store.close()
