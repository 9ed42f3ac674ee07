"""Many polite hosts and a slow one, crawled by real processes: none is asked too soon, none waits for the slow one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.many_hosts import SLOW_ANSWER_S, host_name, read_arrivals
from benchmarks.polite_speed import LOG, Outcome, Setting, measure
from tests.site.postgresql_server import programs

HOSTS = 50
DELAY_S = 0.5
SECONDS = 3.0


def crawl(folder: Path) -> Outcome:
    """Crawl all hosts for some seconds; none may be asked too soon, and each is asked."""
    setting = Setting(hosts=HOSTS, delay_s=DELAY_S, seconds=SECONDS, slow=1, answer_ms=50.0)
    outcome = measure(setting, folder)
    assert outcome.too_soon == 0
    assert outcome.least_gap_s >= DELAY_S
    assert any(arrival.host == host_name(HOSTS) for arrival in read_arrivals(folder / LOG))
    return outcome


def test_a_slow_host_holds_nobody_up_and_no_start_is_too_soon(tmp_path: Path) -> None:
    outcome = crawl(tmp_path)
    # A quarter of what they may have while the slow host keeps its first answer back.
    assert outcome.slowest_host >= min(SECONDS, SLOW_ANSWER_S) / DELAY_S / 4


@pytest.mark.server
@pytest.mark.long
@pytest.mark.skipif(programs() is None, reason="not installed: postgresql")
@pytest.mark.usefixtures("in_postgresql")
def test_no_start_is_too_soon_over_postgresql(tmp_path: Path) -> None:
    crawl(tmp_path)
