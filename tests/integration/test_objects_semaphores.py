"""Semaphores of a real coordinator: arguments, `with`, threads of several programs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crawlfleet import Fleet, connect
from tests.site.served_crawl import ServedCrawl, served


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[ServedCrawl]:
    with served(tmp_path, wait=True) as crawl:
        yield crawl


@pytest.fixture
def fleet(crawl: ServedCrawl) -> Iterator[Fleet]:
    with connect(crawl.token) as fleet:
        yield fleet


def test_a_semaphore_takes_the_arguments_of_a_manager_s(fleet: Fleet) -> None:
    seats = fleet.Semaphore("seats", 2)
    with seats as taken:
        assert taken is True
        assert seats.acquire(True, 1) is True
        assert seats.get_value() == 0
        for arguments in ((False,), (False, None), (True, 0), (True, -1), (True, 0.01)):
            assert seats.acquire(*arguments) is False
    with pytest.raises(ValueError, match="can't specify timeout for non-blocking acquire"):
        seats.acquire(False, 1)
    seats.release()
    seats.release()
    assert seats.get_value() == 3


def test_a_semaphore_s_value_is_1_unless_somebody_says_otherwise(fleet: Fleet) -> None:
    assert fleet.Semaphore("one").get_value() == 1
    assert fleet.Semaphore("two", value=2).get_value() == 2
    assert fleet.Semaphore("two").get_value() == 2
    with pytest.raises(ValueError, match="exists already"):
        fleet.Semaphore("two", 3)


def test_a_bounded_semaphore_lets_so_many_in_at_once_over_all_connections(crawl: ServedCrawl) -> None:
    inside: list[int] = []
    most: list[int] = []

    def enter(fleet: Fleet) -> None:
        seats = fleet.BoundedSemaphore("seats", 2)
        for each in range(5):
            with seats:
                inside.append(each)
                most.append(len(inside))
                inside.pop()

    with connect(crawl.token) as one, connect(crawl.token) as two, ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(enter, fleet) for fleet in (one, two, one, two)]:
            future.result(60)
        assert len(most) == 20
        assert max(most) <= 2
        with pytest.raises(ValueError, match="released too many times"):
            one.BoundedSemaphore("seats").release()


def test_the_units_of_a_program_that_has_gone_come_back(crawl: ServedCrawl) -> None:
    with connect(crawl.token) as one, ThreadPoolExecutor(1) as pool:
        with connect(crawl.token) as two:
            assert two.Semaphore("seats").acquire()
            waiting = pool.submit(one.Semaphore("seats").acquire)
        assert waiting.result(10) is True
