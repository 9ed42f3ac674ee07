"""Events: who waits for the flag, and how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.core.objects.rows import UseRow, WaitRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from tests.commits import commit
from tests.unit.object_fleet import WAITS, Failed, Handle, ObjectFleet


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


def opened(fleet: ObjectFleet, *sessions: str) -> list[Handle]:
    return [fleet.thread(session).open("Event", "go") for session in sessions]


def test_all_who_wait_go_on_when_the_flag_is_set(fleet: ObjectFleet) -> None:
    setter, a, b = opened(fleet, "s", "a", "b")
    assert setter.is_set() is False
    assert [each.wait(timeout_s=None) for each in (a, b)] == [WAITS] * 2
    setter.set()
    assert [a.thread.woken(), b.thread.woken(), a.wait(), setter.is_set()] == [True] * 4
    assert fleet.rows(WaitRow) == []


def test_a_wait_ends_with_its_time(fleet: ObjectFleet) -> None:
    (go,) = opened(fleet, "s")
    assert go.wait(timeout_s=0) is False
    assert go.wait(timeout_s=2) == WAITS
    fleet.advance(2)
    assert go.thread.woken() is False


def test_a_flag_that_was_cleared_is_waited_for_again(fleet: ObjectFleet) -> None:
    (go,) = opened(fleet, "s")
    go.set()
    go.set()
    go.clear()
    go.clear()
    assert (go.is_set(), go.wait()) == (False, False)


def test_a_set_that_is_sent_again_after_a_clear_sets_nothing(fleet: ObjectFleet) -> None:
    setter, other = opened(fleet, "s", "o")
    setter.set()
    other.clear()
    setter.thread.again()
    assert other.is_set() is False


def test_waits_of_lost_sessions_and_waits_that_are_given_up_leave_the_line(fleet: ObjectFleet) -> None:
    a, b, c = opened(fleet, "a", "b", "c")
    for each in (a, b, c):
        each.wait(timeout_s=None)
    fleet.lose("a")
    b.thread.withdraw()
    assert [wait.owner.session for wait in fleet.rows(WaitRow)] == ["c"]
    with pytest.raises(Failed, match="PlaceLost"):
        a.thread.woken()
    assert fleet.rows(UseRow) == []


def test_the_flag_and_the_line_survive_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    (go,) = opened(before, "s")
    go.wait(timeout_s=None)
    other = before.thread("t").open("Event", "other")
    other.set()
    commit(before.store, 0.0)
    before.store.close()
    go.thread.fleet = other.thread.fleet = after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    assert other.is_set() is True
    other.thread.open("Event", "go").set()
    assert go.thread.woken() is True
    after.store.close()
