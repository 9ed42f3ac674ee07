"""How long a robots.txt is kept, what happens when it cannot be had, and whose robots.txt is not asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from crawlfleet.coordinator.core.changes import Put
from crawlfleet.coordinator.core.rows import Gate, OriginRow, TaskRow, succeed
from crawlfleet.shared.messages import Kind, Lease, Outcome, Task
from crawlfleet.shared.web.urls import fingerprint
from tests.unit.core_crawl import SEED, CoreCrawl, all_of

ORIGIN = "http://a.test"
ROBOTS = f"{ORIGIN}/robots.txt"
DAY_S = 86_400.0
OPEN = b"User-agent: *\nDisallow: /private/\n"
CLOSED = b"User-agent: *\nDisallow: /\n"


def origin(crawl: CoreCrawl, name: str = ORIGIN) -> OriginRow:
    return crawl.store.rows(OriginRow, [name])[name]


def robots_task(crawl: CoreCrawl, url: str = ROBOTS, serves: str = ORIGIN) -> TaskRow:
    ref = fingerprint(Kind.ROBOTS, serves, url)
    return crawl.store.rows(TaskRow, [ref])[ref]


def fail(crawl: CoreCrawl) -> None:
    """Let every robots.txt that is granted now fail."""
    for lease, task in crawl.ask():
        assert task.kind is Kind.ROBOTS, task
        crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, reason="timeout_connect")


def grow(crawl: CoreCrawl, *urls: str) -> None:
    """Find further pages."""
    for url in urls:
        crawl.service.put(url, crawl.now)
    crawl.service.flush(crawl.now)


def started(crawl: CoreCrawl, **report: Any) -> CoreCrawl:
    """Let a session join, and settle the robots.txt of the seed's origin."""
    crawl.hello("s")
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, **({"body": OPEN} | report))
    return crawl


def later(crawl: CoreCrawl, seconds: float) -> None:
    """Let time pass, and the session say hello again after that."""
    crawl.pass_time(seconds)
    crawl.hello("s")


def kinds(tasks: list[tuple[Lease, Task]]) -> list[Kind]:
    return [task.kind for _, task in tasks]


# Kept for a day


def test_robots_txt_is_asked_for_again_after_a_day_when_a_page_is_to_be_granted_and_not_before() -> None:
    crawl = started(CoreCrawl())
    for lease, task in crawl.ask():
        crawl.settle(lease, task)
    later(crawl, DAY_S + 1)
    assert crawl.service.is_finished
    assert crawl.ask() == []
    grow(crawl, f"{ORIGIN}/1", f"{ORIGIN}/2")
    assert all_of(crawl.ask()) == [ROBOTS]


@pytest.mark.parametrize(
    ("fresh_s", "kept_s"), [(None, DAY_S), (7_200.0, 7_200.0), (1e9, DAY_S), (0.0, 600.0), (1.0, 600.0)]
)
@pytest.mark.parametrize(("outcome", "status"), [(Outcome.FETCHED, 200), (Outcome.HTTP_ERROR, 404)])
def test_cache_control_shortens_the_day_but_not_below_ten_minutes(
    fresh_s: float | None, kept_s: float, outcome: Outcome, status: int
) -> None:
    crawl = started(CoreCrawl(), fresh_s=fresh_s, outcome=outcome, status=status)
    assert origin(crawl).expires_at == crawl.now + kept_s
    for lease, task in crawl.ask():
        crawl.settle(lease, task)
    later(crawl, kept_s - 1)
    grow(crawl, f"{ORIGIN}/1")
    ((lease, task),) = crawl.ask()
    assert task.kind is Kind.PAGE
    crawl.settle(lease, task)
    later(crawl, 2)
    grow(crawl, f"{ORIGIN}/2")
    assert all_of(crawl.ask()) == [ROBOTS]


def test_a_host_that_is_rarely_asked_gives_pages_between_two_robots_txt() -> None:
    crawl = started(CoreCrawl(*[f"{ORIGIN}/{number}" for number in range(12)], delay_s=7_200.0), fresh_s=0.0)
    asked = []
    while not crawl.service.is_finished:
        later(crawl, 3_600.0)
        for lease, task in crawl.ask():
            asked.append(task.kind)
            crawl.settle(lease, task, body=OPEN if task.kind is Kind.ROBOTS else b"")
    assert asked.count(Kind.ROBOTS) == 1
    assert asked.count(Kind.PAGE) == 12


