"""What holds for calls of all kinds of objects: numbers, slots, sessions, bounds; shown with locks and numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from crawlfleet.coordinator.core.objects import calls, desk
from crawlfleet.coordinator.core.objects.rows import CallerRow, SessionRow, UseRow, WaitRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.shared.objects import ObjectCall
from tests.commits import commit
from tests.unit.object_fleet import WAITS, Failed, ObjectFleet, outcome


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


def test_a_call_that_is_sent_again_gets_its_first_answer_and_does_nothing(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    number = thread.open("Value", "n")
    assert number.add(2) == 2
    assert thread.again() == 2
    assert thread.again() == 2
    assert number.get() == 2


def test_a_repeated_call_is_known_after_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    adder, holder, waiter = before.thread("s"), before.thread("t"), before.thread("u")
    adder.open("Value", "n").add(2)
    assert holder.open("Lock", "door").acquire() == 1
    assert waiter.open("Lock", "door").acquire(timeout_s=5) == WAITS
    commit(before.store, 0.0)
    before.store.close()
    after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    for thread in (adder, holder, waiter):
        thread.fleet = after
    assert adder.again() == 2
    assert holder.again() == 1
    assert waiter.again() == WAITS
    assert holder.send("Lock", "door", "release", ()) is None
    assert waiter.woken() == 2
    after.store.close()


def test_the_deadlines_of_waits_are_known_after_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    before.thread("s").open("Lock", "door").acquire()
    waiter = before.thread("t")
    waiter.open("Lock", "door").acquire(timeout_s=5)
    commit(before.store, 0.0)
    before.store.close()
    waiter.fleet = after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    after.advance(4.9)
    assert waiter.woken() == WAITS
    after.advance(0.2)
    assert waiter.woken() is False
    after.store.close()


def test_an_older_call_than_the_last_is_refused(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    number = thread.open("Value", "n")
    number.add(1)
    old = thread.last
    number.add(1)
    assert old is not None
    with pytest.raises(Failed, match="SessionForgotten"):
        outcome(fleet.send(old))
    assert number.get() == 2


def test_a_session_that_was_silent_for_too_long_finds_its_answers(fleet: ObjectFleet) -> None:
    thread, other = fleet.thread("s"), fleet.thread("t")
    assert thread.open("Value", "n").add(2) == 2
    fleet.lose("s")
    assert thread.again() == 2
    assert other.open("Value", "n").get() == 2


def test_a_session_that_is_known_to_be_dead_leaves_nothing(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    thread.open("Lock", "door").acquire()
    fleet.lose("s", keep_answers=False)
    assert fleet.rows(CallerRow) == fleet.rows(SessionRow) == fleet.rows(UseRow) == []
    with pytest.raises(Failed, match="SessionForgotten"):
        thread.again()


def test_the_session_that_was_lost_longest_ago_is_forgotten_first(
    fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MAX_LOST", 2)
    threads = [fleet.thread(session) for session in "dcba"]
    for thread in threads:
        thread.open("Value", "n").add(1)
        fleet.advance(1)
        fleet.lose(thread.session)
    assert {row.session for row in fleet.rows(SessionRow)} == {"a", "b"}
    with pytest.raises(Failed, match="SessionForgotten"):
        threads[0].again()


def test_a_session_that_never_called_is_lost_without_a_trace(fleet: ObjectFleet) -> None:
    fleet.lose("s")
    assert fleet.changes == []


def test_the_waiting_calls_of_a_lost_session_leave_their_lines(fleet: ObjectFleet) -> None:
    holder, lost, waiter = fleet.thread("h"), fleet.thread("l"), fleet.thread("w")
    lock = holder.open("Lock", "door")
    lock.acquire()
    assert lost.open("Lock", "door").acquire(timeout_s=None) == WAITS
    assert waiter.open("Lock", "door").acquire(timeout_s=None) == WAITS
    fleet.lose("l")
    with pytest.raises(Failed, match="PlaceLost"):
        lost.woken()
    lock.release()
    assert waiter.woken() == 2


def test_the_end_of_a_session_is_heard_of_though_it_opened_nothing_itself(fleet: ObjectFleet) -> None:
    holder, child = fleet.thread("h"), fleet.thread("c")
    lock = holder.open("Lock", "door")
    for fence in (1, 3):  # a forked process, which comes back after it was lost
        assert child.send("Lock", "door", "acquire", ()) == fence
        fleet.lose("c")
        assert lock.acquire() == fence + 1
        lock.release()


def test_a_call_that_is_given_up_leaves_its_line(fleet: ObjectFleet) -> None:
    holder, waiter = fleet.thread("h"), fleet.thread("w")
    lock = holder.open("Lock", "door")
    lock.acquire()
    waiter.open("Lock", "door").acquire(timeout_s=None)
    waiter.withdraw()
    waiter.withdraw()
    assert fleet.rows(WaitRow) == []
    lock.release()
    assert lock.acquire() == 2


def test_a_call_that_waits_is_given_up_by_the_next_one_of_its_slot(fleet: ObjectFleet) -> None:
    holder, waiter, third = fleet.thread("h"), fleet.thread("w"), fleet.thread("t")
    lock = holder.open("Lock", "door")
    lock.acquire()
    door = waiter.open("Lock", "door")
    door.acquire(timeout_s=None)
    assert third.open("Lock", "door").acquire(timeout_s=None) == WAITS
    with pytest.raises(Failed, match="not held"):
        door.release()
    lock.release()
    assert (waiter.woken(), third.woken()) == (WAITS, 2)


def test_an_answer_that_comes_too_late_is_taken_back(fleet: ObjectFleet) -> None:
    holder, waiter, third = fleet.thread("h"), fleet.thread("w"), fleet.thread("t")
    lock = holder.open("Lock", "door")
    lock.acquire()
    waiter.open("Lock", "door").acquire(timeout_s=None)
    third.open("Lock", "door").acquire(timeout_s=None)
    lock.release()
    waiter.withdraw()
    assert third.woken() == 3


def test_a_call_that_comes_after_it_was_given_up_does_nothing(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    number = thread.open("Value", "n")
    thread.calls += 1
    late = ObjectCall(
        session="s", thread=1, slot=0, number=thread.calls, kind="Value", name="n", method="add", args=(1,)
    )
    thread.last = late
    thread.withdraw()
    with pytest.raises(Failed, match="Withdrawn"):
        outcome(fleet.send(late))
    assert number.get() == 0


def test_what_cannot_be_taken_back_is_left(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    thread.open("Value", "n").add(1)
    thread.withdraw()
    assert thread.open("Value", "n").get() == 1


@pytest.mark.parametrize(("kind", "method"), [("Queue", "get"), ("Sock", "get"), ("Queue", 7), ("Pipe", "recv")])
def test_giving_up_a_call_in_other_words_takes_back_what_that_call_got_or_nothing(
    fleet: ObjectFleet, kind: str, method: object
) -> None:
    thread = fleet.thread("s")
    queue = thread.open("Queue", "q", 0)
    thread.open("Pipe", "q", True)
    thread.withdraw(as_kind=kind, as_method=method)  # the call that opened it
    queue.put(b"x")
    thread.withdraw(as_kind=kind, as_method=method)
    assert queue.qsize() == (0 if kind == "Queue" else 1)


def test_giving_up_a_call_that_got_nothing_in_its_time_takes_nothing_back(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    pipe = thread.open("Pipe", "p", True)
    generation, end = pipe.opened
    assert pipe.recv(generation, end, timeout_s=1.0) == WAITS
    fleet.advance(2.0)
    assert thread.woken() is False
    thread.withdraw()
    assert pipe.ready(generation, end) is False


@pytest.mark.parametrize(
    ("kind", "name", "method", "args", "error"),
    [
        ("Sock", "n", "open", (), "TypeError"),
        ("Value", "", "open", (), "ValueError"),
        ("Value", "n" * 1_001, "open", (), "ValueError"),
        ("Value", "n", "open", (1,), "TypeError"),
        ("Value", "n", "subtract", (1,), "AttributeError"),
        ("Value", "m", "get", (), "ObjectGone"),
        ("Value", "n", "add", ("1",), "TypeError"),
        ("Value", "n", "add", (True,), "TypeError"),
        ("Value", "n", "add", (1, 2), "TypeError"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_by_name(
    fleet: ObjectFleet, kind: str, name: str, method: str, args: tuple[object, ...], error: str
) -> None:
    thread = fleet.thread("s")
    thread.open("Value", "n")
    with pytest.raises(Failed) as failed:
        thread.send(kind, name, method, args)
    assert failed.value.error == error
    assert failed.value.text


def test_a_call_without_a_number_can_only_read(fleet: ObjectFleet) -> None:
    fleet.thread("s").open("Value", "n").add(1)
    call = ObjectCall(session="s", thread=1, slot=0, number=0, kind="Value", name="n", method="get")
    assert outcome(fleet.send(call)) == 1
    with pytest.raises(Failed, match="AttributeError"):
        outcome(fleet.send(replace(call, method="add", args=(1,))))


def test_objects_slots_and_waits_are_bounded(fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MAX_OBJECTS", 2), ("MAX_OBJECTS_OF_SESSION", 1), ("MAX_SLOTS", 3)):
        monkeypatch.setattr(calls, name, most)
    monkeypatch.setattr(desk, "MAX_WAITS", 1)
    holder, waiter, third = fleet.thread("s"), fleet.thread("t"), fleet.thread("t")
    holder.open("Lock", "a").acquire()
    with pytest.raises(Failed, match="created 1 objects"):
        holder.open("Lock", "b")
    waiter.open("Lock", "b").acquire()
    with pytest.raises(Failed, match="2 objects already"):
        fleet.thread("u").open("Lock", "c")
    assert waiter.open("Lock", "a").acquire(timeout_s=None) == WAITS
    with pytest.raises(Failed, match="1 calls wait already"):
        third.open("Lock", "a").acquire(timeout_s=None)
    third.slot = 3
    with pytest.raises(Failed, match="at most 3 calls"):
        third.open("Lock", "a")


@pytest.mark.parametrize("timeout_s", [float("nan"), float("inf"), -1.0])
def test_a_call_that_waits_for_no_time_that_could_come_is_refused(fleet: ObjectFleet, timeout_s: float) -> None:
    holder, other = (fleet.thread(session).open("Lock", "door") for session in "st")
    holder.acquire()
    with pytest.raises(Failed, match="waits for a number of seconds"):
        other.acquire(timeout_s=timeout_s)
    assert fleet.rows(WaitRow) == []
