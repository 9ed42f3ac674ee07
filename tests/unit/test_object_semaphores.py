"""Semaphores: who holds units, who gives them back, and what becomes of those of lost sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.core.objects import semaphores
from crawlfleet.coordinator.core.objects.rows import PartRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from tests.commits import commit
from tests.unit.object_fleet import WAITS, Failed, Handle, ObjectFleet, ProgramThread

BOTH = pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


def opened(fleet: ObjectFleet, kind: str, *sessions: str, value: int | None = None) -> list[Handle]:
    return [fleet.thread(session).open(kind, "seats", value) for session in sessions]


def held(fleet: ObjectFleet) -> dict[str, int]:
    return {part.subkey.decode(): int.from_bytes(part.value) for part in fleet.rows(PartRow)}


@BOTH
def test_units_are_taken_in_the_order_of_arrival(fleet: ObjectFleet, kind: str) -> None:
    a, b, c, d = opened(fleet, kind, "a", "b", "c", "d", value=2)
    assert [a.acquire(), a.thread.again(), b.acquire()] == [True] * 3
    assert c.acquire() is False
    assert [c.acquire(timeout_s=None), d.acquire(timeout_s=5)] == [WAITS] * 2
    a.release()
    assert (c.thread.woken(), d.thread.woken()) == (True, WAITS)
    fleet.advance(5)
    assert d.thread.woken() is False
    for each in (b, c):
        each.release()
    assert (a.get_value(), held(fleet)) == (2, {})


@BOTH
def test_a_unit_passes_on_from_a_thread_to_the_next_of_its_session(fleet: ObjectFleet, kind: str) -> None:
    a, b = opened(fleet, kind, "s", "s", value=1)
    a.acquire()
    assert b.acquire(timeout_s=None) == WAITS
    a.release()
    assert (b.thread.woken(), held(fleet)) == (True, {"s": 1})
    b.release()
    assert (a.get_value(), held(fleet)) == (1, {})


def test_a_release_of_a_semaphore_may_add_a_unit(fleet: ObjectFleet) -> None:
    (seats,) = opened(fleet, "Semaphore", "s", value=0)
    assert seats.acquire() is False
    for _ in range(3):
        seats.release()
    assert (seats.acquire(), seats.get_value()) == (True, 2)


def test_a_bounded_semaphore_refuses_one_release_too_many(fleet: ObjectFleet) -> None:
    (seats,) = opened(fleet, "BoundedSemaphore", "s", value=2)
    seats.acquire()
    seats.release()
    with pytest.raises(Failed, match="ValueError: semaphore or lock released too many times"):
        seats.release()
    assert seats.get_value() == 2


def test_a_semaphore_has_as_many_units_as_an_operating_system_s(fleet: ObjectFleet) -> None:
    (seats,) = opened(fleet, "Semaphore", "s", value=semaphores.MAX_UNITS)
    with pytest.raises(Failed, match="released too many times"):
        seats.release()


@BOTH
def test_a_release_counts_against_the_releaser_first_and_then_the_oldest_holder(fleet: ObjectFleet, kind: str) -> None:
    a, b, c = opened(fleet, kind, "a", "b", "c", value=4)
    for each in (a, a, b):
        each.acquire()
    b.release()
    assert held(fleet) == {"a": 2}
    b.acquire()
    c.release()
    assert held(fleet) == {"a": 1, "b": 1}
    c.release()
    assert (held(fleet), a.get_value()) == ({"b": 1}, 3)


@BOTH
def test_the_units_of_a_lost_session_come_back_to_those_who_wait(fleet: ObjectFleet, kind: str) -> None:
    lost, b, c = opened(fleet, kind, "lost", "b", "c", value=3)
    for _ in range(3):
        lost.acquire()
    assert b.acquire(timeout_s=None) == WAITS
    assert c.acquire(timeout_s=None) == WAITS
    fleet.lose("lost")
    assert (b.thread.woken(), c.thread.woken(), b.get_value()) == (True, True, 1)
    assert held(fleet) == {"b": 1, "c": 1}


@BOTH
def test_a_session_that_comes_back_cannot_release_what_has_come_back_already(fleet: ObjectFleet, kind: str) -> None:
    lost, other = opened(fleet, kind, "lost", "other", value=2)
    lost.acquire()
    lost.acquire()
    fleet.lose("lost")
    assert other.acquire() is True
    for _ in range(2):
        with pytest.raises(Failed, match="ValueError: the unit has been given back already"):
            lost.release()
        with pytest.raises(Failed, match="the unit has been given back already"):
            lost.thread.again()
    assert (other.get_value(), held(fleet)) == (1, {"other": 1})
    lost.acquire()
    lost.release()
    lost.release()  # anyone may
    assert (other.get_value(), held(fleet)) == (2, {})


@BOTH
def test_a_session_that_is_lost_twice_has_given_up_all_its_units(fleet: ObjectFleet, kind: str) -> None:
    (lost,) = opened(fleet, kind, "lost", value=2)
    for _ in range(2):
        lost.acquire()
        fleet.lose("lost")
    for _ in range(2):
        with pytest.raises(Failed, match="given back already"):
            lost.release()
    assert lost.get_value() == 2


def test_the_end_of_a_session_that_holds_nothing_changes_nothing(fleet: ObjectFleet) -> None:
    holder, other = opened(fleet, "Semaphore", "h", "o", value=2)
    holder.acquire()
    fleet.lose("o")
    assert (holder.get_value(), held(fleet)) == (1, {"h": 1})
    assert other.acquire()


def test_the_sessions_that_were_lost_last_are_remembered(fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semaphores, "MAX_FORFEITS", 1)
    a, b = opened(fleet, "BoundedSemaphore", "a", "b", value=2)
    for each in (a, b):
        each.acquire()
        fleet.lose(each.thread.session)
    with pytest.raises(Failed, match="released too many times"):
        a.release()
    with pytest.raises(Failed, match="given back already"):
        b.release()


@BOTH
def test_a_unit_that_comes_too_late_is_taken_back(fleet: ObjectFleet, kind: str) -> None:
    a, b = opened(fleet, kind, "a", "b", value=2)
    a.acquire()
    a.acquire()
    assert b.acquire(timeout_s=None) == WAITS
    a.thread.withdraw()
    assert (b.thread.woken(), held(fleet)) == (True, {"a": 1, "b": 1})
    assert a.acquire() is False
    a.thread.withdraw()
    assert held(fleet) == {"a": 1, "b": 1}


def test_a_unit_that_was_released_by_another_meanwhile_is_not_taken_back(fleet: ObjectFleet) -> None:
    a, b = opened(fleet, "BoundedSemaphore", "a", "b")
    a.acquire()
    b.release()
    a.thread.withdraw()
    assert a.get_value() == 1


@BOTH
@pytest.mark.parametrize(("value", "error"), [(-1, "ValueError"), (2**31, "ValueError"), ("1", "TypeError")])
def test_an_initial_value_that_makes_no_sense_is_refused(fleet: ObjectFleet, kind: str, value: Any, error: str) -> None:
    with pytest.raises(Failed, match=error):
        fleet.thread("s").open(kind, "seats", value)


@BOTH
def test_the_initial_value_must_agree_where_it_is_given(fleet: ObjectFleet, kind: str) -> None:
    thread = fleet.thread("s")
    thread.open(kind, "seats", 2).acquire()
    thread.open(kind, "seats", 2)
    assert thread.open(kind, "seats", None).get_value() == 1
    with pytest.raises(Failed, match="ValueError: the semaphore 'seats' exists already, with the initial value 2"):
        thread.open(kind, "seats", 1)
    assert thread.open(kind, "seat", None).get_value() == 1


@BOTH
def test_units_and_lines_survive_a_restart(tmp_path: Path, kind: str) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    threads: list[ProgramThread] = []
    for each in opened(before, kind, "a", "b", value=1):
        each.acquire(timeout_s=None)
        threads.append(each.thread)
    commit(before.store, 0.0)
    before.store.close()
    after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    assert held(after) == {"a": 1}
    after.lose("a")
    threads[1].fleet = after
    assert (threads[1].woken(), held(after)) == (True, {"b": 1})
    after.store.close()
