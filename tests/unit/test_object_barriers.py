"""Barriers: rounds, actions, and what breaks them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.core.objects.rows import WaitRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from tests.commits import commit
from tests.unit.object_fleet import WAITS, Failed, Handle, ObjectFleet

BROKEN = "BrokenBarrierError"


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


def opened(fleet: ObjectFleet, sessions: str, parties: int = 3) -> list[Handle]:
    return [fleet.thread(session).open("Barrier", "gate", parties) for session in sessions]


def wait(barrier: Handle, *, acts: bool = False, timeout_s: float | None = None) -> object:
    return barrier.wait(acts, timeout_s=timeout_s)


def state(barrier: Handle) -> tuple[int, bool]:
    return barrier.n_waiting(), barrier.broken()


def has_broken(barrier: Handle) -> bool:
    with pytest.raises(Failed, match=BROKEN):
        barrier.thread.woken()
    return True


def test_the_parties_go_on_together_round_after_round(fleet: ObjectFleet) -> None:
    a, b, c = opened(fleet, "abc")
    for _ in range(2):
        assert [wait(a), wait(b)] == [WAITS] * 2
        assert state(c) == (2, False)
        assert wait(c) == (2, False)
        assert [a.thread.woken(), b.thread.woken()] == [(0, False), (1, False)]
        assert state(c) == (0, False)


def test_a_barrier_of_one_party_holds_nobody_up(fleet: ObjectFleet) -> None:
    (gate,) = opened(fleet, "a", 1)
    assert wait(gate, timeout_s=0) == (0, False)
    assert wait(gate, acts=True) == (0, True)
    gate.passed()
    assert state(gate) == (0, False)


def test_a_wait_that_is_sent_again_is_one_party(fleet: ObjectFleet) -> None:
    a, b = opened(fleet, "ab", 2)
    wait(a)
    assert a.thread.again() == WAITS
    assert wait(b) == (1, False)
    assert (b.thread.again(), a.thread.again()) == ((1, False), (0, False))
    assert state(a) == (0, False)


# Actions


def test_the_last_party_runs_its_action_before_the_others_go_on(fleet: ObjectFleet) -> None:
    a, b, c = opened(fleet, "abc")
    wait(a, acts=True)
    wait(b)
    assert wait(c, acts=True) == (2, True)
    assert [a.thread.woken(), b.thread.woken()] == [WAITS] * 2
    c.passed()
    assert [a.thread.woken(), b.thread.woken()] == [(0, False), (1, False)]
    assert state(a) == (0, False)


def test_the_last_of_those_who_have_an_action_runs_it(fleet: ObjectFleet) -> None:
    a, b, c, d = opened(fleet, "abcd", 4)
    assert [wait(a, acts=True), wait(b, acts=True), wait(c)] == [WAITS] * 3
    assert wait(d, timeout_s=0) == WAITS
    assert b.thread.woken() == (1, True)
    b.passed()
    assert [each.thread.woken() for each in (a, c, d)] == [(0, False), (2, False), (3, False)]


def test_the_time_of_those_who_wait_for_an_action_is_never_over(fleet: ObjectFleet) -> None:
    a, b = opened(fleet, "ab", 2)
    wait(a, timeout_s=1)
    wait(b, acts=True)
    fleet.advance(5)
    assert a.thread.woken() == WAITS
    b.passed()
    assert a.thread.woken() == (0, False)


def test_an_action_that_fails_breaks_the_barrier(fleet: ObjectFleet) -> None:
    a, b = opened(fleet, "ab", 2)
    wait(a)
    wait(b, acts=True)
    a.thread.fleet.thread("c").open("Barrier", "gate", 2).failed()  # it is no actor
    b.failed()
    assert has_broken(a)
    assert state(b) == (0, True)
    with pytest.raises(Failed, match=BROKEN):
        b.passed()


@pytest.mark.parametrize("ends", ["actor lost", "party lost", "party withdrawn", "actor withdrawn", "abort"])
def test_what_breaks_a_barrier_while_an_action_runs(fleet: ObjectFleet, ends: str) -> None:
    a, b, actor = opened(fleet, "abx")
    wait(a)
    wait(b)
    wait(actor, acts=True)
    match ends.split():
        case ["actor", "lost"]:
            fleet.lose("x")
        case ["party", "lost"]:
            fleet.lose("a")
        case ["party", "withdrawn"]:
            a.thread.withdraw()
        case ["actor", "withdrawn"]:
            actor.thread.withdraw()
        case _:
            b.thread.fleet.thread("c").open("Barrier", "gate", 3).abort()
    assert has_broken(b)
    assert state(b) == (0, True)
    with pytest.raises(Failed, match=BROKEN):
        actor.passed()


def test_who_comes_while_an_action_runs_is_in_the_next_round(fleet: ObjectFleet) -> None:
    a, b, c, d = opened(fleet, "abcd", 2)
    wait(a)
    wait(b, acts=True)
    assert wait(c) == WAITS
    b.passed()
    assert (a.thread.woken(), c.thread.woken()) == ((0, False), WAITS)
    assert wait(d) == (1, False)
    assert c.thread.woken() == (0, False)


def test_rounds_that_became_complete_while_an_action_ran_follow_at_once(fleet: ObjectFleet) -> None:
    a, b, c, d, e, f, g, h = opened(fleet, "abcdefgh", 2)
    wait(a)
    wait(b, acts=True)
    for each in (c, d):
        assert wait(each, timeout_s=5) == WAITS
    assert [wait(e, acts=True), wait(f), wait(g)] == [WAITS] * 3
    b.passed()
    assert [each.thread.woken() for each in (a, c, d)] == [(0, False), (0, False), (1, False)]
    assert (e.thread.woken(), f.thread.woken(), state(h)) == ((0, True), WAITS, (2, False))
    e.passed()
    assert (f.thread.woken(), g.thread.woken(), state(h)) == ((1, False), WAITS, (1, False))


def test_who_waited_too_long_for_the_next_round_breaks_it_after_the_action(fleet: ObjectFleet) -> None:
    a, b, c = opened(fleet, "abc", 2)
    wait(a)
    wait(b, acts=True)
    assert wait(c, timeout_s=0) == WAITS
    fleet.advance(1)
    b.passed()
    assert a.thread.woken() == (0, False)
    assert has_broken(c)


# What breaks a barrier


@pytest.mark.parametrize("ends", ["time", "lost", "withdrawn", "abort"])
def test_a_party_that_does_not_come_to_the_end_breaks_the_barrier_for_all(fleet: ObjectFleet, ends: str) -> None:
    a, b, c = opened(fleet, "abc")
    wait(a)
    wait(b, timeout_s=2)
    if ends == "time":
        fleet.advance(2)
        assert has_broken(b)
    elif ends == "lost":
        fleet.lose("b")
    elif ends == "withdrawn":
        b.thread.withdraw()
    else:
        c.abort()
    assert has_broken(a)
    assert state(c) == (0, True)
    assert fleet.rows(WaitRow) == []
    for _ in range(2):
        with pytest.raises(Failed, match=BROKEN):
            wait(c)
        c.abort()


def test_two_parties_whose_time_is_over_at_once_break_the_barrier_once(fleet: ObjectFleet) -> None:
    a, b, c = opened(fleet, "abc")
    for each in (a, b):
        wait(each, timeout_s=2)
    fleet.advance(2)
    assert has_broken(a)
    assert has_broken(b)
    assert state(c) == (0, True)


def test_a_wait_without_time_breaks_the_barrier_unless_it_is_the_last(fleet: ObjectFleet) -> None:
    a, b, c = opened(fleet, "abc")
    wait(a)
    with pytest.raises(Failed, match=BROKEN):
        wait(b, timeout_s=0)
    assert has_broken(a)
    c.reset()
    for each in (a, b):
        wait(each)
    assert wait(c, timeout_s=0) == (2, False)


def test_the_end_of_a_session_that_does_not_wait_breaks_nothing(fleet: ObjectFleet) -> None:
    a, b, c = opened(fleet, "abc", 2)
    wait(a)
    fleet.lose("c")
    c.thread.send("Barrier", "gate", "reset", ())
    assert has_broken(a)
    assert [wait(a), wait(b, acts=True)] == [WAITS, (1, True)]
    fleet.lose("c")
    assert state(b) == (1, False)


def test_a_wait_that_is_given_up_when_the_others_have_gone_on_breaks_nothing(fleet: ObjectFleet) -> None:
    a, b = opened(fleet, "ab", 2)
    wait(a)
    wait(b)
    a.thread.withdraw()
    assert state(b) == (0, False)


@pytest.mark.parametrize("acting", [False, True])
def test_a_reset_breaks_the_round_and_mends_the_barrier(fleet: ObjectFleet, acting: bool) -> None:
    a, b, c = opened(fleet, "abc", 2)
    wait(a)
    if acting:
        wait(b, acts=True)
    c.reset()
    assert has_broken(a)
    assert state(c) == (0, False)
    if acting:
        with pytest.raises(Failed, match=BROKEN):
            b.passed()
    c.abort()
    c.reset()
    wait(a)
    assert wait(b) == (1, False)


# Opening


def test_the_number_of_parties_must_agree(fleet: ObjectFleet) -> None:
    opened(fleet, "ab")
    with pytest.raises(Failed, match="ValueError: the barrier 'gate' exists already, for 3 parties"):
        opened(fleet, "c", 2)
    with pytest.raises(Failed, match="ValueError: parties must be >= 1"):
        opened(fleet, "c", 0)


def test_a_barrier_survives_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    a, b, actor, other = opened(before, "abxo")
    wait(a)
    wait(b, timeout_s=1)
    wait(actor, acts=True)
    other.thread.open("Barrier", "broken", 1).abort()
    commit(before.store, 0.0)
    before.store.close()
    after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    for each in (a, b, actor, other):
        each.thread.fleet = after
    after.advance(5)
    actor.passed()
    assert [a.thread.woken(), b.thread.woken()] == [(0, False), (1, False)]
    assert other.thread.open("Barrier", "broken", 1).broken() is True
    after.store.close()


@pytest.mark.parametrize("keep_answers", [True, False])
def test_the_death_of_a_party_between_two_rounds_breaks_the_barrier(fleet: ObjectFleet, keep_answers: bool) -> None:
    a, b = opened(fleet, "ab", 2)
    wait(a)
    wait(b)
    wait(a)
    fleet.lose("b", keep_answers=keep_answers)
    assert has_broken(a)


def test_a_party_that_says_goodbye_between_two_rounds_breaks_nothing(fleet: ObjectFleet) -> None:
    a, b, c = opened(fleet, "abc", 2)
    wait(a)
    wait(b)
    fleet.part("b")
    assert (wait(a), wait(c)) == (WAITS, (1, False))


def test_the_death_of_a_session_that_never_waited_breaks_nothing(fleet: ObjectFleet) -> None:
    a, b, _ = opened(fleet, "abc", 2)
    wait(a)
    fleet.lose("c")
    assert wait(b) == (1, False)


def test_a_goodbye_of_a_party_that_waits_breaks_the_barrier(fleet: ObjectFleet) -> None:
    a, b = opened(fleet, "ab")[:2]
    wait(a)
    wait(b)
    fleet.part("b")
    assert has_broken(a)
