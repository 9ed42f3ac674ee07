"""Quantities as a job writes them."""

from __future__ import annotations

import pytest

from crawlfleet.shared.quantities import duration_text, seconds, size_bytes, size_text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.0, "0s"), (0.25, "250ms"), (90.0, "90s"), (120.0, "2m"), (7200.0, "2h")],
)
def test_a_duration_is_written_as_a_job_may_say_it(duration_s: float, text: str) -> None:
    assert duration_text(duration_s) == text
    assert seconds(text, "0s", "10h") == duration_s


@pytest.mark.parametrize(
    ("size", "text"),
    [(1, "1B"), (1_500_000, "1500000B"), (2048, "2KiB"), (10 * 2**20, "10MiB"), (1000 * 2**30, "1000GiB")],
)
def test_a_size_is_written_as_a_job_may_say_it(size: int, text: str) -> None:
    assert size_text(size) == text
    assert size_bytes(text, "1B", "1000GiB") == size
