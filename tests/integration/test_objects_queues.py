"""Queues of the fleet over a real coordinator."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crawlfleet import Fleet, JobFinished, connect
from crawlfleet.fleet.work_queue import Queue as WorkQueue
from crawlfleet.objects import JoinableQueue, Queue
from tests.site.served_crawl import ServedCrawl, served


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[ServedCrawl]:
    with served(tmp_path, wait=True) as crawl:
        yield crawl


@pytest.fixture
def fleet(crawl: ServedCrawl) -> Iterator[Fleet]:
    with connect(crawl.token) as fleet:
        yield fleet


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])
def test_a_queue_has_the_methods_of_a_managers_queue(fleet: Fleet, kind: str) -> None:
    items: Queue = getattr(fleet, kind)("q", 2)
    assert (items.empty(), items.full(), items.qsize()) == (True, False, 0)
    items.put(1)
    items.put_nowait({("a", 2): {3}})
    assert (items.empty(), items.full(), items.qsize()) == (False, True, 2)
    for block, timeout in ((False, None), (True, 0.01), (False, 5)):
        with pytest.raises(queue.Full):
            items.put(3, block, timeout)
        with pytest.raises(queue.Full):
            items.put_nowait(3)
    assert (items.get(), items.get(timeout=1)) == (1, {("a", 2): {3}})
    for block, timeout in ((False, None), (True, 0.01), (False, 5)):
        with pytest.raises(queue.Empty) as caught:
            items.get(block, timeout)
        assert not isinstance(caught.value, JobFinished)
        with pytest.raises(queue.Empty):
            items.get_nowait()
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        items.get(timeout=-1)
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        items.put(1, timeout=-1)
    with pytest.raises(queue.Empty):
        items.get(False, -1)
    items.task_done()
    items.task_done()
    items.join()
    with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
        items.task_done()
    with pytest.raises(TypeError, match=r"object"):
        items.put([object()])
    with pytest.raises(ValueError, match="another maxsize: 2"):
        getattr(fleet, kind)("q", 1)


def test_a_queue_with_a_name_is_not_the_crawls_work(fleet: Fleet) -> None:
    assert isinstance(fleet.Queue(), WorkQueue)
    assert type(fleet.Queue("q")) is Queue
    assert type(fleet.JoinableQueue("q")) is JoinableQueue
    fleet.Queue("q").put("here")
    assert fleet.JoinableQueue("q").empty()


def test_workers_share_the_items_and_join_waits_for_them(crawl: ServedCrawl, fleet: Fleet) -> None:
    items, done = fleet.JoinableQueue("items", maxsize=3), fleet.Queue("done")

    def work() -> list[int]:
        mine = []
        with connect(crawl.token) as other:
            taken: Any = other.JoinableQueue("items")
            for item in iter(taken.get, None):
                mine.append(item)
                other.Queue("done").put(item)
                taken.task_done()
            taken.task_done()
        return mine

    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(work) for _ in range(3)]
        for item in range(20):
            items.put(item)
        items.join()
        assert done.qsize() == 20
        for _ in workers:
            items.put(None)
        shares = [worker.result(20) for worker in workers]
    assert sorted(item for share in shares for item in share) == list(range(20))
    assert all(share == sorted(share) for share in shares)


def test_what_a_program_took_comes_back_when_it_goes(crawl: ServedCrawl, fleet: Fleet) -> None:
    items = fleet.JoinableQueue("items")
    items.put("first")
    items.put("second")
    with connect(crawl.token) as other:
        assert other.JoinableQueue("items").get() == "first"
    assert [items.get(timeout=10), items.get(timeout=10)] == ["first", "second"]


def test_a_closed_connection_is_told(crawl: ServedCrawl) -> None:
    other = connect(crawl.token)
    items = other.Queue("q")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(items.get)
        items.put(1)
        assert waiting.result(10) == 1
    other.close()
    for use in (items.get, lambda: items.put(1), items.qsize, items.join):
        with pytest.raises(ValueError, match="closed"):
            use()
