"""Tries inputs of a target that Hypothesis makes: the same every time, in a second or so."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.hostile.fuzz.target import Target


def turn(target: Target, number: int, examples: int) -> int:
    """Try some inputs; return how many there were. Raise what is found."""
    tried = 0

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(target.inputs.examples)
    def once(value: Any) -> None:
        nonlocal tried
        target.holds(value)
        tried += 1

    once()
    return tried
