"""Turns for the tests of single rules, checked when a test is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.rule_turns import Turns


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns()
    yield made
    made.check()
