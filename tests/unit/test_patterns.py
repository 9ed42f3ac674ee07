"""Patterns of a job that take more memory than they may."""

from __future__ import annotations

import pytest

from crawlfleet.shared.web import patterns


def test_expressions_that_are_too_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MAX_PATTERNS_BYTES", 20_000)
    with pytest.raises(ValueError, match="too large together"):
        patterns.Patterns([f"re:x{{50}}{number}" for number in range(300)])
