"""Patterns of a job that take more memory than they may."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlfleet.shared.web import patterns


def test_expressions_that_are_too_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MAX_PATTERNS_BYTES", 20_000)
    with pytest.raises(ValueError, match="too large together"):
        patterns.Patterns([f"re:x{{50}}{number}" for number in range(300)])


@given(st.text("/ab*", max_size=6), st.text("/ab", max_size=8))
def test_a_glob_matches_where_its_parts_stand_one_after_another(glob: str, path: str) -> None:
    """As a regular expression that may backtrack says."""
    body = ".*".join(map(re.escape, glob.split("*")))
    expected = re.match(body, path) if glob.startswith("/") else re.search(body, path)
    assert patterns.Patterns([glob]).match(path) is (expected is not None)
