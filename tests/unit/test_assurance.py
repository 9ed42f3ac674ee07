"""How long the owner of a crawl in PostgreSQL is sure of it, by a clock that is given."""

from __future__ import annotations

from crawlfleet.coordinator.frontier.postgresql.assurance import Assurance, uptime_s


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_owner_is_sure_for_a_time_from_before_it_sent_what_was_acknowledged() -> None:
    clock = Clock()
    assurance = Assurance(2.0, clock)
    assert not assurance.holds()
    sent_at, clock.now = assurance.clock(), 101.5
    assurance.confirm(sent_at)
    assert assurance.holds()
    clock.now = 102.0
    assert not assurance.holds()


def test_what_was_sent_before_a_process_was_stopped_says_nothing_when_it_goes_on() -> None:
    clock = Clock()
    assurance = Assurance(2.0, clock)
    sent_at = assurance.clock()
    clock.now += 60.0
    assurance.confirm(sent_at)
    assert not assurance.holds()
    assurance.confirm(assurance.clock())
    assert assurance.holds()


def test_an_earlier_acknowledgement_that_is_noted_late_takes_nothing_back() -> None:
    clock = Clock()
    assurance = Assurance(2.0, clock)
    assurance.confirm(100.0)
    assurance.confirm(99.0)
    clock.now = 101.9
    assert assurance.holds()


def test_the_clock_only_runs_forward() -> None:
    assert 0.0 < uptime_s() <= uptime_s()
