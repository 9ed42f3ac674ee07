"""What becomes a task, and at which depth."""

from __future__ import annotations

from coordinator.core.rows import TaskState
from shared.messages import Outcome, Report
from tests.unit.core_crawl import CoreCrawl, all_of


def fetched(lease: int, ref: bytes, *outlinks: str) -> Report:
    return Report(lease=lease, ref=ref, outcome=Outcome.FETCHED, status=200, age_s=0.0, outlinks=outlinks)


def test_a_page_found_nearer_by_the_same_turn_passes_its_new_depth_to_its_links() -> None:
    crawl = CoreCrawl("http://a.test/1", "http://a.test/2", depth=2)
    crawl.hello("s")
    crawl.open_gates()
    (lease, one), (_, two) = crawl.ask()
    crawl.settle(lease, one, outlinks=("http://a.test/x",))
    ((second, x),) = crawl.ask()
    crawl.settle(second, x, outlinks=("http://a.test/p",))
    ((third, page),) = crawl.ask()
    assert page.depth == 2
    nearer = fetched(lease.id, two.ref, "http://a.test/p")
    crawl.turn(reports=(nearer, fetched(third.id, page.ref, "http://a.test/q")))
    assert crawl.task("http://a.test/p").depth == 1
    assert crawl.task("http://a.test/q").depth == 2
    assert all_of(crawl.ask()) == ["http://a.test/q"]


def test_what_is_too_deep_is_revived_when_it_is_found_nearer() -> None:
    crawl = CoreCrawl("http://a.test/1", "http://a.test/2", depth=1)
    crawl.hello("s")
    crawl.open_gates()
    (lease, one), (_, two) = crawl.ask()
    crawl.settle(lease, one, outlinks=("http://a.test/x",))
    ((second, x),) = crawl.ask()
    crawl.settle(second, x, outlinks=("http://a.test/deep",))
    dropped = crawl.task("http://a.test/deep")
    assert (dropped.state, dropped.reason) == (TaskState.DROPPED, "depth")
    crawl.settle(lease, two, outlinks=("http://a.test/deep",))
    assert all_of(crawl.ask()) == ["http://a.test/deep"]