def test_pages_wait_for_the_new_answer_and_go_by_it() -> None:
    crawl = started(CoreCrawl(SEED, f"{ORIGIN}/1"))
    later(crawl, DAY_S)
    ((lease, task),) = crawl.ask()
    assert task.kind is Kind.ROBOTS
    assert crawl.ask() == []
    crawl.settle(lease, task, body=CLOSED)
    assert crawl.ask() == []
    assert [crawl.task(url).reason for url in (SEED, f"{ORIGIN}/1")] == ["robots", "robots"]
    assert crawl.service.is_finished


def test_it_is_asked_for_once_for_the_fleet() -> None:
    crawl = started(CoreCrawl(SEED, f"{ORIGIN}/1"))
    later(crawl, DAY_S)
    crawl.hello("t", "u")
    assert [kinds(crawl.ask(session)) for session in ("s", "t", "u")] == [[Kind.ROBOTS], [], []]


def test_a_lost_page_that_nobody_began_is_granted_by_the_known_rules_meanwhile() -> None:
    crawl = started(CoreCrawl(SEED, f"{ORIGIN}/1", suspect_losses=9))
    crawl.ask(want=1)
    later(crawl, DAY_S)
    assert sorted(all_of(crawl.ask())) == [SEED, ROBOTS]


def test_a_suspect_is_judged_by_the_rules_of_now() -> None:
    crawl = started(CoreCrawl(suspect_losses=1))
    crawl.ask()
    later(crawl, crawl.policy.lease_s)
    assert crawl.task().alone
    crawl.store.apply([Put(row=succeed(origin(crawl), robots=CLOSED))])
    assert crawl.ask() == []
    assert crawl.task().reason == "robots"
    assert crawl.service.is_finished


def test_a_redirect_that_was_followed_is_followed_again() -> None:
    crawl = CoreCrawl(SEED)
    crawl.hello("s")
    for _ in range(2):
        ((lease, task),) = crawl.ask()
        assert task.url == ROBOTS
        crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location="http://b.test/rules")
        ((lease, task),) = crawl.ask()
        assert task.url == "http://b.test/rules"
        assert robots_task(crawl, task.url).hops == (ROBOTS,)
        crawl.settle(lease, task, body=OPEN)
        assert origin(crawl).gate is Gate.RULES
        later(crawl, DAY_S)
    assert "http://b.test" not in crawl.store.rows(OriginRow, ["http://b.test"])


def test_other_hops_than_before_are_counted_anew() -> None:
    crawl = CoreCrawl(SEED)
    crawl.hello("s")
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location="http://b.test/2")
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, body=OPEN)
    later(crawl, DAY_S)
    for target in ("http://b.test/1", "http://b.test/2"):
        ((lease, task),) = crawl.ask()
        crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location=target)
    ((lease, task),) = crawl.ask()
    assert (task.url, robots_task(crawl, task.url).hops) == ("http://b.test/2", (ROBOTS, "http://b.test/1"))


# Could not be had


def test_pages_wait_while_robots_txt_cannot_be_had_and_are_fetched_once_it_can() -> None:
    crawl = CoreCrawl(retries=0)
    crawl.hello("s")
    fail(crawl)
    assert origin(crawl).gate is Gate.WAITING
    assert (crawl.ask(), crawl.service.is_finished) == ([], False)
    later(crawl, 60.0)
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, body=OPEN)
    assert all_of(crawl.ask()) == [SEED]


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "http_500"), (501, "http_501"), (429, "http_429"), (0, "dns_timeout")]
)
def test_looks_come_with_growing_pauses_until_the_wait_is_over(status: int, reason: str) -> None:
    crawl = CoreCrawl(retries=1, robots_wait_s=3_600.0, robots_wait_last_s=7_200.0, adaptive=False)
    crawl.hello("s")
    looks = []
    while not crawl.service.is_finished:
        for lease, task in crawl.ask():
            looks.append(crawl.now)
            outcome = Outcome.HTTP_ERROR if status else Outcome.NETWORK_ERROR
            crawl.settle(lease, task, outcome=outcome, status=status, reason=reason)
        later(crawl, 1.0)
    pauses = [after - before for before, after in pairwise(looks)]
    late = [pause for pause in pauses if pause > 10]
    for pause, wanted in zip(late, [60, 120, 240, 480, 900, 900], strict=False):
        assert wanted <= pause <= wanted + 3
    assert len(looks) < 12
    assert 3_600 <= looks[-1] - looks[0] <= 3_603
    assert crawl.task(SEED).reason == "robots_unreachable"


