"""How long a server is waited for that does not answer."""

from __future__ import annotations

from crawlfleet.coordinator.frontier.postgresql.patience import CLOSE_S, Patience


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nobody_gives_up_a_silent_server_before_somebody_wants_to_end() -> None:
    clock = Clock()
    patience = Patience(clock)
    asked_at, clock.now = patience.clock(), 10_000.0
    assert not patience.is_over(asked_at)
    patience.hurry()
    assert not patience.is_over(asked_at)
    clock.now += CLOSE_S + 0.1
    assert patience.is_over(asked_at)


def test_who_asks_later_waits_as_long_as_nobody_has_waited_in_vain() -> None:
    clock = Clock()
    patience = Patience(clock)
    patience.hurry()
    clock.now += CLOSE_S + 1.0
    patience.hurry()
    asked_at = patience.clock()
    assert not patience.is_over(asked_at)
    assert patience.is_over(asked_at - CLOSE_S - 0.1)
    assert patience.is_over(asked_at)
