"""Turns for the tests of single rules, checked when a test is over; and a machine whose zone is far from UTC."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.unit.rule_turns import Turns


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns()
    yield made
    made.check()


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX+11")
        time.tzset()
        yield
    time.tzset()