@pytest.mark.parametrize("reason", ["connect", "dns_failed", "tls_untrusted", "bad_status_line"])
def test_where_nothing_serves_the_web_the_pages_are_dropped_after_the_retries_by_that_reason(reason: str) -> None:
    crawl = CoreCrawl(retries=2)
    crawl.hello("s")
    looks = 0
    while not crawl.service.is_finished:
        for lease, task in crawl.ask():
            looks += 1
            crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, status=0, reason=reason)
            assert crawl.store.ledger().robots_waits.waiting == 0
        later(crawl, 1.0)
    assert (looks, crawl.task(SEED).reason) == (3, reason)
    assert crawl.now < 10.0
    assert crawl.store.ledger().robots_waits.given_up_on == ((ORIGIN, reason),)


def test_what_is_found_after_the_wait_is_dropped_at_once_and_the_file_asked_for_a_day_later() -> None:
    crawl = CoreCrawl(retries=0, robots_wait_s=0.0)
    crawl.hello("s")
    fail(crawl)
    assert crawl.ask() == []
    assert crawl.service.is_finished
    grow(crawl, f"{ORIGIN}/1")
    assert crawl.ask() == []
    assert crawl.task(f"{ORIGIN}/1").reason == "robots_unreachable"
    later(crawl, DAY_S)
    grow(crawl, f"{ORIGIN}/2")
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, body=OPEN)
    assert all_of(crawl.ask()) == [f"{ORIGIN}/2"]


def test_an_origin_that_is_closed_a_second_time_waits_for_nothing() -> None:
    crawl = CoreCrawl(retries=0, robots_wait_s=60.0)
    crawl.hello("s")
    fail(crawl)
    later(crawl, 60.0)
    fail(crawl)
    assert crawl.ask() == []
    later(crawl, DAY_S)
    grow(crawl, f"{ORIGIN}/1")
    fail(crawl)
    assert crawl.ask() == []
    assert crawl.service.is_finished


def test_thousands_of_pages_that_wait_are_dropped_together() -> None:
    pages = [f"{ORIGIN}/{number}" for number in range(3_000)]
    crawl = CoreCrawl(*pages, retries=0, robots_wait_s=0.0, delay_s=10.0)
    crawl.hello("s")
    fail(crawl)
    crawl.pass_time(10.0)
    for _ in range(4):
        assert crawl.ask() == []
    assert crawl.service.is_finished


def test_a_server_that_says_to_come_back_after_the_wait_is_not_waited_for() -> None:
    crawl = CoreCrawl(retries=3, robots_wait_s=60.0, hold_max_s=7_200.0)
    crawl.hello("s")
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=503, retry_after_s=7_200.0, reason="http_503")
    assert origin(crawl).gate is Gate.DISALLOW


def test_known_rules_hold_while_the_file_cannot_be_had_again() -> None:
    crawl = started(CoreCrawl(SEED, f"{ORIGIN}/private/x", retries=1, robots_wait_s=0.0))
    later(crawl, DAY_S)
    fail(crawl)
    assert crawl.ask() == [], "pages wait for the whole of the first look"
    crawl.pass_time(2.0)
    fail(crawl)
    row = origin(crawl)
    assert (row.gate, row.robots, row.failed_looks, row.why) == (Gate.RULES, OPEN, 1, "timeout_connect")
    assert all_of(crawl.ask()) == [SEED]
    assert crawl.task(f"{ORIGIN}/private/x").reason == "robots"


def test_pages_of_a_host_that_is_rarely_asked_come_between_the_looks_for_its_robots_txt() -> None:
    crawl = started(CoreCrawl(*(f"{ORIGIN}/{number}" for number in range(5)), delay_s=1_000.0, retries=0))
    later(crawl, DAY_S)
    for _ in range(20):
        for lease, task in crawl.ask():
            failed = {"outcome": Outcome.NETWORK_ERROR, "reason": "timeout_connect"} if task.kind is Kind.ROBOTS else {}
            crawl.settle(lease, task, **failed)
        later(crawl, 1_000.0)
    assert len(crawl.fetched()) == 5
    assert crawl.service.is_finished


def test_with_known_rules_later_looks_hold_nothing_back_and_end_with_an_answer() -> None:
    crawl = started(CoreCrawl(retries=0))
    later(crawl, DAY_S)
    fail(crawl)
    for number, (pause_s, next_pause_s) in enumerate(pairwise([60.0, 120.0, 240.0, 480.0, 900.0, 900.0])):
        assert origin(crawl).expires_at == crawl.now + pause_s
        for lease, task in crawl.ask():
            assert task.kind is Kind.PAGE
            crawl.settle(lease, task)
        later(crawl, pause_s)
        grow(crawl, f"{ORIGIN}/{number}")
        (lease, robots), (_, page) = crawl.ask()
        assert (robots.url, page.url) == (ROBOTS, f"{ORIGIN}/{number}")
        crawl.settle(lease, robots, outcome=Outcome.NETWORK_ERROR, reason="reset")
        assert origin(crawl).expires_at == crawl.now + next_pause_s
        crawl.settle(lease, page)
    later(crawl, 900.0)
    grow(crawl, f"{ORIGIN}/last")
    lease, task = crawl.ask()[0]
    crawl.settle(lease, task, body=CLOSED)
    row = origin(crawl)
    assert (row.failed_looks, row.failing_since, row.why, row.robots) == (0, None, "", CLOSED)
    assert row.expires_at == crawl.now + DAY_S


