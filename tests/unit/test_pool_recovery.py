"""What pools do when the coordinator restarts, is away, has enough, refuses, or has finished."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crawlfleet.errors import PageFailed, RemoteError, Unreachable
from crawlfleet.fleet.pool.async_result import AsyncResult
from crawlfleet.fleet.pool.pool import Pool
from crawlfleet.shared.pools import AskRequest
from crawlfleet.worker.talk.finished import JobFinished
from tests.unit.pool_coordinator import SOON_S, FakeCoordinator, asker_of, pool_of, until


@pytest.fixture
def coordinator() -> FakeCoordinator:
    return FakeCoordinator()


def test_what_is_open_is_asked_for_again_in_a_new_book(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    with pool_of(coordinator) as pool:
        results = [pool.apply_async(str(number)) for number in range(5)]
        coordinator.until(lambda: len(coordinator.asks) == 5)
        coordinator.let_go("0")
        assert results[0].get(SOON_S).url == "0"
        coordinator.restart()
        coordinator.until(lambda: len(coordinator.asks) == 4)
        assert coordinator.pools == {1}
        coordinator.let_go()
        assert [result.get(SOON_S).url for result in results] == [str(number) for number in range(5)]
        assert coordinator.asked_urls().count("0") == 1


def test_a_new_book_is_seen_by_the_answer_to_an_ask_as_well(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    with pool_of(coordinator) as pool:
        results = [pool.apply_async("early")]
        coordinator.until(lambda: len(coordinator.asks) == 1)
        with coordinator.changed:  # before the collector can see it
            coordinator.restart()
            results.append(pool.apply_async("late"))
            assert coordinator.changed.wait_for(lambda: "late" in coordinator.asked_urls(), timeout=SOON_S)
        coordinator.until(lambda: len(coordinator.asks) == 2)
        coordinator.let_go()
        assert [result.get(SOON_S).url for result in results] == ["early", "late"]


def test_a_pool_without_asks_is_opened_again_in_a_new_book(coordinator: FakeCoordinator) -> None:
    asker = asker_of(coordinator)
    pools = [Pool(asker) for _ in range(3)]
    pools[1].close()
    until(lambda: coordinator.closed == [2])
    coordinator.restart()
    coordinator.until(lambda: coordinator.pools == {1, 3})


def test_a_pool_is_not_the_last_to_be_closed_if_another_is_only_to_be_opened_again(
    coordinator: FakeCoordinator,
) -> None:
    asker = asker_of(coordinator)
    pools = [Pool(asker) for _ in range(3)]
    with coordinator.changed:  # before anybody can see the new book
        coordinator.restart()
        pools[0].close()
        assert coordinator.changed.wait_for(lambda: coordinator.closed == [1], timeout=SOON_S)
        assert coordinator.pools
    coordinator.until(lambda: coordinator.pools == {2, 3})
    for pool in pools[1:]:
        pool.close()
    coordinator.until(lambda: not coordinator.pools)


def test_answers_that_a_cursor_of_another_book_has_skipped_are_asked_for_again(coordinator: FakeCoordinator) -> None:
    with pool_of(coordinator) as pool:
        pool.map([str(number) for number in range(10)])  # the cursor is at 10 now
        with coordinator.changed:
            coordinator.restart()
            result = pool.apply_async("late")  # its answer has the number 1
            assert coordinator.changed.wait_for(lambda: "late" in coordinator.asked_urls(), timeout=SOON_S)
        assert result.get(SOON_S).url == "late"


def test_a_coordinator_that_is_away_for_a_while_is_waited_for(coordinator: FakeCoordinator) -> None:
    with pool_of(coordinator) as pool:
        pool.apply("before")
        coordinator.change(is_away=True)
        results: list[AsyncResult[Any]] = [pool.apply_async("a"), pool.map_async(["b", "c"])]
        time.sleep(0.2)
        assert not any(result.ready() for result in results)
        coordinator.change(is_away=False)
        for result in results:
            result.wait(SOON_S)
        assert all(result.successful() for result in results)


def test_after_its_patience_everything_fails_and_later_verbs_try_anew(coordinator: FakeCoordinator) -> None:
    pool = Pool(asker_of(coordinator, patience_s=0.2))
    coordinator.change(is_holding=True)
    asked = pool.apply_async("asked")
    coordinator.until(lambda: len(coordinator.asks) == 1)
    coordinator.change(is_away=True)
    many = pool.map_async([str(number) for number in range(30_000)])
    pages = pool.imap(str(number) for number in range(30_000))
    for wait in (lambda: asked.get(SOON_S), lambda: many.get(SOON_S), lambda: pages.next(SOON_S)):
        with pytest.raises(Unreachable):
            wait()
    began = time.monotonic()
    with pytest.raises(Unreachable):
        pool.apply("later")
    assert 0.1 < time.monotonic() - began < SOON_S
    with pytest.raises(Unreachable):
        Pool(pool._asker)
    coordinator.change(is_away=False, is_holding=False)
    assert pool.apply("at last").url == "at last"
    pool.close()
    pool.join()
    until(lambda: 1 in coordinator.closed)


def test_the_pages_of_an_iterator_fail_one_by_one_and_then_it_ends(coordinator: FakeCoordinator) -> None:
    pool = Pool(asker_of(coordinator, patience_s=0.1))
    coordinator.change(is_away=True)
    pages = pool.imap(str(number) for number in range(3))
    for _ in range(3):
        with pytest.raises(Unreachable):
            pages.next(SOON_S)
    with pytest.raises(StopIteration):
        pages.next(SOON_S)


def test_what_is_not_taken_is_sent_again_after_a_pause(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True, capacity=3)
    with pool_of(coordinator) as pool:
        result = pool.map_async([str(number) for number in range(8)])
        for done in (3, 6, 8):
            coordinator.until(lambda: len(coordinator.asks) in (3, 2))
            coordinator.let_go(*[str(number) for number in range(done)])
        assert [rows.url for rows in result.get(SOON_S)] == [str(number) for number in range(8)]
        assert max(len(request.asks) for request in coordinator.requests) == 8


def test_a_crawl_that_is_over_ends_all_waiting(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    pool = pool_of(coordinator)
    result = pool.apply_async("a")
    pages = pool.imap(str(number) for number in range(100_000_000))
    coordinator.until(lambda: len(coordinator.asks) >= 1_000)
    coordinator.change(is_finished=True)
    for wait in (lambda: result.get(SOON_S), lambda: pages.next(SOON_S), lambda: pool.apply("b")):
        with pytest.raises(JobFinished, match="the crawl is over"):
            wait()
    with pytest.raises(JobFinished):
        Pool(pool._asker)
    pool.close()
    pool.join()


def test_a_coordinator_whose_crawl_was_over_is_told_nothing_more(coordinator: FakeCoordinator) -> None:
    pool = pool_of(coordinator)
    coordinator.change(is_finished=True)
    with pytest.raises(JobFinished):
        pool.apply("a")
    until(lambda: not pool._open.is_known)
    coordinator.change(is_away=True)
    dials = coordinator.dials
    pool.terminate()
    pool.join()
    time.sleep(0.2)
    assert coordinator.dials == dials


def test_the_last_answers_come_with_the_end_of_the_crawl(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    pool = pool_of(coordinator)
    results = pool.apply_async("a"), pool.apply_async("b")
    coordinator.until(lambda: len(coordinator.asks) == 2)
    with coordinator.changed:
        coordinator.let_go("a")
        coordinator.change(is_finished=True)
    assert results[0].get(SOON_S).url == "a"
    with pytest.raises(JobFinished):
        results[1].get(SOON_S)


def test_an_ask_that_comes_too_late_does_not_cost_the_answers_to_earlier_ones(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    pool = pool_of(coordinator)
    early = pool.apply_async("early")
    pages = pool.imap(iter(["first", "second"]))
    coordinator.until(lambda: len(coordinator.asks) == 3)
    coordinator.change(takes_no_more=True)
    with pytest.raises(JobFinished):
        pool.apply("late")
    assert not early.ready()
    coordinator.let_go()
    assert early.get(SOON_S).url == "early"
    assert [rows.url for rows in pages] == ["first", "second"]


def test_an_iterator_ends_with_the_crawl(coordinator: FakeCoordinator) -> None:
    pool = pool_of(coordinator)
    asked = threading.Event()

    def urls() -> Iterator[str]:
        yield "early"
        assert asked.wait(SOON_S)
        yield "late"
        yield "later"
        threading.Event().wait(SOON_S)

    pages = pool.imap(urls())
    assert pages.next(SOON_S).url == "early"
    coordinator.change(takes_no_more=True)
    asked.set()
    errors = 0
    while True:
        try:
            pages.next(SOON_S)
        except JobFinished:
            errors += 1
        except StopIteration:
            break
    assert errors >= 2  # one for each page that was asked for, and one for those that were not


@pytest.mark.parametrize(
    "error", [RemoteError("ValueError", "no"), TypeError("cannot be sent"), ZeroDivisionError("a bug")]
)
def test_an_ask_that_is_refused_fails_alone(coordinator: FakeCoordinator, error: Exception) -> None:
    def refusal(request: AskRequest) -> Exception | None:
        return error if any(ask.url == "bad" for ask in request.asks) else None

    coordinator.change(refusal=refusal)
    with pool_of(coordinator, return_exceptions=True) as pool:
        urls = [*map(str, range(700)), "bad", *map(str, range(700, 1_000))]
        outcomes = pool.map(urls)
    assert outcomes[700] is error
    assert [rows.url for rows in outcomes if rows is not error] == [url for url in urls if url != "bad"]


def test_a_url_that_cannot_be_encoded_fails_alone(coordinator: FakeCoordinator) -> None:
    with pool_of(coordinator, return_exceptions=True) as pool:
        good, bad, huge = pool.starmap([("good",), ("\ud800",), ("huge", {"priority": 1 << 70})])
    assert good.url == "good"
    assert isinstance(bad, UnicodeEncodeError)
    assert isinstance(huge, OverflowError)


def test_an_error_of_the_collection_reaches_whoever_waits(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    with pool_of(coordinator) as pool:
        result = pool.apply_async("a")
        coordinator.until(lambda: len(coordinator.asks) == 1)
        coordinator.change(collect_error=RemoteError("ValueError", "no such session"))
        with pytest.raises(RemoteError, match="no such session"):
            result.get(SOON_S)
        coordinator.change(is_holding=False)
        assert pool.apply("b").url == "b"


def test_a_bug_of_the_sender_reaches_whoever_waits(
    coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pool_of(coordinator) as pool:
        asks = pool._asker._asks
        monkeypatch.setattr(asks, "next_batch", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pool.apply("a")
        monkeypatch.undo()
        assert pool.apply("b").url == "b"


def test_a_bug_in_one_answer_is_told_with_it(coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome_of(_settled: Any, url: str) -> Any:
        raise LookupError(url)

    with pool_of(coordinator) as pool:
        monkeypatch.setattr("crawlfleet.fleet.pool.collector.outcome_of", outcome_of)
        with pytest.raises(LookupError, match="a"):
            pool.apply("a")


def test_a_refused_opening_is_told_at_once(coordinator: FakeCoordinator) -> None:
    coordinator.change(refusal=lambda _request: RemoteError("ValueError", "too many pools"))
    with pytest.raises(RemoteError, match="too many pools"):
        pool_of(coordinator)


@pytest.mark.parametrize("work", [lambda pool: pool.apply("fails"), lambda pool: pool.map(["fails"])])
def test_a_failure_that_was_raised_is_not_kept_by_its_traceback(
    coordinator: FakeCoordinator, work: Callable[[Pool], object]
) -> None:
    with pool_of(coordinator) as pool:
        for _ in range(2):
            with pytest.raises(PageFailed):
                work(pool)
