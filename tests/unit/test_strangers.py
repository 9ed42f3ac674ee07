"""What the log says of strangers at the port: a line when it begins, then one a minute."""

from __future__ import annotations

import math
from typing import Any

from structlog.testing import capture_logs

from crawlfleet.coordinator.conduct.strangers import TOLD_EVERY_S, Strangers
from crawlfleet.shared.wire.reception import Counters


def told(strangers: Strangers, now: float, **refused: int) -> list[dict[str, Any]]:
    """Return the lines that a look logs."""
    with capture_logs() as lines:
        strangers.look(Counters(accepted=9, refused=refused, open=3, last_stranger="192.0.2.7"), now)
    return [dict(line) for line in lines]


def test_nobody_is_no_line() -> None:
    assert told(Strangers(), 0.0) == []
    assert told(Strangers(), 0.0, full=3, descriptors=2) == []


def test_the_first_is_told_at_once_with_reasons_and_source() -> None:
    (line,) = told(Strangers(), 5.0, garbage=2, deadline=1_000, protocol=1)
    assert line["log_level"] == "warning"
    assert line["event"] == "connections without the crawl's secret were refused"
    assert line["number"] == 1_002
    assert line["detail"] == "so far: deadline 1,000, garbage 2; the last came from 192.0.2.7"


def test_while_it_goes_on_there_is_a_line_a_minute() -> None:
    strangers = Strangers()
    numbers = [
        [line["number"] for line in told(strangers, now, evicted=10 + int(now))]
        for now in (0.0, 1.0, TOLD_EVERY_S - 1, TOLD_EVERY_S, TOLD_EVERY_S + 1, 3 * TOLD_EVERY_S)
    ]
    assert numbers == [[10], [], [], [60], [], [120]]


def test_the_end_tells_of_those_that_are_not_told_yet() -> None:
    strangers = Strangers()
    assert told(strangers, 0.0, gone=1)
    assert [line["number"] for line in told(strangers, math.inf, gone=4)] == [3]
    assert told(strangers, math.inf, gone=4) == []
