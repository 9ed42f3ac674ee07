"""What is remembered of texts that anybody may send: of short ones, so many results; of long ones, none."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from crawlfleet.coordinator.core.traps import patterns_of
from crawlfleet.shared.remembered import MOST_CHARS, remembered
from crawlfleet.shared.web.domains import registrable_domain
from crawlfleet.shared.web.urls import is_canonical, parts

LONG = 300_000


def test_the_last_results_for_short_texts_are_remembered() -> None:
    asked: list[str] = []

    @remembered(2)
    def upper(text: str) -> str:
        """Note that it was asked."""
        asked.append(text)
        return text.upper()

    short, long = "a" * MOST_CHARS, "a" * (MOST_CHARS + 1)
    assert [upper(text) for text in ("x", short, "x", short)] == ["X", short.upper(), "X", short.upper()]
    assert asked == ["x", short]
    assert [upper(long), upper(long)] == [long.upper()] * 2
    assert asked == ["x", short, long, long]
    assert upper.__doc__ == "Note that it was asked."


@pytest.mark.parametrize("ask", [is_canonical, parts, patterns_of])
def test_nothing_is_kept_of_long_addresses(ask: Callable[[str], object]) -> None:
    assert kept_bytes(ask, lambda number: f"http://{number}{'a' * LONG}.test/") < LONG


def test_nothing_is_kept_of_long_names_of_hosts() -> None:
    registrable_domain("a.test")  # loads the list
    assert kept_bytes(registrable_domain, lambda number: f"{number}{'a' * LONG}.test") < LONG


def kept_bytes(ask: Callable[[str], object], text: Callable[[int], str]) -> int:
    """Return how much memory is in use after a function was asked about some long texts that is not before."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(10):
        ask(text(number))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before
