"""The budgets: pages count exactly, nothing stands in its own way, and what is left names the budget that is spent."""

from __future__ import annotations

from typing import Any

from crawlfleet.coordinator.conduct.shortages import taken_up
from crawlfleet.coordinator.core.policy import Budget
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.shared.messages import Outcome, Report
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


# Outcomes of a page whose body came.
USED = {Outcome.FETCHED, Outcome.EXTRACT_ERROR, Outcome.REPORT_TOO_LARGE}


def test_a_page_counts_if_its_body_came_whatever_became_of_it() -> None:
    for outcome in USED:
        crawl = with_a_page_granted()
        (lease,) = crawl.store.leases_of("s")
        crawl.turn(reports=(_report(lease.id, lease.refs[0], outcome),))
        assert crawl.task("http://a.test/near").reason == "budget_pages", outcome
        assert crawl.service.is_finished


def test_a_place_is_given_back_by_any_other_outcome() -> None:
    for outcome in set(Outcome) - USED - {Outcome.REDIRECTED}:
        crawl = with_a_page_granted()
        (lease,) = crawl.store.leases_of("s")
        crawl.turn(reports=(_report(lease.id, lease.refs[0], outcome),))
        assert all_of(crawl.ask()) == ["http://a.test/near"], outcome


def test_what_is_left_when_the_budget_is_spent_is_dropped_for_it() -> None:
    crawl = with_a_page_granted()
    (lease,) = crawl.store.leases_of("s")
    crawl.turn(reports=(_report(lease.id, lease.refs[0], Outcome.FETCHED),))
    left = crawl.task("http://a.test/near")
    assert (left.state, left.reason) == (TaskState.DROPPED, "budget_pages")
    assert crawl.service.is_finished
    assert len(crawl.fetched()) == 2


def _report(lease: int, ref: bytes, outcome: Outcome) -> Report:
    return Report(lease=lease, ref=ref, outcome=outcome, status=404 if outcome is Outcome.HTTP_ERROR else 200)


# Bytes and time, of the crawl and of a host


def reasons(crawl: CoreCrawl) -> dict[str, str]:
    """Return why pages are dropped, by their paths."""
    rows = crawl.store.walk(0, 10_000)
    return {row.url.removeprefix("http://"): row.reason for row in rows if row.state is TaskState.DROPPED}


def begun(*seeds: str, **policy: Any) -> CoreCrawl:
    crawl = CoreCrawl(*seeds, retries=0, **policy)
    crawl.hello("s")
    crawl.open_gates()
    return crawl


def test_nothing_is_granted_once_the_bytes_are_spent_and_what_is_under_way_ends_as_it_does() -> None:
    crawl = begun(*(f"http://a.test/{number}" for number in range(3)), size_bytes=1_000)
    (lease, one), (_, two) = crawl.ask(want=2)
    crawl.settle(lease, one, outcome=Outcome.HTTP_ERROR, status=404, size_bytes=999)
    crawl.settle(lease, two, size_bytes=1)
    assert crawl.service.is_finished
    assert crawl.fetched() == {two.url}
    assert reasons(crawl) == {"a.test/2": "budget_bytes"}
    assert crawl.store.ledger().pages_reserved == 0


def test_what_is_left_at_the_end_of_the_time_is_dropped_and_a_late_page_still_counts() -> None:
    crawl = begun("http://a.test/1", "http://a.test/2", time_s=60.0, tasks_per_lease=1, per_host=1)
    ((lease, task),) = crawl.ask()
    crawl.pass_time(59.0)
    assert reasons(crawl) == {}
    crawl.hello("s")
    crawl.now = 60.0
    crawl.settle(lease, task, outlinks=("http://a.test/3",))
    assert crawl.fetched() == {task.url}
    assert reasons(crawl) == {"a.test/2": "budget_time", "a.test/3": "budget_time"}
    assert crawl.service.is_finished


def test_a_lost_page_gives_its_place_back_when_the_time_is_over() -> None:
    crawl = begun("http://a.test/1", time_s=20.0, pages=1)
    crawl.ask()
    crawl.pass_time(crawl.policy.lease_s)
    crawl.pass_time(20.0)
    assert reasons(crawl) == {"a.test/1": "budget_time"}
    assert crawl.store.ledger().pages_reserved == 0


def test_pages_of_a_host_are_fetched_exactly_and_other_hosts_go_on() -> None:
    seeds = [f"http://{host}.test/{number}" for host in "ab" for number in range(4)]
    crawl = begun(*seeds, host_budget=Budget(pages=2), per_host=8)
    granted = crawl.ask()
    assert sorted(all_of(granted)) == ["http://a.test/0", "http://a.test/1", "http://b.test/0", "http://b.test/1"]
    (lease, failed), *others = granted
    crawl.settle(lease, failed, outcome=Outcome.HTTP_ERROR, status=404)
    for lease, task in others:
        crawl.settle(lease, task)
    crawl.pass_time(1.0)
    ((lease, last),) = crawl.ask()
    assert last.url == "http://a.test/2"
    crawl.settle(lease, last)
    crawl.ask()
    assert crawl.service.is_finished
    assert len(crawl.fetched()) == 4
    dropped = {"a.test/3", "b.test/2", "b.test/3"}
    assert reasons(crawl) == dict.fromkeys(dropped, "budget_host_pages")
    assert crawl.host("a.test").pages_reserved == crawl.host("b.test").pages_reserved == 0


