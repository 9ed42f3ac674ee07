"""`fleet.submit` and `fleet.map`, as those of an executor; and what a fleet has to do with its pools."""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.errors import PageFailed, PageRefused
from crawlfleet.fleet.fleet import Fleet
from crawlfleet.fleet.pool import sender
from crawlfleet.fleet.pool.pool import Pool
from crawlfleet.shared.pools import AskReply, AskRequest
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.worker.talk.finished import JobFinished
from tests.unit.pool_coordinator import SOON_S, FakeCoordinator, asker_of, fetch, pool_of, until

ROOT = Path(__file__).resolve().parents[2]
URLS = [f"http://site.test/{number}" for number in range(50)]
ROWS = [[{"title": url.upper()}] for url in URLS]


class PlainExecutor(ThreadPoolExecutor):
    """Python's own executor, of threads that fetch."""

    def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
        if isinstance(arguments[0], str):
            arguments = fetch, *arguments
        return super().submit(*arguments, **options)

    def map(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        return super().map(fetch, *arguments, **options)


def _fleet(coordinator: FakeCoordinator) -> Fleet:
    """Return a fleet whose pools have that coordinator; it has no session otherwise."""
    fleet = Fleet(
        FleetManager.joining(JoinToken(addresses=(("127.0.0.1", 1),), fingerprint=bytes(32), secret=bytes(32))),
        SOON_S,
    )
    fleet._asker = asker_of(coordinator)
    return fleet


@pytest.fixture
def coordinator() -> FakeCoordinator:
    return FakeCoordinator()


@pytest.fixture
def fleet(coordinator: FakeCoordinator) -> Iterator[Fleet]:
    with _fleet(coordinator) as made:
        yield made


@pytest.fixture(params=["fleet", "plain"])
def executor(request: pytest.FixtureRequest) -> Iterator[Any]:
    with _fleet(FakeCoordinator()) if request.param == "fleet" else PlainExecutor() as made:
        yield made


def test_a_future_has_the_rows_of_its_page(executor: Any) -> None:
    future = executor.submit(URLS[0])
    assert isinstance(future, Future)
    assert future.result(SOON_S) == ROWS[0]
    assert future.exception() is None
    assert future.done()
    assert not future.cancel()
    assert not future.cancelled()


def test_a_future_has_the_error_of_its_page(executor: Any) -> None:
    future = executor.submit("http://site.test/fails")
    assert isinstance(future.exception(SOON_S), PageFailed)
    with pytest.raises(PageFailed):
        future.result()


def test_futures_are_waited_for_together(executor: Any) -> None:
    futures = [executor.submit(url) for url in URLS]
    done, _ = concurrent.futures.wait(futures, timeout=SOON_S, return_when=FIRST_COMPLETED)
    assert done
    assert {id(future) for future in concurrent.futures.as_completed(futures, SOON_S)} == set(map(id, futures))
    assert [future.result() for future in futures] == ROWS


def test_a_future_calls_back(executor: Any) -> None:
    called: list[Any] = []
    future = executor.submit(URLS[0])
    future.add_done_callback(called.append)
    future.result(SOON_S)
    until(lambda: called == [future])


def test_map_gives_rows_in_order(executor: Any) -> None:
    assert list(executor.map(URLS)) == ROWS
    assert list(executor.map(iter(URLS), timeout=SOON_S, chunksize=5)) == ROWS
    assert list(executor.map([])) == []


def test_map_raises_the_error_of_a_page_and_ends(executor: Any) -> None:
    pages = executor.map([URLS[0], "http://site.test/fails", URLS[1]])
    assert next(pages) == ROWS[0]
    with pytest.raises(PageFailed):
        next(pages)
    with pytest.raises(StopIteration):
        next(pages)


def test_options_reach_the_coordinator(coordinator: FakeCoordinator, fleet: Fleet) -> None:
    fleet.submit("a", priority=4, follow=True).result(SOON_S)
    fleet.submit("b").result(SOON_S)
    asks = [(ask.url, ask.priority, ask.follow) for request in coordinator.requests for ask in request.asks]
    assert asks == [("a", 4, True), ("b", None, False)]
    assert coordinator.pools == {1}
    with pytest.raises(TypeError, match="a URL is a str"):
        fleet.submit(5)  # type: ignore[arg-type]  # what a program may do
    with pytest.raises(ValueError, match=r"Chunksize must be 1\+"):
        fleet.map([], chunksize=0)


def test_a_page_that_has_not_started_is_taken_back(coordinator: FakeCoordinator, fleet: Fleet) -> None:
    coordinator.change(is_holding=True)
    future, other = fleet.submit("a"), fleet.submit("b")
    coordinator.until(lambda: len(coordinator.asks) == 2)
    called: list[Any] = []
    future.add_done_callback(called.append)
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert called == [future]
    assert list(concurrent.futures.as_completed([future], SOON_S)) == [future]
    with pytest.raises(CancelledError):
        future.result()
    assert [ask.url for ask in coordinator.asks.values()] == ["b"]
    coordinator.let_go()
    assert other.result(SOON_S).url == "b"


def test_a_page_that_has_started_stays(coordinator: FakeCoordinator, fleet: Fleet) -> None:
    coordinator.change(is_holding=True)
    future = fleet.submit("a")
    coordinator.until(lambda: len(coordinator.asks) == 1)
    coordinator.change(started=set(coordinator.asks))
    assert not future.cancel()
    with pytest.raises(TimeoutError):
        future.result(0.01)
    with pytest.raises(TimeoutError):
        future.exception(0.01)
    coordinator.let_go()
    assert future.result(SOON_S).url == "a"


def test_nothing_is_taken_back_while_the_coordinator_is_away(coordinator: FakeCoordinator, fleet: Fleet) -> None:
    coordinator.change(is_holding=True)
    sent = fleet.submit("sent")
    coordinator.until(lambda: len(coordinator.asks) == 1)
    coordinator.change(is_away=True)
    assert not sent.cancel()
    coordinator.restart()
    coordinator.change(is_away=False, is_holding=False)
    assert sent.result(SOON_S).url == "sent"


def test_an_ask_is_sent_again_if_only_the_answer_to_its_cancellation_was_lost(
    coordinator: FakeCoordinator, fleet: Fleet
) -> None:
    coordinator.change(is_holding=True)
    future = fleet.submit("a")
    coordinator.until(lambda: len(coordinator.asks) == 1)
    with coordinator.changed:
        coordinator.asks.clear()  # the coordinator has taken it back, but that is not known here
        coordinator.change(is_away=True)
    assert not future.cancel()
    coordinator.change(is_away=False, is_holding=False)
    assert future.result(SOON_S).url == "a"
    # Under another ticket: the cancellation may still be on its way over the connection that was lost.
    tickets = [ask.ticket for request in coordinator.requests for ask in request.asks]
    assert len(tickets) == len(set(tickets)) == 2


def test_what_was_not_sent_yet_is_taken_back_without_the_coordinator(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True, capacity=0)
    with pool_of(coordinator) as pool:
        coordinator.change(is_away=True)
        with coordinator.changed:  # the sender waits for this lock in its first message
            first = pool.submit("first", None, False)
            until(lambda: first._entry.was_sent)
            second = pool.submit("second", None, False)
            assert second.cancel()
        assert not coordinator.cancels
    with pytest.raises(PageRefused):
        first.result()


def test_what_the_coordinator_has_no_room_for_is_taken_back(coordinator: FakeCoordinator, fleet: Fleet) -> None:
    coordinator.change(is_holding=True, capacity=2)
    futures = [fleet.submit(str(number)) for number in range(4)]
    coordinator.until(lambda: coordinator.asked_urls().count("3") > 1)
    assert futures[3].cancel()
    assert futures[3].cancelled()
    coordinator.change(capacity=9)
    coordinator.let_go()
    assert [future.result(SOON_S).url for future in futures[:3]] == ["0", "1", "2"]


class Busy(FakeCoordinator):
    """Answers to an ask for the page "busy" only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    def ask(self, request: AskRequest) -> AskReply:
        reply = super().ask(request)
        if any(ask.url == "busy" for ask in request.asks):
            self.may_answer.wait(SOON_S)
        return reply


def test_a_fleet_that_is_closed_takes_back_before_what_a_pool_has_cancelled() -> None:
    coordinator = Busy()
    coordinator.change(is_holding=True)
    with _fleet(coordinator) as fleet:
        with fleet.Pool() as pool:
            pool.map_async(URLS)
            coordinator.until(lambda: len(coordinator.asks) == 50)
            pool.apply_async("busy")
            coordinator.until(lambda: len(coordinator.asks) == 51)
        threading.Timer(0.1, coordinator.may_answer.set).start()
    assert not coordinator.asks


def test_a_fleet_that_is_closed_does_not_wait_for_a_coordinator_that_is_away(
    coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LAST_S", 0.2)
    coordinator.change(is_holding=True)
    before = set(threading.enumerate())
    with _fleet(coordinator) as fleet:
        pool = fleet.Pool()
        pool.map_async(URLS)
        coordinator.until(lambda: len(coordinator.asks) == 50)
        coordinator.change(is_away=True)
        pool.terminate()
    until(lambda: set(threading.enumerate()) <= before)


def test_map_has_a_time_for_all_of_it(coordinator: FakeCoordinator, fleet: Fleet) -> None:
    coordinator.change(is_holding=True)
    pages = fleet.map(["a", "b"], timeout=0.2)
    coordinator.until(lambda: len(coordinator.asks) == 2)
    coordinator.let_go("a")
    assert next(pages).url == "a"
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        next(pages)
    assert time.monotonic() - began < 1
    coordinator.until(lambda: not coordinator.asks)
    with pytest.raises(StopIteration):
        next(pages)


@pytest.mark.parametrize("begins", [True, False])
def test_a_map_that_is_not_read_to_its_end_takes_its_asks_back(
    coordinator: FakeCoordinator, fleet: Fleet, begins: bool
) -> None:
    coordinator.change(is_holding=True)
    pages = fleet.map(str(number) for number in itertools.count())
    coordinator.until(lambda: len(coordinator.asks) == 10_000)
    if begins:
        coordinator.let_go("0")
        assert next(pages).url == "0"
    del pages
    gc.collect()
    coordinator.until(lambda: not coordinator.asks)


def test_a_closed_fleet_ends_all_waiting(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    before = set(threading.enumerate())
    fleet = _fleet(coordinator)
    pool = fleet.Pool()
    calls: list[Callable[[], object]] = [
        fleet.submit("a").result,
        pool.apply_async("b").get,
        pool.map_async(["c"]).get,
        pool.imap(["d"]).next,
    ]
    pool.close()
    calls += [pool.join, fleet.map(["e"]).__next__]
    outcomes: list[object] = []

    def wait(call: Callable[[], object]) -> None:
        try:
            outcomes.append(call())
        except ValueError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=wait, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    coordinator.until(lambda: len(coordinator.asks) == 5)
    fleet.close()
    for thread in threads:
        thread.join(SOON_S)
    text = "this connection to the crawl is closed: connect() again"
    assert sorted(outcomes, key=str) == [None, *[text] * 5]  # a join has nothing to wait for any more
    for call in (fleet.Pool, lambda: fleet.submit("a"), lambda: fleet.map(["a"])):
        with pytest.raises(ValueError, match=r"closed|not running"):
            call()
    until(lambda: set(threading.enumerate()) <= before)


def test_a_crawl_that_is_over_opens_no_pool(coordinator: FakeCoordinator, fleet: Fleet) -> None:
    coordinator.change(is_finished=True)
    for call in (fleet.Pool, lambda: fleet.submit("a"), lambda: fleet.map(["a"])):
        with pytest.raises(JobFinished):
            call()


def test_a_terminated_pool_answers_all_who_wait_also_without_the_coordinator(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    pool = pool_of(coordinator)
    results = [pool.apply_async("a"), pool.map_async(map(str, range(25_000))), pool.submit("b", None, False)]
    coordinator.until(lambda: len(coordinator.asks) == 10_002)
    coordinator.change(is_away=True)
    pool.terminate()
    pool.terminate()
    pool.join()
    for wait in (results[0].get, results[1].get, results[2].result):  # type: ignore[attr-defined]  # of either kind
        with pytest.raises(PageRefused, match="cancelled"):
            wait(SOON_S)
    coordinator.change(is_away=False)
    coordinator.until(lambda: not coordinator.asks and coordinator.closed == [1])


def test_a_pool_is_closed_at_the_end_of_its_block_although_it_is_referred_to(coordinator: FakeCoordinator) -> None:
    with pool_of(coordinator) as pool:
        assert pool.apply("a").url == "a"
    until(lambda: coordinator.closed == [1])
    with pool_of(coordinator) as idle:
        pass
    until(lambda: coordinator.closed == [1, 1])
    assert pool is not idle


def test_a_pool_that_nobody_refers_to_is_closed_when_its_asks_are_answered(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    result = pool_of(coordinator).apply_async("a")
    gc.collect()
    coordinator.until(lambda: len(coordinator.asks) == 1)
    assert not coordinator.closed
    coordinator.let_go()
    assert result.get(SOON_S).url == "a"
    until(lambda: coordinator.closed == [1])


def test_an_open_pool_stays_open_without_asks(coordinator: FakeCoordinator) -> None:
    pool = pool_of(coordinator)
    pool.apply("a")
    gc.collect()
    time.sleep(0.1)
    assert (coordinator.pools, coordinator.closed) == ({1}, [])
    pool.close()
    until(lambda: coordinator.closed == [1])


def test_a_pool_is_not_pickled(coordinator: FakeCoordinator) -> None:
    with pool_of(coordinator) as pool, pytest.raises(TypeError, match="a pool belongs to its process"):
        pickle.dumps(pool)


def test_a_forked_process_has_no_pools(coordinator: FakeCoordinator, fleet: Fleet) -> None:
    coordinator.change(is_holding=True)
    pool = fleet.Pool()
    result, future, pages = pool.apply_async("a"), fleet.submit("b"), pool.imap(["c"])
    calls: list[Callable[[], object]] = [
        lambda: pool.apply("x"),
        lambda: pool.map(["x"]),
        lambda: pool.imap(["x"]),
        pool.close,
        pool.terminate,
        pool.join,
        result.get,
        future.result,
        future.cancel,
        pages.next,
    ]
    child = os.fork()
    if not child:
        right = 0
        for call in calls:
            try:
                call()
            except RuntimeError as error:
                right += "connect() in each process" in str(error)
        os._exit(0 if right == len(calls) and fleet._asker is None and fleet._own_pool is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


INTERRUPTED = """
import os, signal, sys, threading, time
from tests.unit.pool_coordinator import FakeCoordinator, pool_of

coordinator = FakeCoordinator()
coordinator.change(is_holding=True)
pool = pool_of(coordinator)
future = pool.submit("f", None, False)
result = pool.apply_async("r")
pages = pool.imap(["i"])
waits = {
    "apply": lambda: pool.apply("a"), "map": lambda: pool.map(["a", "b"]), "get": result.get, "next": pages.next,
    "future": future.result, "join": lambda: (pool.close(), pool.join()),
}
coordinator.until(lambda: len(coordinator.asks) == 3)

def interrupt():
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    waits[sys.argv[1]]()
except KeyboardInterrupt:
    coordinator.until(lambda: sorted(ask.url for ask in coordinator.asks.values()) == ["f", "i", "r"])
    print("interrupted")
"""


@pytest.mark.parametrize("wait", ["apply", "map", "get", "next", "future", "join"])
def test_ctrl_c_ends_a_wait_and_takes_back_what_nobody_will_read(wait: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, wait],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "interrupted\n", done.stderr


def test_pools_of_one_session_share_its_messages(coordinator: FakeCoordinator) -> None:
    asker = asker_of(coordinator)
    pools = [Pool(asker) for _ in range(3)]
    results = [pool.map_async(str(number) for number in range(3_000)) for pool in pools]
    assert [len(result.get(SOON_S)) for result in results] == [3_000] * 3
    assert coordinator.dials == 2
    assert len(coordinator.requests) <= 3 + 3 * 3_000 // 500
