"""Locks and numbers of the fleet by name: who has them, and how many there may be."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.core import primitives
from crawlfleet.coordinator.core.primitives import Locks, Values


def test_a_lost_session_frees_its_locks_and_no_others() -> None:
    locks = Locks()
    assert (locks.acquire("a", "s/1/1"), locks.acquire("b", "t/1/1")) == (1, 1)
    locks.free("s")
    assert locks.acquire("a", "t/1/1") == 2
    assert locks.acquire("b", "u/1/1") == 0


def test_there_may_be_so_many_locks_and_a_known_one_is_still_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primitives, "MAX_NAMES", 1)
    locks = Locks()
    assert locks.acquire("a", "s/1/1") == 1
    locks.release("a", "s/1/1")
    with pytest.raises(ValueError, match="1 locks already"):
        locks.acquire("b", "s/1/1")
    assert locks.acquire("a", "s/1/1") == 2


def test_there_may_be_so_many_values_and_a_known_one_is_still_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primitives, "MAX_NAMES", 1)
    values = Values()
    values.set("a", 1)
    with pytest.raises(ValueError, match="1 values already"):
        values.set("b", 1)
    values.set("a", 2.5)
    assert (values.get("a"), values.get("b")) == (2.5, 0)
