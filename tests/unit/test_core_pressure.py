"""What a host's answers make of its delay, and what a page is forgiven because its host is busy."""

from __future__ import annotations

import math
from typing import Any

import pytest

from crawlfleet.coordinator.core import pressure
from crawlfleet.coordinator.core.rows import HostRow, TaskRow, TaskState
from crawlfleet.shared.messages import Kind, Lease, Outcome, Report, Task
from tests.unit.core_crawl import POLICY, SEED, CoreCrawl

PAGES = tuple(f"http://a.test/{number}" for number in range(60))
BUSY: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 429}


def ready(*seeds: str, **policy: Any) -> CoreCrawl:
    crawl = CoreCrawl(*(seeds or PAGES), **policy)
    crawl.hello("s")
    crawl.open_gates()
    return crawl


def granted(crawl: CoreCrawl, within_s: float = 10_000.0) -> tuple[Lease, Task]:
    """Return the next page, once there is one."""
    until = crawl.now + within_s
    while crawl.now < until:
        if tasks := crawl.ask(want=1):
            crawl.now += tasks[0][1].start_after_s
            return tasks[0]
        crawl.pass_time(0.5)
    raise AssertionError("nothing is granted")


def answered(crawl: CoreCrawl, **report: Any) -> None:
    """Let the next page be fetched, with this for its answer."""
    crawl.settle(*granted(crawl), **report)


def report(**values: object) -> Report:
    return Report(lease=1, ref=b"r", **{"outcome": Outcome.FETCHED, "status": 200, **values})  # type: ignore[arg-type]  # fields of a test


def test_a_host_that_answers_fast_is_never_slowed() -> None:
    crawl = ready(delay_s=0.0)
    for _ in range(20):
        answered(crawl, elapsed_s=0.9)
    assert crawl.host().delay_s == 0.0


def test_one_slow_answer_is_not_enough() -> None:
    crawl = ready(delay_s=0.0)
    answered(crawl, elapsed_s=3.9)
    assert crawl.host().delay_s == 0.0


def test_a_host_that_answers_slowly_is_idle_half_of_the_time() -> None:
    crawl = ready(delay_s=0.0, per_host=1)
    for _ in range(20):
        answered(crawl, elapsed_s=3.0)
    assert 6.0 - 0.1 <= crawl.host().delay_s <= 6.0 * 1.25
    for _ in range(30):
        answered(crawl, elapsed_s=0.1)
    assert crawl.host().delay_s < 1.0


def test_a_slow_host_that_may_be_asked_several_times_at_once_gets_its_share_of_that() -> None:
    crawl = ready(delay_s=0.0, per_host=4)
    for _ in range(20):
        answered(crawl, elapsed_s=4.0)
    assert 2.0 - 0.1 <= crawl.host().delay_s <= 2.0 * 1.25


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_answer_doubles_the_delay_and_good_ones_take_it_back_slowly(status: int) -> None:
    crawl = ready(delay_s=2.0)
    answered(crawl, outcome=Outcome.HTTP_ERROR, status=status)
    assert crawl.host().delay_s == 4.0
    answered(crawl, outcome=Outcome.HTTP_ERROR, status=status)
    assert crawl.host().delay_s == 8.0
    delays = []
    for _ in range(20):
        answered(crawl)
        delays.append(crawl.host().delay_s)
    assert delays[0] == pytest.approx(7.2)
    assert delays == sorted(delays, reverse=True)
    assert delays[-1] == 2.0


def test_an_undelayed_host_that_is_too_busy_gets_a_delay_and_loses_it_again() -> None:
    crawl = ready(delay_s=0.0)
    answered(crawl, **BUSY)
    assert crawl.host().delay_s == 1.0
    for _ in range(29):
        answered(crawl)
    assert crawl.host().delay_s == 0.0


def test_what_was_asked_before_the_delay_was_doubled_does_not_double_it_again() -> None:
    crawl = ready(delay_s=0.0)
    (lease, *_), *_ = tasks = crawl.ask(want=4)
    crawl.pass_time(1.0)
    for _, task in tasks:
        crawl.settle(lease, task, age_s=1.0, **BUSY)
    assert crawl.host().delay_s == 1.0
    assert crawl.host().refusals == 1


