"""Locks and locks that are acquired again: who holds them, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.core.objects.rows import WaitRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from tests.commits import commit
from tests.unit.object_fleet import WAITS, Failed, ObjectFleet


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_threads_hold_a_lock_in_the_order_of_arrival_under_growing_numbers(fleet: ObjectFleet, kind: str) -> None:
    threads = [fleet.thread(session) for session in "aabc"]
    locks = [thread.open(kind, "door") for thread in threads]
    assert locks[0].acquire(timeout_s=None) == 1
    assert [lock.acquire(timeout_s=None) for lock in locks[1:]] == [WAITS] * 3
    for number, lock in enumerate(locks[:-1]):
        lock.release()
        assert threads[number + 1].woken() == number + 2
    locks[-1].release()
    assert locks[1].acquire() == 5


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_lock_that_is_held_is_not_acquired_in_time(fleet: ObjectFleet, kind: str) -> None:
    holder, waiter = fleet.thread("h"), fleet.thread("w")
    holder.open(kind, "door").acquire()
    lock = waiter.open(kind, "door")
    assert lock.acquire(timeout_s=0) is False
    assert lock.acquire(timeout_s=2) == WAITS
    fleet.advance(2)
    assert waiter.woken() is False
    assert fleet.rows(WaitRow) == []


@pytest.mark.parametrize(("kind", "error"), [("Lock", "ValueError"), ("RLock", "AssertionError")])
def test_only_its_owner_releases_a_lock(fleet: ObjectFleet, kind: str, error: str) -> None:
    owner, other = fleet.thread("s"), fleet.thread("s")
    mine, theirs = owner.open(kind, "door"), other.open(kind, "door")
    with pytest.raises(Failed, match=error):
        mine.release()
    mine.acquire()
    with pytest.raises(Failed, match=error):
        theirs.release()
    assert theirs.acquire() is False
    mine.release()
    with pytest.raises(Failed, match=error):
        mine.release()


def test_a_lock_is_not_acquired_again_by_its_owner(fleet: ObjectFleet) -> None:
    lock = fleet.thread("s").open("Lock", "door")
    assert (lock.acquire(), lock.acquire()) == (1, False)


def test_an_rlock_is_released_as_often_as_its_owner_acquired_it_under_one_number(fleet: ObjectFleet) -> None:
    owner, waiter = fleet.thread("a"), fleet.thread("b")
    lock = owner.open("RLock", "door")
    assert [lock.acquire(), lock.acquire(), owner.again(), lock.acquire()] == [1, 1, 1, 1]
    waiter.open("RLock", "door").acquire(timeout_s=None)
    for _ in range(2):
        lock.release()
        assert waiter.woken() == WAITS
    lock.release()
    assert waiter.woken() == 2


def test_an_acquire_that_is_given_up_too_late_is_taken_back_once(fleet: ObjectFleet) -> None:
    owner, other = fleet.thread("a"), fleet.thread("b")
    lock = owner.open("RLock", "door")
    lock.acquire()
    lock.acquire()
    owner.withdraw()
    assert other.open("RLock", "door").acquire() is False
    lock.release()
    assert other.open("RLock", "door").acquire() == 2


def test_what_a_thread_did_not_get_is_not_taken_back(fleet: ObjectFleet) -> None:
    owner, other = fleet.thread("a"), fleet.thread("b")
    owner.open("RLock", "door").acquire()
    assert other.open("RLock", "door").acquire() is False
    other.withdraw()
    assert other.open("RLock", "door").acquire() is False


def test_what_passed_on_when_its_session_was_lost_is_not_taken_back(fleet: ObjectFleet) -> None:
    owner, other = fleet.thread("a"), fleet.thread("b")
    owner.open("RLock", "door").acquire()
    assert other.open("RLock", "door").acquire(timeout_s=None) == WAITS
    fleet.lose("a")
    assert other.woken() == 2
    owner.withdraw()
    assert owner.open("RLock", "door").acquire() is False


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_lock_of_a_lost_session_passes_on_as_a_whole(fleet: ObjectFleet, kind: str) -> None:
    lost, waiter = fleet.thread("l"), fleet.thread("w")
    lock = lost.open(kind, "door")
    lock.acquire()
    lock.acquire()
    lost.open(kind, "other")
    assert waiter.open(kind, "door").acquire(timeout_s=None) == WAITS
    fleet.lose("l")
    assert waiter.woken() == 2
    with pytest.raises(Failed):
        lock.release()
    waiter.open(kind, "door").release()
    assert lock.acquire() == 3


def test_names_are_unique_among_a_kind(fleet: ObjectFleet) -> None:
    thread = fleet.thread("s")
    assert [thread.open(kind, "door").acquire() for kind in ("Lock", "RLock")] == [1, 1]


def test_an_rlock_and_its_line_survive_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    owner, waiter = before.thread("a"), before.thread("b")
    lock = owner.open("RLock", "door")
    lock.acquire()
    lock.acquire()
    waiter.open("RLock", "door").acquire(timeout_s=None)
    commit(before.store, 0.0)
    before.store.close()
    owner.fleet = waiter.fleet = after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    lock.release()
    assert waiter.woken() == WAITS
    lock.release()
    assert waiter.woken() == 2
    after.store.close()
