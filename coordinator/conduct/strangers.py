"""Says in the log that strangers were refused at the port: at once when it begins, then how many once a minute."""

from __future__ import annotations

import math

import structlog

from crawlfleet.shared.wire.reception import Counters

TOLD_EVERY_S = 60.0


class Strangers:
    """What the log says of strangers; it is shown the port's counters from time to time."""

    def __init__(self) -> None:
        self._told = 0
        self._quiet_until = -math.inf

    def look(self, counters: Counters, now: float) -> None:
        """Log how many were refused since the last line, if it is time for another, or `now` is infinite: the end."""
        number = counters.strangers - self._told
        if number and now >= self._quiet_until:
            self._told = counters.strangers
            self._quiet_until = now + TOLD_EVERY_S
            reasons = (f"{reason} {count:,}" for reason, count in sorted(counters.of_strangers.items()))
            structlog.get_logger().warning(
                "connections without the crawl's secret were refused",
                number=number,
                detail=f"so far: {', '.join(reasons)}; the last came from {counters.last_stranger}",
            )
