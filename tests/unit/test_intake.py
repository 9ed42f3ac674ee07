"""Room for large requests: by threads that wait for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crawlfleet.shared.wire.intake import Intake

PATIENCE_S = 20.0


@pytest.fixture
def intake() -> Intake:
    """Room for ten bytes."""
    return Intake(10)


def test_room_that_is_there_is_taken_at_once(intake: Intake) -> None:
    intake.take(6, 0.0)
    intake.take(4, 0.0)
    with pytest.raises(TimeoutError):
        intake.take(1, 0.0)
    intake.give_back(4)
    intake.take(1, 0.0)


def test_first_come_first_served_even_if_there_is_room_for_a_smaller_one(intake: Intake) -> None:
    intake.take(8, 0.0)
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(intake.take, 10, PATIENCE_S)
        _until_waiting(intake, 1)
        small = pool.submit(intake.take, 1, PATIENCE_S)
        _until_waiting(intake, 2)
        assert not large.done()
        assert not small.done()
        intake.give_back(8)
        large.result(PATIENCE_S)
        assert not small.done()
        intake.give_back(10)
        small.result(PATIENCE_S)


def test_who_gives_up_lets_those_behind_in(intake: Intake) -> None:
    intake.take(8, 0.0)
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(intake.take, 10, 0.2)
        _until_waiting(intake, 1)
        small = pool.submit(intake.take, 1, PATIENCE_S)
        small.result(PATIENCE_S)
        with pytest.raises(TimeoutError, match="no room"):
            large.result(PATIENCE_S)


def test_who_is_let_in_while_it_gives_up_has_its_room(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    intake.take(10, 0.0)

    def wait_too_long(_event: threading.Event, _timeout_s: float) -> bool:
        intake.give_back(10)
        return False

    monkeypatch.setattr(threading.Event, "wait", wait_too_long)
    intake.take(10, 1.0)
    monkeypatch.undo()
    with pytest.raises(TimeoutError):
        intake.take(1, 0.0)


def _until_waiting(intake: Intake, number: int) -> None:
    while len(intake._waiting) < number:
        threading.Event().wait(0.001)
