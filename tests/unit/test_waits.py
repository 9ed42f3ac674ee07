"""The deadlines of calls that wait: none is missed, and those of answered calls do not pile up."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.conduct import waits
from tests.unit.object_fleet import WAITS, ObjectFleet


def test_the_deadlines_of_answered_calls_go_though_an_earlier_call_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "MAX_DEAD", 10)
    fleet = ObjectFleet()
    early, late, getter, putter = (fleet.thread(session) for session in ("early", "late", "getter", "putter"))
    assert early.open("Event", "e").wait(timeout_s=5.0) == WAITS
    assert late.open("Event", "e").wait(timeout_s=7.0) == WAITS
    queue, items = getter.open("Queue", "q", 0), putter.open("Queue", "q", 0)
    for _ in range(100):
        assert queue.get(timeout_s=1_000.0) == WAITS
        items.put(b"x")
        assert len(fleet._waits._deadlines) <= 2 * 3 + 10
    fleet.advance(6.0)
    assert (early.woken(), late.woken()) == (False, WAITS)
    fleet.advance(2.0)
    assert late.woken() is False


def test_deadlines_that_all_count_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "MAX_DEAD", 0)
    fleet = ObjectFleet()
    threads = [fleet.thread("s") for _ in range(20)]
    for number, thread in enumerate(threads):
        assert thread.open("Event", "e").wait(timeout_s=20.0 - number) == WAITS
    for thread in reversed(threads):
        assert thread.woken() == WAITS
        fleet.advance(1.0)
        assert thread.woken() is False
