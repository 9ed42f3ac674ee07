"""From the access log of a site: what one crawl of it was given, and how fast in its middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SKIPPED_SHARE = 0.1


class Steady(NamedTuple):
    """The middle of a crawl, from 10 % to 90 % of its pages. `began` and `ended` are epoch times."""

    pages: int
    began: float
    ended: float

    @property
    def per_s(self) -> float:
        """How many pages were answered in a second."""
        return self.pages / (self.ended - self.began) if self.ended > self.began else 0.0


def steady(answered_at: Sequence[float]) -> Steady:
    """Find the middle of a crawl in the times at which its pages were answered."""
    times = sorted(answered_at)
    first, last = int(len(times) * SKIPPED_SHARE), int(len(times) * (1 - SKIPPED_SHARE)) - 1
    return Steady(last - first, times[first], times[last])