def test_a_robots_txt_that_kills_its_workers_closes_its_origin() -> None:
    crawl = CoreCrawl(poison_deaths=1, suspect_losses=1)
    crawl.hello("s")
    for _ in range(2):
        lease, task = crawl.ask()[0]
        crawl.turn(started=((lease.id, task.ref),))
        crawl.pass_time(crawl.policy.lease_s)
        crawl.hello("s")
    assert robots_task(crawl).reason == "poison"
    crawl.ask()
    assert crawl.task(SEED).reason == "robots_unreachable"
    assert crawl.service.is_finished


def test_the_ledger_tells_for_whom_pages_wait_and_who_was_given_up() -> None:
    crawl = CoreCrawl(SEED, "http://b.test/", retries=0, robots_wait_s=60.0)
    crawl.hello("s")
    fail(crawl)
    waits = crawl.store.ledger().robots_waits
    assert (waits.waiting, waits.given_up) == (2, 0)
    assert sorted(waits.waiting_for) == [(ORIGIN, "timeout_connect"), ("http://b.test", "timeout_connect")]
    later(crawl, 60.0)
    for lease, task in crawl.ask():
        if task.url == ROBOTS:
            crawl.settle(lease, task, body=OPEN)
        else:
            crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, reason="dns_timeout")
    waits = crawl.store.ledger().robots_waits
    assert (waits.waiting, waits.waiting_for) == (0, ())
    assert (waits.given_up, waits.given_up_on) == (1, (("http://b.test", "dns_timeout"),))


# The delay that it asks for


@pytest.mark.parametrize(("delay_s", "eased_s"), [(1.0, 1.0), (0.0, 0.0)])
def test_a_crawl_delay_that_is_gone_at_the_next_look_holds_no_more(delay_s: float, eased_s: float) -> None:
    crawl = started(CoreCrawl(SEED, delay_s=delay_s), body=b"User-agent: *\nCrawl-delay: 9\n")
    assert crawl.host().delay_s == 9.0
    later(crawl, DAY_S)
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, body=OPEN)
    assert crawl.host().delay_s == eased_s


# Ignored


def test_the_robots_txt_of_a_named_host_is_never_asked_for() -> None:
    crawl = CoreCrawl(SEED, "http://a.test:81/x", "http://b.test/", ignore_robots=("a.test",))
    crawl.hello("s")
    tasks = crawl.ask()
    assert sorted(all_of(tasks)) == [SEED, "http://b.test/robots.txt"]
    later(crawl, DAY_S * 3)
    grow(crawl, f"{ORIGIN}/1")
    while tasks := crawl.ask():
        assert ROBOTS not in all_of(tasks)
        for lease, task in tasks:
            crawl.settle(lease, task)


def test_a_crawl_that_no_longer_ignores_a_robots_txt_asks_for_it() -> None:
    crawl = CoreCrawl(SEED, ignore_robots=("a.test",))
    crawl.reopen(ignore_robots=())
    crawl.hello("s")
    assert all_of(crawl.ask()) == [ROBOTS]


def test_a_crawl_that_ignores_a_robots_txt_from_now_on_waits_for_it_no_more() -> None:
    crawl = CoreCrawl(SEED, retries=0)
    crawl.hello("s")
    fail(crawl)
    crawl.reopen(ignore_robots=("a.test",))
    crawl.hello("s")
    later(crawl, 1.0)
    assert all_of(crawl.ask()) == [SEED]


def test_a_robots_txt_that_was_dropped_with_the_budget_is_asked_for_when_the_budget_grows() -> None:
    crawl = CoreCrawl(SEED, "http://b.test/", pages=1, retries=0)
    crawl.hello("s")
    for lease, task in crawl.ask():
        if task.url == ROBOTS:
            crawl.settle(lease, task, body=OPEN)
        else:
            crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, reason="timeout_connect")
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task)
    crawl.pass_time(1.0)
    assert crawl.service.is_finished
    crawl.reopen(pages=10)
    crawl.judge_again()
    crawl.hello("s")
    assert all_of(crawl.ask()) == ["http://b.test/robots.txt"]
