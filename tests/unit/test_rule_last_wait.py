"""The last wait, rule by rule, and when it begins and ends."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.conduct.counting import is_unanswered, last_s
from crawlfleet.coordinator.core import gates, last_wait
from crawlfleet.coordinator.core.awaited_rows import AwaitedRow
from crawlfleet.coordinator.core.changes import Gone, TaskEvent
from crawlfleet.coordinator.core.figures import RobotsWaits
from crawlfleet.coordinator.core.rows import Gate
from crawlfleet.shared.messages import Kind, Outcome
from tests.unit.core_crawl import SEED, CoreCrawl
from tests.unit.rule_turns import (
    DROPPED,
    ORIGIN,
    PENDING,
    Turns,
    host,
    leased,
    moved,
    new,
    numbers,
    origin,
    put,
    report,
    robots,
)

DAY_S = 86_400.0
FAILING = origin(gate=Gate.WAITING, failing_since=1.0, failed_looks=2, why="http_503")
BUSY: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 503, "reason": "http_503"}
FREE = host(origins=(ORIGIN,), ready_at=300.0)


def waits(last_until: float | None = 60.0, waiting: int = 1, given_up: int = 0) -> RobotsWaits:
    named = ((ORIGIN, "http_503"),)
    return RobotsWaits(waiting, named * waiting, given_up, named * given_up, last_until)


def awaited(task: Any) -> AwaitedRow:
    return AwaitedRow(origin=ORIGIN, ref=task.ref)


def test_its_end_is_in_the_ledger_and_may_be_taken_back(turns: Turns) -> None:
    for before, until in ((None, 60.0), (60.0, None)):
        ledger = numbers(robots_waits=waits(before, 0))
        turn = turns(ledger)
        last_wait.set_end(turn, until)
        assert turn.batch() == [put(ledger, robots_waits=waits(until, 0))]


def test_a_file_that_would_be_asked_for_late_is_asked_for_earlier(turns: Turns) -> None:
    task, ledger = robots(attempt=5, not_before=300.0, reason="http_503"), numbers(robots_waits=waits(65.0))
    turn = turns(task, FAILING, FREE, ledger, awaited(task), now=5.0)
    last_wait.look_earlier(turn, [awaited(task)])
    refused = moved(TaskEvent.REFUSED, task, state=DROPPED)
    sooner = moved(TaskEvent.RECHECKED, refused.task, state=PENDING, not_before=20.0)
    assert turn.batch() == [refused, sooner, put(FREE, ready_at=20.0)]


@pytest.mark.parametrize(("not_before", "hold_until"), [(20.0, 0.0), (300.0, 300.0)], ids=["soon", "held"])
def test_a_file_that_is_asked_for_soon_or_whose_host_wants_more_time_is_left(
    turns: Turns, not_before: float, hold_until: float
) -> None:
    task = robots(attempt=5, not_before=not_before)
    held = host(origins=(ORIGIN,), ready_at=not_before, hold_until=hold_until)
    turn = turns(task, FAILING, held, numbers(robots_waits=waits(65.0)), awaited(task), now=5.0)
    last_wait.look_earlier(turn, [awaited(task)])
    assert turn.batch() == []


def test_at_its_end_who_is_not_being_asked_is_given_up(turns: Turns) -> None:
    task, ledger = robots(attempt=5, not_before=70.0), numbers(robots_waits=waits())
    turn = turns(task, FAILING, FREE, ledger, awaited(task), now=61.0)
    last_wait.end(turn, [awaited(task)])
    shut = {"gate": Gate.DISALLOW, "expires_at": 61.0 + DAY_S, "failing_since": None, "failed_looks": 0}
    assert sorted(turn.batch(), key=str) == sorted(
        [
            moved(TaskEvent.REFUSED, task, state=DROPPED, reason="robots_unreachable"),
            put(FREE, ready_at=61.0),
            put(FAILING, **shut),
            Gone(row=AwaitedRow(origin=ORIGIN, ref=task.ref, version=2)),
            put(ledger, robots_waits=waits(waiting=0, given_up=1)),
        ],
        key=str,
    )


def test_at_its_end_who_is_being_asked_may_still_answer(turns: Turns) -> None:
    task = leased(robots(), 3)
    turn = turns(task, FAILING, FREE, numbers(robots_waits=waits()), awaited(task), now=61.0)
    last_wait.end(turn, [awaited(task)])
    assert turn.batch() == []


@pytest.mark.parametrize(("now", "at"), [(5.0, 20.0), (50.0, 60.0), (60.0, None)])
def test_while_it_lasts_a_file_is_asked_for_more_often_and_not_beyond_its_end(
    turns: Turns, now: float, at: float | None
) -> None:
    task = leased(robots(attempt=9), 3)
    turn = turns(task, FAILING, FREE, numbers(robots_waits=waits()), awaited(task), now=now)
    assert gates.again_at(turn, task, report(task, **BUSY)) == at


@pytest.mark.parametrize("known", [None, "http://b.test/robots.txt"], ids=["new", "sent elsewhere before"])
def test_a_file_is_awaited_once_its_retries_are_spent(turns: Turns, known: str | None) -> None:
    task = leased(robots(attempt=3), 3)
    before = [awaited(robots(url=known))] if known else []
    turn = turns(task, FAILING, FREE, numbers(robots_waits=waits(None)), *before, now=5.0)
    gates.look_failed(turn, task, report(task, **BUSY))
    row = put(before[0], ref=task.ref) if before else new(awaited(task))
    assert turn.batch() == [put(FAILING, failed_looks=3), row]


# When


def busy(crawl: CoreCrawl, only: str = "") -> None:
    """Let the robots.txt files that are granted now answer 503."""
    for lease, task in crawl.ask():
        if task.kind is Kind.ROBOTS and task.url.startswith(only):
            crawl.settle(lease, task, **BUSY)
        elif task.kind is Kind.ROBOTS:
            crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=404)


def until(crawl: CoreCrawl) -> float | None:
    return crawl.store.ledger().robots_waits.last_until


def test_a_crawl_of_which_nothing_else_is_left_ends_after_the_last_wait() -> None:
    crawl = CoreCrawl(retries=0)
    crawl.hello("s")
    busy(crawl)
    crawl.pass_time(1.0)
    assert (until(crawl), last_s(crawl.store, crawl.now)) == (61.0, 60.0)
    looks = 0
    while not crawl.service.is_finished:
        crawl.pass_time(1.0)
        crawl.hello("s")
        for lease, task in crawl.ask():
            looks += 1
            crawl.settle(lease, task, **BUSY)
    assert (61.0 <= crawl.now <= 62.0, crawl.task(SEED).reason) == (True, "robots_unreachable")
    assert 3 <= looks <= 5


def test_with_no_last_wait_the_end_comes_with_the_retries() -> None:
    crawl = CoreCrawl(retries=1, robots_wait_last_s=0.0)
    crawl.hello("s")
    looks = 0
    while not crawl.service.is_finished:
        for lease, task in crawl.ask():
            looks += 1
            crawl.settle(lease, task, **BUSY)
        crawl.pass_time(0.5)
    assert (looks, crawl.now < 5.0) == (2, True)


def test_while_a_page_of_another_host_is_to_be_fetched_nobody_is_given_up() -> None:
    crawl = CoreCrawl(SEED, "http://b.test/", retries=0, delay_s=9.0)
    crawl.hello("s")
    busy(crawl, only="http://b.test/")
    crawl.pass_time(1.0)
    assert until(crawl) is None, "the seed waits for its host"
    crawl.pass_time(8.0)
    ((lease, task),) = crawl.ask()
    crawl.turn(started=((lease.id, task.ref),))
    assert until(crawl) is None, "the seed is being fetched"
    crawl.hello("other")
    crawl.pass_time(crawl.policy.lease_s)
    crawl.hello("s")
    crawl.turn("s")
    crawl.pass_time(1.0)
    assert until(crawl) is None, "the seed is lost, and to be fetched again"
    crawl.pass_time(8.0)
    lease, task = crawl.ask()[0]
    crawl.settle(lease, task)
    crawl.pass_time(1.0)
    assert (crawl.fetched(), until(crawl) is not None) == ({SEED}, True)


def test_what_is_found_meanwhile_calls_it_off() -> None:
    crawl = CoreCrawl(retries=0)
    crawl.hello("s")
    busy(crawl)
    crawl.pass_time(1.0)
    crawl.service.put("http://b.test/", crawl.now)
    crawl.pass_time(1.0)
    assert until(crawl) is None


def test_without_workers_nobody_is_given_up() -> None:
    crawl = CoreCrawl(retries=0)
    crawl.hello("s")
    busy(crawl)
    crawl.service.goodbye("s", crawl.now)
    crawl.pass_time(1.0)
    assert until(crawl) is None


def test_another_run_begins_it_anew() -> None:
    crawl = CoreCrawl(retries=0)
    crawl.hello("s")
    busy(crawl)
    crawl.pass_time(1.0)
    crawl.reopen()
    assert until(crawl) is None


def test_that_nothing_has_answered_is_said_until_something_does() -> None:
    crawl = CoreCrawl(SEED, "http://b.test/", retries=0)
    assert not is_unanswered(crawl.store)
    crawl.hello("s")
    (lease, task), (other_lease, other) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, status=0, reason="dns_unavailable")
    assert is_unanswered(crawl.store)
    crawl.settle(other_lease, other, **BUSY)
    assert not is_unanswered(crawl.store)
