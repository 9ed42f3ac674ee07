"""Queue and JoinableQueue by rule: order, waiting, what comes back and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.core.objects import desk
from crawlfleet.coordinator.core.objects.desk import item_bytes
from crawlfleet.coordinator.core.objects.queues import QueueRow, TakenRow
from crawlfleet.coordinator.core.objects.rows import ObjectsRow, PartRow, SessionRow, WaitRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from tests.commits import commit
from tests.unit.object_fleet import WAITS, Failed, Handle, ObjectFleet

KINDS = pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


def opened(fleet: ObjectFleet, session: str, kind: str = "Queue", maxsize: int = 0) -> Handle:
    return fleet.thread(session).open(kind, "q", maxsize)


def got(answer: object) -> bytes:
    """Return the value of an item, of which the answer also tells the place."""
    assert isinstance(answer, list | tuple), answer
    _place, value = answer
    assert isinstance(value, bytes)
    return value


def held_bytes(fleet: ObjectFleet) -> int:
    (numbers,) = fleet.rows(ObjectsRow)
    assert sum(row.size_bytes for row in fleet.rows(SessionRow)) == numbers.size_bytes
    size: int = numbers.size_bytes
    return size


@KINDS
def test_items_come_in_the_order_in_which_they_were_put(fleet: ObjectFleet, kind: str) -> None:
    putter, getter = opened(fleet, "a", kind), opened(fleet, "b", kind)
    for value in (b"1", b"2", b"3"):
        putter.put(value)
    assert (getter.qsize(), getter.full()) == (3, False)
    assert [got(getter.get()) for _ in range(3)] == [b"1", b"2", b"3"]
    with pytest.raises(Failed, match="Empty"):
        getter.get()
    assert getter.qsize() == 0


@KINDS
def test_getters_wait_in_the_order_in_which_they_came(fleet: ObjectFleet, kind: str) -> None:
    first, second, putter = (opened(fleet, session, kind) for session in "abc")
    assert first.get(timeout_s=None) == WAITS
    assert second.get(timeout_s=5) == WAITS
    putter.put(b"1")
    putter.put(b"2")
    putter.put(b"3")
    assert (got(first.thread.woken()), got(second.thread.woken()), putter.qsize()) == (b"1", b"2", 1)


@KINDS
def test_putters_wait_while_the_queue_is_full(fleet: ObjectFleet, kind: str) -> None:
    getter, first, second = (opened(fleet, session, kind, 1) for session in "abc")
    first.put(b"1")
    assert getter.full()
    with pytest.raises(Failed, match="Full"):
        first.put(b"now")
    assert first.put(b"2", timeout_s=None) == WAITS
    assert second.put(b"3", timeout_s=5) == WAITS
    assert [got(getter.get()) for _ in range(3)] == [b"1", b"2", b"3"]
    assert isinstance(first.thread.woken(), int)
    assert isinstance(second.thread.woken(), int)
    assert getter.qsize() == 0


@KINDS
def test_a_wait_ends_with_its_time(fleet: ObjectFleet, kind: str) -> None:
    getter, putter, joiner = (opened(fleet, session, kind, 1) for session in "abc")
    getter.get(timeout_s=1)
    fleet.advance(1)
    with pytest.raises(Failed, match="Empty"):
        getter.thread.woken()
    putter.put(b"1")
    putter.put(b"large", timeout_s=1)
    joiner.join(timeout_s=1)
    held = held_bytes(fleet)
    fleet.advance(1)
    with pytest.raises(Failed, match="Full"):
        putter.thread.woken()
    assert joiner.thread.woken() is False
    assert held_bytes(fleet) == held - item_bytes(b"large")
    assert got(getter.get()) == b"1"
    assert getter.qsize() == 0


def test_sizes_must_agree_where_they_are_given(fleet: ObjectFleet) -> None:
    opened(fleet, "a", "Queue", 3)
    opened(fleet, "b", "Queue", 3)
    opened(fleet, "c", "Queue", 0)
    with pytest.raises(Failed, match="another maxsize: 3"):
        opened(fleet, "d", "Queue", 2)
    fleet.thread("a").open("Queue", "endless", -1)
    with pytest.raises(Failed, match="another maxsize: 0"):
        fleet.thread("a").open("Queue", "endless", 1)


def test_an_item_of_a_queue_is_gone_with_its_taker(fleet: ObjectFleet) -> None:
    taker, other = opened(fleet, "a"), opened(fleet, "b")
    other.put(b"1")
    taker.get()
    fleet.lose("a")
    with pytest.raises(Failed, match="Empty"):
        other.get()


def test_items_of_a_lost_taker_come_back_to_their_places(fleet: ObjectFleet) -> None:
    taker, sibling, other = (opened(fleet, session, "JoinableQueue", 2) for session in "aab")
    other.put(b"1")
    other.put(b"2")
    assert got(sibling.get()) == b"1"
    assert got(taker.get()) == b"2"
    other.put(b"3")
    other.put(b"4")
    fleet.lose("a")
    assert other.qsize() == 4
    with pytest.raises(Failed, match="Full"):
        other.put(b"5")
    assert [got(other.get()) for _ in range(4)] == [b"1", b"2", b"3", b"4"]
    with pytest.raises(Failed, match="too many times"):
        taker.task_done()


def test_an_item_that_comes_back_goes_to_the_first_who_waits(fleet: ObjectFleet) -> None:
    taker, other, third = (opened(fleet, session, "JoinableQueue") for session in "abc")
    taker.put(b"1")
    taker.put(b"2")
    taker.get()
    taker.get()
    other.get(timeout_s=None)
    third.get(timeout_s=None)
    fleet.lose("a", keep_answers=False)
    assert (got(other.thread.woken()), got(third.thread.woken())) == (b"1", b"2")
    assert {row.owner.session for row in fleet.rows(TakenRow)} == {"b", "c"}


def test_a_thread_says_of_its_oldest_item_that_it_is_done(fleet: ObjectFleet) -> None:
    one, two, joiner = (opened(fleet, session, "JoinableQueue") for session in "aab")
    for value in (b"1", b"2", b"3"):
        one.put(value)
    for handle in (one, two, one):
        handle.get()
    assert joiner.join(timeout_s=None) == WAITS
    one.task_done()
    assert sorted(row.value for row in fleet.rows(TakenRow)) == [b"2", b"3"]
    two.task_done()
    with pytest.raises(Failed, match="too many times"):
        two.task_done()
    assert joiner.thread.woken() == WAITS
    one.task_done()
    assert joiner.thread.woken() is True
    assert joiner.join(timeout_s=None) is True
    assert held_bytes(fleet) == 0


def test_those_who_join_go_on_waiting_for_what_came_back(fleet: ObjectFleet) -> None:
    taker, joiner = opened(fleet, "a", "JoinableQueue"), opened(fleet, "b", "JoinableQueue")
    other = opened(fleet, "c", "JoinableQueue")
    other.put(b"1")
    taker.get()
    joiner.join(timeout_s=None)
    assert opened(fleet, "b", "JoinableQueue").join() is False
    fleet.lose("a")
    assert joiner.thread.woken() == WAITS
    other.get()
    other.task_done()
    assert joiner.thread.woken() is True


def test_anybody_says_of_an_item_of_a_queue_that_it_is_done(fleet: ObjectFleet) -> None:
    one, two, joiner = (opened(fleet, session) for session in "abc")
    one.put(b"1")
    one.put(b"2")
    one.get()
    joiner.join(timeout_s=None)
    two.task_done()
    assert joiner.thread.woken() == WAITS
    two.task_done()
    assert joiner.thread.woken() is True
    with pytest.raises(Failed, match="too many times"):
        two.task_done()


@KINDS
def test_a_get_that_was_given_up_too_late_puts_its_item_back(fleet: ObjectFleet, kind: str) -> None:
    getter, other = opened(fleet, "a", kind), opened(fleet, "b", kind)
    for value in (b"1", b"2"):
        other.put(value)
    getter.get()
    getter.thread.withdraw()
    assert [got(other.get()) for _ in range(2)] == [b"1", b"2"]
    waiting = opened(fleet, "c", kind)
    getter.get(timeout_s=None)
    waiting.get(timeout_s=None)
    other.put(b"3")
    getter.thread.withdraw()
    assert got(waiting.thread.woken()) == b"3"
    fleet.lose("a")
    fleet.lose("c")
    assert other.qsize() == (1 if kind == "JoinableQueue" else 0)


def test_an_item_that_came_back_already_is_not_put_back_again(fleet: ObjectFleet) -> None:
    getter, other = opened(fleet, "a", "JoinableQueue"), opened(fleet, "b", "JoinableQueue")
    other.put(b"1")
    getter.get()
    fleet.lose("a")
    getter.thread.withdraw()
    assert other.qsize() == 1
    getter.get()
    fleet.lose("a")
    other.get()
    getter.thread.withdraw()
    assert other.qsize() == 0


@KINDS
def test_a_put_that_was_given_up_is_taken_back_if_nobody_has_its_item(fleet: ObjectFleet, kind: str) -> None:
    putter, other, joiner = (opened(fleet, session, kind, 1) for session in "abc")
    putter.put(b"1")
    joiner.join(timeout_s=None)
    putter.thread.withdraw()
    assert (other.qsize(), joiner.thread.woken()) == (0, True)
    putter.put(b"2")
    other.put(b"3", timeout_s=None)
    putter.thread.withdraw()
    assert got(joiner.get()) == b"3"
    putter.put(b"4")
    assert got(joiner.get()) == b"4"
    putter.thread.withdraw()
    assert other.qsize() == 0


@KINDS
def test_who_gives_up_or_is_lost_leaves_the_line(fleet: ObjectFleet, kind: str) -> None:
    putter, lost, other, getter = (opened(fleet, session, kind, 1) for session in "abcd")
    other.put(b"1")
    held = held_bytes(fleet)
    putter.put(b"given up", timeout_s=None)
    lost.put(b"lost", timeout_s=None)
    other.put(b"2", timeout_s=None)
    assert held_bytes(fleet) == held + sum(map(item_bytes, (b"given up", b"lost", b"2")))
    putter.thread.withdraw()
    fleet.lose("b")
    assert [got(getter.get()) for _ in range(2)] == [b"1", b"2"]
    assert other.thread.woken()
    getter.get(timeout_s=None)
    getter.thread.withdraw()
    assert fleet.rows(WaitRow) == []


@KINDS
def test_what_waits_to_be_put_is_bounded_too(fleet: ObjectFleet, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    putter, other = opened(fleet, "a", kind, 1), opened(fleet, "b", kind, 1)
    putter.put(b"1")
    monkeypatch.setattr(desk, "MAX_BYTES_OF_SESSION", held_bytes(fleet) + item_bytes(b"12345678") + 10)
    putter.put(b"12345678", timeout_s=None)
    late = opened(fleet, "a", kind)
    with pytest.raises(Failed, match="a program may add at most"):
        late.put(b"123", timeout_s=None)
    for _ in range(2):
        other.get()
    assert isinstance(putter.thread.woken(), int)
    if kind == "Queue":
        assert held_bytes(fleet) == 0
        for _ in range(3):  # what others took no longer counts
            putter.put(b"12345678")
            other.get()


@KINDS
def test_a_repeated_call_takes_and_puts_nothing_again(fleet: ObjectFleet, kind: str) -> None:
    putter, getter = opened(fleet, "a", kind), opened(fleet, "b", kind)
    putter.put(b"1")
    putter.thread.again()
    putter.put(b"2")
    assert got(getter.get()) == got(getter.thread.again()) == b"1"
    assert getter.qsize() == 1


@KINDS
def test_the_last_of_a_forgotten_session_stays(fleet: ObjectFleet, kind: str) -> None:
    putter, getter = opened(fleet, "a", kind), opened(fleet, "b", kind)
    putter.put(b"1")
    fleet.lose("a", keep_answers=False)
    assert got(getter.get()) == b"1"
    getter.task_done()
    assert {row.session for row in fleet.rows(SessionRow)} == {"b"}
    assert held_bytes(fleet) == 0


@KINDS
def test_a_queue_survives_a_restart(tmp_path: Path, kind: str) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    putter, taker, waiter, joiner = (opened(before, session, kind, 2) for session in "abcd")
    putter.put(b"1")
    putter.put(b"2")
    assert got(taker.get()) == b"1"
    putter.put(b"3")
    waiter.put(b"4", timeout_s=None)
    joiner.join(timeout_s=None)
    commit(before.store, 0.0)
    before.store.close()
    after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    for handle in (putter, taker, waiter, joiner):
        handle.thread.fleet = after
    assert got(taker.thread.again()) == b"1"
    assert waiter.thread.again() == WAITS
    taker.task_done()
    assert [got(taker.get()) for _ in range(3)] == [b"2", b"3", b"4"]
    for _ in range(3):
        assert joiner.thread.woken() == WAITS
        taker.task_done()
    assert joiner.thread.woken() is True
    assert after.rows(PartRow) == after.rows(TakenRow) == after.rows(WaitRow) == []
    assert [row.size for row in after.rows(QueueRow)] in ([0], [])
    after.store.close()
