"""A hook's lock and number hold over the fleet, and live through an absence of the coordinator."""

from __future__ import annotations

import pytest

from crawlfleet.shared.errors import Unreachable
from crawlfleet.worker.talk.primitives import FleetPrimitives


class HandPrimitives:
    """The coordinator's primitives by hand; `away` is how many calls fail first, `taken` how many asks are refused."""

    def __init__(self, away: int = 0, taken: int = 0) -> None:
        self.away = away
        self.taken = taken
        self.holders: list[str] = []
        self.owners: list[str] = []
        self.number: int | float = 0

    def Lock(self, name: str, owner: str) -> HandPrimitives:
        assert name == "login"
        self.owners.append(owner)
        return self

    def Value(self, name: str) -> HandPrimitives:
        assert name == "n"
        return self

    def acquire(self) -> int:
        self._answer()
        if self.taken:
            self.taken -= 1
            return 0
        self.holders.append(self.owners[-1])
        return 7

    def release(self) -> None:
        self._answer()
        if not self.holders:
            raise ValueError("the lock is not held here (any more)")
        self.holders.pop()

    def get(self) -> int | float:
        self._answer()
        return self.number

    def set(self, number: int | float) -> None:
        self._answer()
        self.number = number

    def add(self, number: int | float) -> int | float:
        self._answer()
        self.number += number
        return self.number

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise Unreachable("away")


def test_a_lock_is_asked_for_with_growing_pauses_until_it_is_free() -> None:
    pauses: list[float] = []
    coordinator = HandPrimitives(taken=8)
    with FleetPrimitives(coordinator, "s", pauses.append).lock("login") as fence:
        assert fence == 7
        assert len(coordinator.holders) == 1
    assert coordinator.holders == []
    assert pauses == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25]


def test_a_lock_is_given_back_when_the_hook_raises() -> None:
    coordinator = HandPrimitives()
    with pytest.raises(ZeroDivisionError), FleetPrimitives(coordinator, "s").lock("login"):
        raise ZeroDivisionError
    assert coordinator.holders == []


def test_the_owner_is_this_thread_of_this_session() -> None:
    coordinator = HandPrimitives()
    with FleetPrimitives(coordinator, "session").lock("login"):
        session, pid, thread = coordinator.owners[0].split("/")
    assert session == "session"
    assert pid.isdigit()
    assert thread.isdigit()


def test_what_may_be_repeated_waits_for_the_coordinator_to_come_back() -> None:
    pauses: list[float] = []
    coordinator = HandPrimitives(away=3)
    value = FleetPrimitives(coordinator, "s", pauses.append).value("n")
    value.set(4)
    assert (value.get(), len(pauses)) == (4, 3)


def test_an_addition_is_never_repeated() -> None:
    coordinator = HandPrimitives(away=1)
    value = FleetPrimitives(coordinator, "s").value("n")
    with pytest.raises(Unreachable):
        value.add(1)
    assert (value.add(2), value.get()) == (2, 2)


def test_a_coordinator_that_stays_away_is_reported() -> None:
    pauses: list[float] = []
    coordinator = HandPrimitives(away=1_000)
    with pytest.raises(Unreachable):
        FleetPrimitives(coordinator, "s", pauses.append).value("n").get()
    assert sum(pauses) == 60.0


def test_a_thread_that_asks_for_a_lock_it_holds_is_told_so() -> None:
    fleet = FleetPrimitives(HandPrimitives(), "s")
    with fleet.lock("login"), pytest.raises(RuntimeError, match="holds the lock 'login' already"), fleet.lock("login"):
        pytest.fail("taken twice")
    with fleet.lock("login") as fence:
        assert fence == 7


def test_a_lock_that_was_lost_meanwhile_spoils_nothing() -> None:
    coordinator = HandPrimitives()
    with FleetPrimitives(coordinator, "s").lock("login"):
        coordinator.holders.clear()
    assert coordinator.holders == []
