"""The page budget: `pages` counts FETCHED exactly, and never stands in its own way."""

from __future__ import annotations

from coordinator.core.rows import TaskState
from shared.messages import Outcome, Report
from tests.unit.core_crawl import CoreCrawl, all_of


def with_a_page_granted() -> CoreCrawl:
    """A crawl with room for one more page, which is granted to `s`, at depth 1."""
    crawl = CoreCrawl("http://a.test/1", pages=2, tasks_per_lease=1, retries=0)
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outlinks=("http://a.test/deep",))
    assert all_of(crawl.ask()) == ["http://a.test/deep"]
    assert crawl.service.put("http://a.test/near", crawl.now) == ""
    assert crawl.ask() == []
    return crawl


def test_a_released_page_does_not_keep_its_place_from_what_is_nearer() -> None:
    crawl = with_a_page_granted()
    lease = crawl.store.leases_of("s")[0].id
    crawl.turn(released=(lease,), holding=())
    assert len(crawl.ask()) == 1


def test_a_lost_page_with_a_place_is_granted_though_what_is_nearer_has_none() -> None:
    crawl = with_a_page_granted()
    crawl.pass_time(crawl.policy.lease_s)
    crawl.hello("t")
    assert all_of(crawl.ask("t")) == ["http://a.test/deep"]


def test_a_place_is_given_back_by_any_outcome_but_fetched() -> None:
    for outcome in set(Outcome) - {Outcome.FETCHED, Outcome.REDIRECTED}:
        crawl = with_a_page_granted()
        (lease,) = crawl.store.leases_of("s")
        crawl.turn(reports=(_report(lease.id, lease.refs[0], outcome),))
        assert all_of(crawl.ask()) == ["http://a.test/near"], outcome


def test_what_is_left_when_the_budget_is_spent_is_dropped_for_it() -> None:
    crawl = with_a_page_granted()
    (lease,) = crawl.store.leases_of("s")
    crawl.turn(reports=(_report(lease.id, lease.refs[0], Outcome.FETCHED),))
    left = crawl.task("http://a.test/near")
    assert (left.state, left.reason) == (TaskState.DROPPED, "budget")
    assert crawl.service.is_finished
    assert len(crawl.fetched()) == 2


def _report(lease: int, ref: bytes, outcome: Outcome) -> Report:
    return Report(lease=lease, ref=ref, outcome=outcome, status=404 if outcome is Outcome.HTTP_ERROR else 200)