def test_bytes_of_a_host_are_its_own() -> None:
    seeds = ("http://a.test/1", "http://a.test/2", "http://b.test/1")
    crawl = begun(*seeds, host_budget=Budget(size_bytes=10), per_host=1, tasks_per_lease=1, tasks_per_slot=1)
    for lease, task in crawl.ask():
        crawl.settle(lease, task, size_bytes=10 if "a.test" in task.url else 9)
    crawl.ask()
    assert crawl.service.is_finished
    assert reasons(crawl) == {"a.test/2": "budget_host_bytes"}


def test_time_of_a_host_begins_with_its_first_grant() -> None:
    crawl = CoreCrawl(
        "http://a.test/1", "http://a.test/2", host_budget=Budget(time_s=30.0), tasks_per_lease=1, per_host=1
    )
    crawl.pass_time(100.0)
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    crawl.pass_time(10.0)
    crawl.settle(lease, task)
    crawl.now += 20.0
    assert crawl.ask() == []
    assert reasons(crawl) == {"a.test/2": "budget_host_time"}
    assert crawl.service.is_finished


def test_suspects_of_a_spent_host_are_dropped_too() -> None:
    crawl = begun("http://a.test/1", host_budget=Budget(time_s=20.0))
    ((lease, task),) = crawl.ask()
    crawl.turn(started=((lease.id, task.ref),))
    crawl.pass_time(crawl.policy.lease_s)
    assert crawl.task("http://a.test/1").alone
    crawl.pass_time(20.0)
    crawl.hello("t")
    assert crawl.ask("t") == []
    assert reasons(crawl) == {"a.test/1": "budget_host_time"}
    assert crawl.service.is_finished


def test_a_spent_host_whose_robots_txt_is_asked_for_again_does_not_fall_asleep() -> None:
    crawl = begun("http://a.test/1", host_budget=Budget(pages=1), robots_fresh_s=5.0)
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task)
    crawl.pass_time(10.0)
    crawl.service.put("http://a.test/2", crawl.now)
    for _ in range(2):
        for lease, task in crawl.ask():
            crawl.settle(lease, task)
        crawl.pass_time(1.0)
    assert reasons(crawl) == {"a.test/2": "budget_host_pages"}
    assert crawl.service.is_finished


def test_more_than_one_turn_can_drop_is_dropped_in_several() -> None:
    seeds = [f"http://a.test/{number}" for number in range(2_500)]
    crawl = begun(*seeds, host_budget=Budget(pages=1), per_host=1, tasks_per_lease=1)
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task)
    for _ in range(4):
        crawl.pass_time(0.2)
        crawl.ask()
    assert crawl.service.is_finished
    assert len(reasons(crawl)) == 2_499


def test_a_spent_host_still_gives_the_robots_txt_of_another_that_redirects_there_after_a_loss() -> None:
    crawl = CoreCrawl("http://a.test/1", "http://b.test/1", host_budget=Budget(pages=1))
    crawl.hello("s")
    gates = {task.url: (lease, task) for lease, task in crawl.ask()}
    crawl.settle(*gates["http://a.test/robots.txt"], outcome=Outcome.HTTP_ERROR, status=404)
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page)
    moved: dict[str, Any] = {"outcome": Outcome.REDIRECTED, "status": 301, "location": "http://a.test/rules.txt"}
    crawl.settle(*gates["http://b.test/robots.txt"], **moved)
    ((lease, rules),) = crawl.ask()
    crawl.turn(started=((lease.id, rules.ref),))
    crawl.hello("t", replaces="s")
    assert all_of(crawl.ask("t")) == [rules.url]


def test_a_body_that_came_with_another_status_does_not_count() -> None:
    crawl = with_a_page_granted()
    (lease,) = crawl.store.leases_of("s")
    report = Report(lease=lease.id, ref=lease.refs[0], outcome=Outcome.EXTRACT_ERROR, status=404)
    crawl.turn(reports=(report,))
    assert all_of(crawl.ask()) == ["http://a.test/near"]


def test_pages_of_a_host_count_against_its_budget_too_and_one_that_is_taken_up_again_counts_once() -> None:
    crawl = begun("http://a.test/1", "http://a.test/2", host_budget=Budget(pages=1))
    ((lease, task),) = crawl.ask(want=1)
    failed: dict[str, Any] = {"outcome": Outcome.EXTRACT_ERROR, "status": 200, "reason": "hook_disk"}
    crawl.settle(lease, task, **failed)
    assert crawl.host("a.test").pages_fetched == 1
    assert crawl.ask() == []
    assert reasons(crawl) == {"a.test/2": "budget_host_pages"}
    for again, _ in taken_up(crawl.service, crawl.store):
        crawl.go_through(again)
    assert (crawl.host("a.test").pages_fetched, crawl.store.ledger().pages_unused) == (0, 0)
    ((lease, task),) = crawl.ask(want=1)
    crawl.settle(lease, task)
    assert (crawl.host("a.test").pages_fetched, crawl.store.ledger().pages_unused) == (1, 0)
