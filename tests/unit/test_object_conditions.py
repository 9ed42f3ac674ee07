"""Conditions: who waits, who is notified, and that the lock is held before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.core.objects import conditions
from crawlfleet.coordinator.core.objects.conditions import ConditionRow
from crawlfleet.coordinator.core.objects.rows import WaitRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from tests.commits import commit
from tests.unit.object_fleet import WAITS, Failed, ObjectFleet, ProgramThread

LOCK_KINDS = pytest.mark.parametrize("kind", ["Lock", "RLock", "ConditionLock"])


class Party:
    """A thread with a condition and its lock."""

    def __init__(self, fleet: ObjectFleet, session: str, kind: str = "ConditionLock") -> None:
        self.thread: ProgramThread = fleet.thread(session)
        self.lock = self.thread.open(kind, "c")
        self.condition = self.thread.open("Condition", "c", kind, "c")

    def wait(self, timeout_s: float | None = None, depth: int = 1) -> Any:
        """Hold the lock, and wait."""
        for _ in range(depth):
            assert self.lock.acquire()
        return self.condition.wait(timeout_s=timeout_s)

    def notify(self, n: int | None = 1) -> None:
        """Hold the lock, notify, and free it."""
        assert self.lock.acquire()
        if n is None:
            self.condition.notify_all()
        else:
            self.condition.notify(n)
        self.lock.release()

    @property
    def woken(self) -> Any:
        return self.thread.woken()


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


def parties(fleet: ObjectFleet, sessions: str, kind: str = "ConditionLock") -> list[Party]:
    return [Party(fleet, session, kind) for session in sessions]


@LOCK_KINDS
def test_a_wait_frees_the_lock_and_holds_it_again_when_notified(fleet: ObjectFleet, kind: str) -> None:
    waiter, notifier = parties(fleet, "wn", kind)
    assert waiter.wait() == WAITS
    assert notifier.lock.acquire() == 2
    notifier.condition.notify(1)
    assert waiter.woken == WAITS
    notifier.lock.release()
    assert waiter.woken is True
    assert notifier.lock.acquire() is False
    waiter.lock.release()
    assert notifier.lock.acquire() == 4


def test_a_lock_that_was_acquired_again_is_freed_as_a_whole_and_held_as_before(fleet: ObjectFleet) -> None:
    waiter, notifier = parties(fleet, "wn")
    waiter.wait(depth=3)
    notifier.notify()
    assert waiter.woken is True
    for _ in range(3):
        assert notifier.lock.acquire() is False
        waiter.lock.release()
    assert notifier.lock.acquire()


@pytest.mark.parametrize(("n", "woken"), [(-1, 0), (0, 0), (1, 1), (2, 2), (5, 3), (2**63, 3), (None, 3)])
def test_so_many_are_notified_in_the_order_of_arrival(fleet: ObjectFleet, n: int | None, woken: int) -> None:
    *waiters, notifier = parties(fleet, "abcn")
    for each in waiters:
        each.wait()
    notifier.notify(n)
    for index, each in enumerate(waiters):
        assert each.woken == (True if index < woken else WAITS)
        if index < woken:
            each.lock.release()


def test_those_who_are_notified_stand_behind_those_who_waited_for_the_lock(fleet: ObjectFleet) -> None:
    waiter, notifier, third = parties(fleet, "wnt")
    waiter.wait()
    notifier.lock.acquire()
    third.lock.acquire(timeout_s=None)
    notifier.condition.notify(1)
    notifier.lock.release()
    assert (third.woken, waiter.woken) == (3, WAITS)
    third.lock.release()
    assert waiter.woken is True


def test_the_lock_goes_to_the_first_in_its_line_when_its_owner_waits(fleet: ObjectFleet) -> None:
    waiter, other = parties(fleet, "wo")
    waiter.lock.acquire()
    other.lock.acquire(timeout_s=None)
    assert waiter.condition.wait(timeout_s=None) == WAITS
    assert other.woken == 2


@LOCK_KINDS
@pytest.mark.parametrize("method", ["wait", "notify", "notify_all"])
def test_whoever_does_not_hold_the_lock_is_refused(fleet: ObjectFleet, kind: str, method: str) -> None:
    one, other = parties(fleet, "so", kind)
    arguments = (1,) if method == "notify" else ()
    for _ in range(2):
        with pytest.raises(Failed, match=r"RuntimeError: cannot .* on un-acquired lock"):
            one.condition.call(method, *arguments, timeout_s=None)
        other.lock.acquire()
    assert fleet.rows(WaitRow) == []


def test_a_wait_without_time_returns_false_and_lets_others_in_before(fleet: ObjectFleet) -> None:
    waiter, other = parties(fleet, "wo")
    assert waiter.wait(0) is False
    other.lock.acquire(timeout_s=None)
    assert waiter.condition.wait(timeout_s=0) == WAITS
    assert other.woken == 2
    fleet.advance(1)
    assert waiter.woken == WAITS
    other.condition.notify(1)  # its time was over before
    other.lock.release()
    assert waiter.woken is False
    waiter.lock.release()


def test_a_wait_whose_time_is_over_holds_the_lock_again_before_it_returns(fleet: ObjectFleet) -> None:
    waiter, holder = parties(fleet, "wh")
    assert waiter.wait(2, depth=2) == WAITS
    holder.lock.acquire()
    fleet.advance(2)
    holder.condition.notify(1)
    assert waiter.woken == WAITS
    fleet.advance(5)
    holder.lock.release()
    assert waiter.woken is False
    waiter.lock.release()
    assert holder.lock.acquire() is False
    waiter.lock.release()
    assert waiter.wait(2) == WAITS
    fleet.advance(2)
    assert waiter.woken is False
    waiter.lock.release()


def test_a_notified_wait_has_no_deadline_any_more(fleet: ObjectFleet) -> None:
    waiter, notifier = parties(fleet, "wn")
    waiter.wait(2)
    notifier.lock.acquire()
    notifier.condition.notify(1)
    fleet.advance(5)
    notifier.lock.release()
    assert waiter.woken is True


def test_a_repeated_wait_waits_once(fleet: ObjectFleet) -> None:
    waiter, notifier = parties(fleet, "wn")
    waiter.wait()
    assert waiter.thread.again() == WAITS
    notifier.notify()
    assert (waiter.woken, waiter.thread.again()) == (True, True)
    assert notifier.lock.acquire() is False


# What becomes of a notification


@pytest.mark.parametrize("ends", ["lost", "withdrawn"])
def test_a_notification_passes_on_if_its_receiver_is_gone_before_it_has_the_lock(fleet: ObjectFleet, ends: str) -> None:
    first, second, notifier, late = parties(fleet, "fsnl")
    first.wait()
    second.wait()
    notifier.lock.acquire()
    notifier.condition.notify(1)
    if ends == "lost":
        fleet.lose("f")
    else:
        first.thread.withdraw()
    notifier.lock.release()
    assert second.woken is True
    second.lock.release()
    late.wait()
    assert late.woken == WAITS


@pytest.mark.parametrize("ends", ["lost", "withdrawn"])
def test_nobody_is_notified_who_came_later(fleet: ObjectFleet, ends: str) -> None:
    first, notifier, late = parties(fleet, "fnl")
    first.wait()
    late.lock.acquire()
    notifier.lock.acquire(timeout_s=None)
    late.condition.notify(1)
    late.condition.wait(timeout_s=None)
    assert notifier.woken
    if ends == "lost":
        fleet.lose("f")
    else:
        first.thread.withdraw()
    notifier.lock.release()
    assert late.woken == WAITS


@pytest.mark.parametrize("ends", ["lost", "withdrawn"])
def test_nobody_is_notified_for_one_who_was_not(fleet: ObjectFleet, ends: str) -> None:
    first, second, holder = parties(fleet, "fsh")
    first.wait(1)
    second.wait()
    holder.lock.acquire()
    fleet.advance(1)  # the first waits for the lock only
    if ends == "lost":
        fleet.lose("f")
    else:
        first.thread.withdraw()
    holder.lock.release()
    assert (first.thread.fleet.rows(WaitRow)[0].owner.session, second.woken) == ("s", WAITS)


def test_the_lock_of_a_lost_notifier_goes_to_the_one_it_notified(fleet: ObjectFleet) -> None:
    waiter, notifier = parties(fleet, "wn")
    waiter.wait()
    notifier.lock.acquire()
    notifier.condition.notify(1)
    fleet.lose("n")
    assert waiter.woken is True


def test_one_session_that_holds_the_lock_and_a_notified_wait_is_lost_with_both(fleet: ObjectFleet) -> None:
    mine, also_mine, other = parties(fleet, "mmo")
    mine.wait()
    other.wait()
    also_mine.lock.acquire()
    also_mine.condition.notify(1)
    fleet.lose("m")
    assert other.woken is True
    other.lock.release()


def test_a_notification_that_came_too_late_passes_on_and_the_lock_is_kept(fleet: ObjectFleet) -> None:
    first, second, notifier = parties(fleet, "fsn")
    first.wait()
    second.wait()
    notifier.notify()
    first.thread.withdraw()
    assert first.condition.resume(timeout_s=None) is False  # it holds the lock
    first.lock.release()
    assert second.woken is True
    second.thread.withdraw()
    second.lock.release()
    assert fleet.rows(WaitRow) == []


def test_an_end_of_time_that_came_too_late_notifies_nobody(fleet: ObjectFleet) -> None:
    first, second = parties(fleet, "fs")
    second.wait()
    first.wait(1)
    fleet.advance(1)
    first.thread.withdraw()
    first.lock.release()
    assert second.woken == WAITS


# A wait that is given up


def test_who_gives_up_a_wait_holds_the_lock_again_as_often_as_before(fleet: ObjectFleet) -> None:
    waiter, other = parties(fleet, "wo")
    waiter.wait(depth=2)
    waiter.thread.withdraw()
    assert waiter.condition.resume(timeout_s=None) is True
    assert waiter.condition.resume(timeout_s=None) is False
    waiter.lock.release()
    assert other.lock.acquire() is False
    waiter.lock.release()
    assert other.lock.acquire()
    assert fleet.rows(ConditionRow)[0].interrupted == ()


def test_who_gives_up_a_wait_stands_in_the_line_of_the_lock(fleet: ObjectFleet) -> None:
    waiter, other = parties(fleet, "wo")
    waiter.wait()
    other.lock.acquire()
    waiter.thread.withdraw()
    assert waiter.condition.resume(timeout_s=None) == WAITS
    waiter.thread.withdraw()
    assert waiter.condition.resume(timeout_s=None) == WAITS
    other.lock.release()
    assert waiter.woken is True
    waiter.lock.release()


def test_who_holds_the_lock_already_does_not_wait_for_it(fleet: ObjectFleet) -> None:
    (waiter,) = parties(fleet, "w")
    waiter.wait()
    waiter.thread.withdraw()
    waiter.lock.acquire()
    assert waiter.condition.resume(timeout_s=None) is True
    waiter.lock.release()


def test_a_lost_session_is_not_remembered_as_interrupted(fleet: ObjectFleet) -> None:
    waiter, _other = parties(fleet, "wo")
    waiter.wait()
    waiter.thread.withdraw()
    fleet.lose("o")
    assert len(fleet.rows(ConditionRow)[0].interrupted) == 1
    fleet.lose("w")
    assert fleet.rows(ConditionRow)[0].interrupted == ()
    assert waiter.condition.resume(timeout_s=None) is False


def test_those_who_were_interrupted_last_are_remembered(fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "MAX_INTERRUPTED", 1)
    first, second = parties(fleet, "fs")
    for each in (first, second):
        each.wait()
        each.thread.withdraw()
    assert [first.condition.resume(), second.condition.resume()] == [False, True]


# Opening


def test_all_who_open_a_condition_name_the_same_lock(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    for kind, name in (("Lock", "a"), ("Lock", "b"), ("RLock", "a"), ("ConditionLock", "own")):
        thread.open(kind, name)
    thread.open("Condition", "shared", "RLock", "a")
    thread.open("Condition", "own", "ConditionLock", "own")
    for kind, name in (("Lock", "a"), ("RLock", "b"), ("ConditionLock", "shared")):
        with pytest.raises(Failed, match="ValueError: the condition 'shared' exists already, with the RLock 'a'"):
            thread.open("Condition", "shared", kind, name)
    with pytest.raises(Failed, match="the condition 'own' exists already, with a lock of its own"):
        thread.open("Condition", "own", "Lock", "a")
    for kind, name in (("Lock", "c"), ("Event", "a")):
        with pytest.raises(Failed, match="ValueError: the lock of a condition is a Lock or an RLock that exists"):
            thread.open("Condition", "new", kind, name)


def test_two_conditions_share_a_lock(fleet: ObjectFleet) -> None:
    thread, notifier = fleet.thread("s"), fleet.thread("n")
    lock = thread.open("Lock", "door")
    conditions = [thread.open("Condition", name, "Lock", "door") for name in ("full", "empty")]
    lock.acquire()
    assert conditions[0].wait(timeout_s=None) == WAITS
    mine = notifier.open("Lock", "door")
    mine.acquire()
    notifier.open("Condition", "empty", "Lock", "door").notify_all()
    mine.release()
    assert thread.woken() == WAITS
    mine.acquire()
    notifier.open("Condition", "full", "Lock", "door").notify_all()
    mine.release()
    assert thread.woken() is True


def test_lines_and_depths_survive_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    notified, waiter, given_up, notifier = parties(before, "wxgn")
    notified.wait(depth=2)
    waiter.wait()
    given_up.wait()
    given_up.thread.withdraw()
    notifier.lock.acquire()
    notifier.condition.notify(1)
    commit(before.store, 0.0)
    before.store.close()
    after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    for each in (notified, waiter, given_up, notifier):
        each.thread.fleet = after
    notifier.lock.release()
    assert (notified.woken, waiter.woken) == (True, WAITS)
    assert given_up.condition.resume(timeout_s=None) == WAITS
    notified.condition.notify_all()
    for _ in range(2):
        assert given_up.woken == WAITS
        notified.lock.release()
    assert given_up.woken is True
    given_up.lock.release()
    assert waiter.woken is True
    after.store.close()
