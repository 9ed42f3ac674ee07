"""What a report does, and which reports count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Kind, Lease, Outcome, Report, Row, Task
from crawlfleet.shared.reasons import Reason
from tests.unit.core_crawl import SEED, CoreCrawl, all_of

ROBOTS = "http://a.test/robots.txt"


def granted(crawl: CoreCrawl) -> tuple[Lease, Task]:
    """Open the gates and return the one page that is granted."""
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    return lease, task


def test_a_rejected_row_is_no_row_of_its_page_and_stands_apart_in_the_result() -> None:
    crawl = CoreCrawl(SEED)
    lease, task = granted(crawl)
    good = Row(item="i", index=0, fields={"n": 1})
    bad = Row(item="i", index=0, fields={"n": None}, rejected="n is required, and empty")
    crawl.settle(lease, task, rows=(bad, good))
    (result,) = crawl.store.results(0, 9)
    assert (result.rows, result.rejected) == ((good,), (bad,))
    assert crawl.store.ledger().rows == 1


def test_a_page_that_wants_no_rows_is_done_and_counted_as_such() -> None:
    crawl = CoreCrawl("http://a.test/1", "http://a.test/2")
    crawl.hello("s")
    crawl.open_gates()
    (lease, one), (_, two) = crawl.ask()
    crawl.settle(lease, one, reason="noindex", outlinks=("http://a.test/3",))
    crawl.settle(lease, two)
    assert (crawl.task(one.url).state, crawl.task(one.url).reason) == (TaskState.DONE, "noindex")
    assert crawl.knows("http://a.test/3")
    assert one.url in crawl.fetched()
    numbers = count(crawl.store, job="test", elapsed_s=0.0, robots_wait_s=0.0)
    assert (numbers.reasons, numbers.done) == ({"noindex": 1}, 2)


# Retries


NETWORK_REASONS = {
    **dict.fromkeys(
        (
            "dns_failed",
            "dns_unavailable",
            "dns_timeout",
            "connect",
            "no_route",
            "timeout_connect",
            "timeout_first_byte",
            "timeout_total",
            "reset",
        ),
        True,
    ),
    **dict.fromkeys(("tls", "tls_expired", "tls_untrusted", "tls_wrong_host"), True),
    **dict.fromkeys(("head_truncated", "body_truncated", "bad_status_line", "bad_header", "bad_framing"), True),
    **dict.fromkeys(("bad_encoding",), True),
    **dict.fromkeys(("head_too_large",), False),
}
# They have outcomes of their own, or are never reported: the task goes back.
OTHER_FAILURES = {"body_too_large", "internal_error", "no_descriptors", "private_address"}


@pytest.mark.parametrize(("reason", "again"), NETWORK_REASONS.items())
def test_each_class_of_failed_fetch_is_tried_again_or_not(reason: str, again: bool) -> None:
    crawl = CoreCrawl(retries=1)
    crawl.settle(*granted(crawl), outcome=Outcome.NETWORK_ERROR, reason=reason)
    assert (crawl.task().state is TaskState.PENDING) == again
    assert crawl.task().reason == reason
    assert crawl.store.ledger().retried == ({reason: 1} if again else {})


def test_every_reason_that_a_fetch_may_have_is_classed() -> None:
    source = "".join(path.read_text() for path in (Path(__file__).parents[2] / "worker/fetch").glob("*.py"))
    reasons = {Reason[name].value for name in re.findall(r"\bReason\.([A-Z_]+)", source)}
    assert reasons == NETWORK_REASONS.keys() | OTHER_FAILURES


def test_retries_are_spent_one_by_one_and_then_the_page_failed_for_its_last_reason() -> None:
    crawl = CoreCrawl(retries=2, retry_base_s=1.0)
    lease, task = granted(crawl)
    for attempt in range(3):
        assert task.attempt == attempt
        crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=500, reason=f"http_500_{attempt}")
        crawl.pass_time(6.0)
        crawl.turn()
        tasks = crawl.ask()
        lease, task = tasks[0] if tasks else (lease, task)
    page = crawl.task()
    assert (page.state, page.reason, page.attempt) == (TaskState.FAILED, "http_500_2", 2)
    assert crawl.service.is_finished


# Robots


def test_robots_txt_is_asked_again_while_it_may_pass_and_its_pages_wait() -> None:
    crawl = CoreCrawl(retries=1)
    crawl.hello("s")
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=500)
    crawl.pass_time(2.0)
    ((lease, task),) = crawl.ask()
    assert (task.kind, task.attempt) == (Kind.ROBOTS, 1)
    crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=404)
    assert all_of(crawl.ask()) == [SEED]


def test_a_redirected_robots_txt_is_followed_five_times_and_then_there_are_no_rules() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    for hop in range(6):
        ((lease, task),) = crawl.ask()
        assert task.kind is Kind.ROBOTS, hop
        location = f"http://b.test/{hop}"
        crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location=location)
    assert all_of(crawl.ask()) == [SEED]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_redirected_once_is_not_fetched_again_for_a_later_link(status: int) -> None:
    crawl = CoreCrawl(SEED, "http://a.test/other")
    crawl.hello("s")
    crawl.open_gates()
    moved, other = sorted(crawl.ask(), key=lambda granted: granted[1].url)
    crawl.settle(*moved, outcome=Outcome.REDIRECTED, status=status, location="http://a.test/target")
    crawl.settle(*other, outlinks=(SEED,))
    assert [task.url for _, task in crawl.ask()] == ["http://a.test/target"]
    assert crawl.task().state is TaskState.DONE


def test_ten_hops_are_followed_and_no_more() -> None:
    crawl = CoreCrawl()
    lease, task = granted(crawl)
    for hop in range(11):
        assert len(crawl.task(task.url).hops) == hop
        crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location=f"http://a.test/{hop}")
        lease, task = next(iter(crawl.ask()), (lease, task))
    last = crawl.task("http://a.test/9")
    assert (last.state, last.reason, len(last.hops)) == (TaskState.FAILED, "too_many_redirects", 10)


def test_where_a_seed_redirects_to_joins_the_scope_and_the_session_hears_of_it() -> None:
    crawl = CoreCrawl(scope=ScopeSpec(hosts=("a.test",)))
    lease, task = granted(crawl)
    report = Report(lease=lease.id, ref=task.ref, outcome=Outcome.REDIRECTED, location="http://www.a.test/")
    scope = crawl.turn(reports=(report,)).scope
    assert scope is not None
    assert scope.hosts == ("a.test", "www.a.test")
    assert crawl.turn().scope is None
    assert crawl.task("http://www.a.test/").state is TaskState.PENDING


def test_where_another_page_redirects_to_does_not_join_the_scope_but_can_be_explained() -> None:
    crawl = CoreCrawl(scope=ScopeSpec(hosts=("a.test",)))
    lease, task = granted(crawl)
    crawl.settle(lease, task, outlinks=("http://a.test/out",))
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location="http://x.test/")
    target = crawl.task("http://x.test/")
    assert (target.state, target.reason) == (TaskState.DROPPED, "host")
