"""Quantities as a job writes them."""

from __future__ import annotations

import pytest

from crawlfleet.shared.quantities import duration_text, seconds


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.0, "0s"), (0.25, "250ms"), (90.0, "90s"), (120.0, "2m"), (7200.0, "2h")],
)
def test_a_duration_is_written_as_a_job_may_say_it(duration_s: float, text: str) -> None:
    assert duration_text(duration_s) == text
    assert seconds(text, "0s", "10h") == duration_s
