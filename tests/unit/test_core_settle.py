"""What a report does, and which reports count."""

from __future__ import annotations

from coordinator.core.rows import TaskState
from shared.messages import AckState, Outcome, Report
from tests.unit.core_crawl import SEED, CoreCrawl


def test_a_report_under_no_lease_is_stale_even_for_a_task_that_nobody_holds() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    report = Report(lease=0, ref=crawl.task().ref, outcome=Outcome.FETCHED, status=200)
    assert crawl.turn(reports=(report,)).acks[0].state is AckState.STALE
    assert crawl.task(SEED).state is TaskState.PENDING
    assert not crawl.fetched()
