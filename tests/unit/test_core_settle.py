"""What a report does, and which reports count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.core import retry
from crawlfleet.coordinator.core.rows import Gate, LedgerRow, OriginRow, TaskState
from crawlfleet.shared.messages import AckState, Kind, Lease, Outcome, Report, ScopeSpec, Task
from crawlfleet.shared.reasons import Reason
from tests.unit.core_crawl import POLICY, SEED, CoreCrawl, all_of

ROBOTS = "http://a.test/robots.txt"


def granted(crawl: CoreCrawl) -> tuple[Lease, Task]:
    """Open the gates and return the one page that is granted."""
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    return lease, task


def test_a_report_under_no_lease_is_stale_even_for_a_task_that_nobody_holds() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    report = Report(lease=0, ref=crawl.task().ref, outcome=Outcome.FETCHED, status=200)
    assert crawl.turn(reports=(report,)).acks[0].state is AckState.STALE
    assert crawl.task(SEED).state is TaskState.PENDING
    assert not crawl.fetched()


def test_an_accepted_report_that_comes_again_gets_the_same_ack_and_changes_nothing() -> None:
    crawl = CoreCrawl()
    lease, task = granted(crawl)
    assert crawl.settle(lease, task, outlinks=("http://a.test/x",)) is AckState.OK
    seen = len(crawl.changes)
    assert crawl.settle(lease, task, outlinks=("http://a.test/y",)) is AckState.OK
    assert len(crawl.changes) == seen
    assert not crawl.knows("http://a.test/y")


def test_acks_come_in_the_order_of_the_reports() -> None:
    crawl = CoreCrawl("http://a.test/1", "http://a.test/2")
    crawl.hello("s")
    crawl.open_gates()
    (lease, one), (_, two) = crawl.ask()
    reports = tuple(Report(lease=lease.id, ref=ref, outcome=Outcome.FETCHED) for ref in (two.ref, b"?", one.ref))
    acks = crawl.turn(reports=reports).acks
    assert [(ack.ref, ack.state) for ack in acks] == [
        (two.ref, AckState.OK),
        (b"?", AckState.REJECTED),
        (one.ref, AckState.OK),
    ]


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


@pytest.mark.parametrize(
    ("outcome", "status", "again"),
    [
        (Outcome.NETWORK_ERROR, 0, True),
        (Outcome.HTTP_ERROR, 206, True),
        (Outcome.HTTP_ERROR, 304, True),
        (Outcome.HTTP_ERROR, 408, True),
        (Outcome.HTTP_ERROR, 425, True),
        (Outcome.HTTP_ERROR, 429, True),
        (Outcome.HTTP_ERROR, 500, True),
        (Outcome.HTTP_ERROR, 503, True),
        (Outcome.HTTP_ERROR, 404, False),
        (Outcome.HTTP_ERROR, 410, False),
        (Outcome.HTTP_ERROR, 501, False),
        (Outcome.HTTP_ERROR, 505, False),
        (Outcome.TOO_LARGE, 200, False),
        (Outcome.DENIED, 0, False),
        (Outcome.EXTRACT_ERROR, 200, False),
        (Outcome.REPORT_TOO_LARGE, 200, False),
        (Outcome.INTERNAL_ERROR, 0, False),
    ],
)
def test_only_what_may_pass_is_tried_again(outcome: Outcome, status: int, again: bool) -> None:
    crawl = CoreCrawl(retries=1)
    lease, task = granted(crawl)
    crawl.settle(lease, task, outcome=outcome, status=status)
    assert crawl.task().state is (TaskState.PENDING if again else TaskState.FAILED)


NETWORK_REASONS = {
    **dict.fromkeys(("dns", "connect", "timeout_connect", "timeout_first_byte", "timeout_total", "reset"), True),
    **dict.fromkeys(("tls", "tls_expired", "tls_untrusted", "tls_wrong_host"), True),
    **dict.fromkeys(("head_truncated", "body_truncated", "bad_status_line", "bad_header", "bad_framing"), True),
    **dict.fromkeys(("bad_encoding",), True),
    **dict.fromkeys(("head_too_large",), False),
}
OTHER_FAILURES = {"body_too_large", "internal_error"}  # they have outcomes of their own


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


def test_a_worker_cannot_make_up_any_number_of_reasons() -> None:
    ledger = LedgerRow()
    for number in range(300):
        ledger = retry.counted(ledger, f"made_up_{number}")
    assert (ledger.retries, len(ledger.retried), sum(ledger.retried.values())) == (300, 101, 300)


def test_retries_are_spent_one_by_one_and_then_the_page_failed_for_its_last_reason() -> None:
    crawl = CoreCrawl(retries=2, retry_base_s=1.0)
    lease, task = granted(crawl)
    for attempt in range(3):
        assert task.attempt == attempt
        crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=500, reason=f"http_500 {attempt}")
        crawl.pass_time(6.0)
        crawl.turn()
        tasks = crawl.ask()
        lease, task = tasks[0] if tasks else (lease, task)
    page = crawl.task()
    assert (page.state, page.reason, page.attempt) == (TaskState.FAILED, "http_500 2", 2)
    assert crawl.service.is_finished


def test_the_pause_doubles_within_a_quarter_and_up_to_its_limit() -> None:
    for number in range(50):
        ref = number.to_bytes(16, "big")
        pauses = [retry.backoff_s(POLICY, ref, attempt) for attempt in range(60)]
        for attempt, pause in enumerate(pauses):
            whole = min(POLICY.tuning.retry_max_s, POLICY.tuning.retry_base_s * 2.0 ** min(attempt, 40))
            assert 0.75 * whole <= pause <= 1.25 * whole
        assert pauses == [retry.backoff_s(POLICY, ref, attempt) for attempt in range(60)]


def test_pauses_of_different_tasks_differ() -> None:
    assert len({retry.backoff_s(POLICY, number.to_bytes(16, "big"), 0) for number in range(100)}) == 100


# Robots


@pytest.mark.parametrize(
    ("outcome", "status", "gate"),
    [
        (Outcome.FETCHED, 200, Gate.RULES),
        (Outcome.HTTP_ERROR, 404, Gate.ALLOW),
        (Outcome.HTTP_ERROR, 401, Gate.ALLOW),
        (Outcome.HTTP_ERROR, 403, Gate.ALLOW),
        (Outcome.HTTP_ERROR, 429, Gate.DISALLOW),
        (Outcome.HTTP_ERROR, 500, Gate.DISALLOW),
        (Outcome.NETWORK_ERROR, 0, Gate.DISALLOW),
        (Outcome.DENIED, 0, Gate.DISALLOW),
    ],
)
def test_what_became_of_robots_txt_opens_or_closes_the_origin(outcome: Outcome, status: int, gate: Gate) -> None:
    crawl = CoreCrawl(retries=0, retry_base_s=0.1, robots_wait_s=0.0)
    crawl.hello("s")
    ((lease, task),) = crawl.ask()
    assert (task.kind, task.url) == (Kind.ROBOTS, ROBOTS)
    crawl.settle(lease, task, outcome=outcome, status=status)
    assert crawl.store.rows(OriginRow, ["http://a.test"])["http://a.test"].gate is gate
    crawl.pass_time(1.0)
    pages = crawl.ask()
    assert bool(pages) is (gate is not Gate.DISALLOW)
    if not pages:
        assert (crawl.task().state, crawl.task().reason) == (TaskState.DROPPED, "robots_unreachable")
        assert crawl.service.is_finished


def test_pages_that_robots_txt_refuses_are_dropped_and_never_granted() -> None:
    crawl = CoreCrawl("http://a.test/open", "http://a.test/private/x")
    crawl.hello("s")
    crawl.open_gates(status=200, body=b"User-agent: bot\nDisallow: /private/\n")
    assert all_of(crawl.ask()) == ["http://a.test/open"]
    assert (crawl.task("http://a.test/private/x").reason) == "robots"


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


def test_an_absurd_crawl_delay_is_bounded() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.open_gates(status=200, body=b"User-agent: *\nCrawl-delay: 86400\n")
    assert crawl.host().delay_s == 60.0


# Redirects


def test_a_redirect_is_done_and_its_target_keeps_depth_and_chain() -> None:
    crawl = CoreCrawl()
    lease, task = granted(crawl)
    crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=302, location="http://a.test/2")
    target = crawl.task("http://a.test/2")
    assert (crawl.task().state, target.depth, target.hops) == (TaskState.DONE, 0, (SEED,))
    assert not crawl.fetched()


def test_a_redirect_loop_fails_and_says_so() -> None:
    crawl = CoreCrawl()
    lease, task = granted(crawl)
    crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=302, location="http://a.test/2")
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=302, location=SEED)
    assert (crawl.task("http://a.test/2").state, crawl.task("http://a.test/2").reason) == (
        TaskState.FAILED,
        "redirect_loop",
    )


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


def test_redirects_end_at_their_limit() -> None:
    crawl = CoreCrawl(max_hops=2)
    lease, task = granted(crawl)
    for hop in range(3):
        crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=302, location=f"http://a.test/{hop}")
        lease, task = next(iter(crawl.ask()), (lease, task))
    assert crawl.task("http://a.test/1").reason == "too_many_redirects"
    assert not crawl.knows("http://a.test/2")


@pytest.mark.parametrize("location", ["", "nonsense", "ftp://a.test/", "http://A.test/", "http://a.test/#x"])
def test_a_redirect_to_what_is_no_canonical_address_fails(location: str) -> None:
    crawl = CoreCrawl()
    lease, task = granted(crawl)
    crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=302, location=location)
    assert (crawl.task().state, crawl.task().reason) == (TaskState.FAILED, "redirect_invalid")


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


def test_a_page_of_an_unwanted_content_type_is_dropped_for_it_and_costs_no_place() -> None:
    crawl = CoreCrawl(pages=1)
    lease, task = granted(crawl)
    crawl.settle(lease, task, outcome=Outcome.DENIED, reason="content_type", content_type="application/pdf")
    row = crawl.task()
    assert (row.state, row.reason, row.outcome) == (TaskState.DROPPED, "content_type", Outcome.DENIED)
    assert crawl.store.ledger().pages_reserved == 0
    assert crawl.service.is_finished
    assert not crawl.fetched()


# What a worker must not claim


def test_links_that_are_not_canonical_or_out_of_scope_make_no_task() -> None:
    crawl = CoreCrawl(scope=ScopeSpec(hosts=("a.test",), exclude=("/private/",)))
    lease, task = granted(crawl)
    lies = ("http://x.test/", "http://A.test/a", "http://a.test/b/../c", "nonsense", "http://a.test/private/x", "")
    crawl.settle(lease, task, outlinks=(*lies, "http://a.test/ok"))
    assert crawl.knows("http://a.test/ok")
    assert not any(crawl.knows(link) for link in lies)


def test_links_beyond_the_cap_are_left_out() -> None:
    crawl = CoreCrawl(max_outlinks=2)
    lease, task = granted(crawl)
    crawl.settle(lease, task, outlinks=tuple(f"http://a.test/{number}" for number in range(3)))
    assert [crawl.knows(f"http://a.test/{number}") for number in range(3)] == [True, True, False]


def test_links_of_a_page_whose_extraction_failed_are_followed() -> None:
    crawl = CoreCrawl()
    lease, task = granted(crawl)
    crawl.settle(lease, task, outcome=Outcome.EXTRACT_ERROR, outlinks=("http://a.test/x",))
    assert crawl.task().state is TaskState.FAILED
    assert all_of(crawl.ask()) == ["http://a.test/x"]