def test_a_delay_never_grows_beyond_its_limit() -> None:
    crawl = ready(delay_s=1.0, max_delay_s=5.0)
    for _ in range(5):
        answered(crawl, elapsed_s=20.0, **BUSY)
    assert crawl.host().delay_s == 5.0


def test_a_job_may_do_without_all_this() -> None:
    crawl = ready(delay_s=1.0, adaptive=False)
    answered(crawl, elapsed_s=30.0, **BUSY)
    assert crawl.host().delay_s == 1.0


@pytest.mark.parametrize("elapsed_s", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_an_impossible_duration_does_not_spoil_the_host(elapsed_s: float) -> None:
    host = pressure.heard(HostRow(key="a.test", delay_s=0.0), report(elapsed_s=elapsed_s), 0.0, POLICY, 0.0)
    assert 0.0 <= host.latency_s <= pressure.LONGEST_S
    for _ in range(100):
        host = pressure.heard(host, report(), 0.0, POLICY, 0.0)
    assert host.adaptive_s <= 1.0


def test_a_page_does_not_fail_because_its_host_is_busy() -> None:
    crawl = ready(SEED, delay_s=0.0, retries=0, patience=3)
    for _ in range(3):
        answered(crawl, **BUSY)
        assert crawl.task().state is TaskState.PENDING
    answered(crawl)
    assert crawl.task().state is TaskState.DONE


def test_a_page_that_is_always_refused_fails_in_the_end() -> None:
    crawl = ready(SEED, delay_s=0.0, retries=1, patience=3)
    for _ in range(5):
        answered(crawl, reason="http_429", **BUSY)
    page = crawl.task()
    assert (page.state, page.reason, page.refusals, page.attempt) == (TaskState.FAILED, "http_429", 3, 1)


def test_a_host_that_is_always_busy_does_not_use_up_the_patience_for_each_of_its_pages() -> None:
    crawl = ready(*PAGES[:10], delay_s=0.0, retries=0, patience=5)
    answers = 0
    while not crawl.service.is_finished:
        answered(crawl, **BUSY)
        answers += 1
    assert answers == 5 + 10


def test_503_without_a_time_is_an_attempt_like_another() -> None:
    crawl = ready(SEED, delay_s=0.0, retries=0)
    answered(crawl, outcome=Outcome.HTTP_ERROR, status=503)
    assert crawl.task().state is TaskState.FAILED


@pytest.mark.parametrize(("asked_s", "held_s"), [(30.0, 30.0), (0.0, 0.0), (1e9, 3_600.0), (None, 0.0)])
def test_a_redirect_may_hold_its_host(asked_s: float | None, held_s: float) -> None:
    crawl = ready(SEED, delay_s=0.0)
    answered(crawl, outcome=Outcome.REDIRECTED, status=302, location="http://b.test/", retry_after_s=asked_s)
    assert max(0.0, crawl.host().hold_until - crawl.now) == pytest.approx(held_s)


@pytest.mark.parametrize(
    ("asked_s", "least_s", "most_s"),
    [(None, 0.75, 1.25), (0.0, 0.75, 1.25), (30.0, 30.0, 30.0), (1e9, 3_600.0, 3_600.0)],
)
def test_a_hold_is_what_the_server_asks_for_within_bounds(asked_s: float | None, least_s: float, most_s: float) -> None:
    crawl = ready(SEED, delay_s=0.0, retry_base_s=1.0)
    answered(crawl, retry_after_s=asked_s, **BUSY)
    assert least_s <= crawl.host().hold_until - crawl.now <= most_s


def test_a_host_of_an_older_crawl_keeps_its_delay() -> None:
    crawl = ready(delay_s=1.0)
    assert crawl.host().asked_s == 0.0
    old = HostRow(key="old.test", delay_s=5.0)
    after = pressure.heard(old, report(), 0.0, POLICY, 0.0)
    assert (after.delay_s, after.asked_s) == (5.0, None)


def test_a_robots_txt_that_is_refused_is_no_page() -> None:
    crawl = CoreCrawl(SEED, delay_s=0.0, retries=0)
    crawl.hello("s")
    ((lease, task),) = crawl.ask()
    assert task.kind is Kind.ROBOTS
    crawl.settle(lease, task, **BUSY)
    assert crawl.store.rows(TaskRow, [task.ref])[task.ref].refusals == 0
