"""Locks of a real coordinator: arguments, `with`, threads and forked processes."""

from __future__ import annotations

import math
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crawlfleet import Fleet, connect
from crawlfleet.objects import Lock
from tests.site.served_crawl import ServedCrawl, served


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[ServedCrawl]:
    with served(tmp_path, wait=True) as crawl:
        yield crawl


@pytest.fixture
def fleet(crawl: ServedCrawl) -> Iterator[Fleet]:
    with connect(crawl.token) as fleet:
        yield fleet


@pytest.fixture(params=["Lock", "RLock"])
def open_lock(fleet: Fleet, request: pytest.FixtureRequest) -> Callable[[], Lock]:
    return lambda: getattr(fleet, request.param)("door")


def test_a_lock_takes_the_arguments_of_a_manager_s(open_lock: Callable[[], Lock]) -> None:
    lock = open_lock()
    assert lock.acquire(True, 1)
    with ThreadPoolExecutor(1) as pool:
        results = [
            pool.submit(lock.acquire, *arguments)
            for arguments in ((False,), (False, None), (False, -1), (True, 0), (True, 0.01))
        ]
        assert [result.result(10) for result in results] == [False] * 5
    lock.release()
    with lock as fence:
        assert fence == 2
    assert lock.acquire(blocking=True, timeout=-1) == 3


@pytest.mark.parametrize(
    ("blocking", "timeout", "error"),
    [
        (False, 1, ValueError),
        (False, 0, ValueError),
        (True, -2, ValueError),
        (True, math.nan, ValueError),
        (True, 2 * threading.TIMEOUT_MAX, OverflowError),
        (True, "1", TypeError),
    ],
)
def test_a_timeout_that_makes_no_sense_is_refused_as_by_threading(
    open_lock: Callable[[], Lock], blocking: bool, timeout: float, error: type[Exception]
) -> None:
    with pytest.raises(error):
        threading.Lock().acquire(blocking, timeout)
    with pytest.raises(error):
        open_lock().acquire(blocking, timeout)


def test_a_release_by_another_thread_is_refused(fleet: Fleet) -> None:
    lock, rlock = fleet.Lock("door"), fleet.RLock("door")
    assert [lock.acquire(), rlock.acquire(), rlock.acquire()] == [1, 1, 1]
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="not held by this thread"):
            pool.submit(lock.release).result(10)
        with pytest.raises(AssertionError, match="attempt to release recursive lock not owned by thread"):
            pool.submit(rlock.release).result(10)


def test_a_forked_process_is_an_owner_of_its_own(open_lock: Callable[[], Lock]) -> None:
    lock = open_lock()
    lock.acquire()
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()

    def child() -> None:
        theirs.send(lock.acquire(False))
        theirs.send(lock.acquire())

    process = context.Process(target=child)
    process.start()
    assert mine.recv() is False
    lock.release()
    assert mine.recv() == 2
    process.join(10)
    assert lock.acquire(True, 10) == 3  # the child has ended, and released nothing
