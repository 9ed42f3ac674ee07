"""Which changes are logged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from crawlfleet.coordinator.conduct.journal import Journal
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Outcome
from tests.unit.core_crawl import SEED, CoreCrawl


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    with capture_logs() as entries:
        yield entries


def journalled(crawl: CoreCrawl) -> None:
    Journal()(crawl.changes)


def failed_page(crawl: CoreCrawl) -> None:
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404")


def warnings(logged: list[EventDict]) -> list[EventDict]:
    return [entry for entry in logged if entry["log_level"] == "warning"]


def test_a_page_that_failed_is_told_once_with_its_reason(logged: list[EventDict]) -> None:
    crawl = CoreCrawl()
    failed_page(crawl)
    journalled(crawl)
    (entry,) = warnings(logged)
    assert (entry["event"], entry["url"], entry["reason"], entry["status"]) == ("page failed", SEED, "http_404", 404)


def test_a_seed_out_of_scope_is_reported(logged: list[EventDict]) -> None:
    crawl = CoreCrawl("http://x.test/", scope=ScopeSpec(hosts=("a.test",)))
    journalled(crawl)
    (entry,) = warnings(logged)
    assert (entry["event"], entry["url"], entry["reason"]) == ("page dropped", "http://x.test/", "host")


def test_a_lost_lease_is_told_with_its_session_and_host(logged: list[EventDict]) -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.ask()
    crawl.pass_time(crawl.policy.lease_s)
    journalled(crawl)
    (entry,) = warnings(logged)
    assert (entry["event"], entry["session"], entry["host"], entry["tasks"]) == ("lease lost", "s", "a.test", 1)


def test_all_leases_of_a_lost_session_are_told_in_one_line(logged: list[EventDict]) -> None:
    crawl = CoreCrawl("http://a.test/", "http://b.test/")
    crawl.hello("s")
    crawl.open_gates()
    assert len(crawl.ask()) == 2
    crawl.changes.clear()
    crawl.pass_time(crawl.policy.lease_s)
    journalled(crawl)
    (entry,) = warnings(logged)
    assert (entry["event"], entry["leases"], entry["tasks"], entry["hosts"]) == ("lease lost", 2, 2, 2)


def test_an_origin_whose_robots_txt_cannot_be_had_is_reported(logged: list[EventDict]) -> None:
    crawl = CoreCrawl(retries=0, robots_wait_s=10.0)
    crawl.hello("s")
    for _ in range(2):
        for lease, task in crawl.ask():
            crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=500, reason="http_500")
        crawl.pass_time(10.0)
    journalled(crawl)
    first, last_wait, dropped, closed = warnings(logged)
    assert ("robots_wait_last" in last_wait["event"], last_wait["hosts"]) == (True, 1)
    assert (dropped["event"], dropped["reason"]) == ("page dropped", "robots_unreachable")
    assert [(line["event"], line["url"], line["reason"], line["waits"]) for line in (first, closed)] == [
        ("robots unreachable", "http://a.test/robots.txt", "http_500", True),
        ("robots unreachable", "http://a.test/robots.txt", "http_500", False),
    ]


def test_a_page_that_went_well_and_its_links_are_not_told(logged: list[EventDict]) -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outlinks=tuple(f"http://a.test/{number}" for number in range(100)))
    journalled(crawl)
    assert warnings(logged) == []
    assert len(logged) == 2
