"""The limits of the fetchers that the suites of fetch engines use."""

from __future__ import annotations

LIMIT = 100_000
SHORT_S = 0.3
