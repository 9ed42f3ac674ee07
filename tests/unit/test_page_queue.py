"""Hosts take turns in the queue of fetched pages, and end marks come behind all pages."""

from __future__ import annotations

import queue
import threading

import pytest

from crawlfleet.shared.messages import Kind, Task
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.page_queue import FetchedPage, PageQueue

PATIENCE_S = 10.0


def page(host: str, name: str, body: bytes = b"") -> FetchedPage:
    task = Task(ref=name.encode(), kind=Kind.PAGE, url=f"http://{host}/{name}", depth=0)
    attempt = Attempt(lease_id=1, host=host, task=task, started_at=0.0)
    return FetchedPage(attempt, Fetched(url=task.url, status=200, body=body))


def take(pages: PageQueue) -> str:
    taken = pages.get(timeout=PATIENCE_S)
    return taken.attempt.task.ref.decode() if taken is not None else "end"


def test_pages_of_a_host_keep_their_order_and_hosts_take_turns() -> None:
    pages = PageQueue()
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        pages.put(page(name[0], name))
    assert [take(pages) for _ in range(4)] == ["a1", "b1", "c1", "a2"]
    pages.put(page("c", "c2"))
    assert [take(pages) for _ in range(3)] == ["b2", "a3", "c2"]


def test_a_host_with_one_page_waits_behind_one_page_of_each_other_host() -> None:
    pages = PageQueue()
    for number in range(1000):
        pages.put(page("sick", str(number)))
    pages.put(page("honest", "here"))
    assert [take(pages) for _ in range(2)] == ["0", "here"]


def test_end_marks_come_behind_all_pages_even_those_that_come_later() -> None:
    pages = PageQueue()
    pages.put(page("a", "a1"))
    pages.put(None)
    pages.put(None)
    pages.put(page("b", "b1"))
    assert [take(pages) for _ in range(4)] == ["a1", "b1", "end", "end"]


def test_get_gives_up_at_its_timeout() -> None:
    pages = PageQueue()
    with pytest.raises(queue.Empty):
        pages.get(timeout=0.01)
    with pytest.raises(queue.Empty):
        pages.get(timeout=0)


def test_every_waiting_thread_gets_what_comes() -> None:
    pages = PageQueue()
    taken: queue.SimpleQueue[str] = queue.SimpleQueue()
    threads = [threading.Thread(target=lambda: taken.put(take(pages))) for _ in range(3)]
    for thread in threads:
        thread.start()
    pages.put(page("a", "a1"))
    pages.put(None)
    pages.put(page("b", "b1"))
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(taken.get(timeout=PATIENCE_S) for _ in threads) == ["a1", "b1", "end"]


def test_it_tells_what_waits_and_who_takes_it() -> None:
    seen: list[FetchedPage] = []
    pages = PageQueue(seen.append)
    assert pages.empty()
    first, second = page("a", "a1", b"12345"), page("a", "a2", b"678")
    pages.put(first)
    pages.put(second)
    assert (pages.qsize(), pages.empty(), pages.waiting("a"), pages.waiting("b")) == (2, False, (2, 8), (0, 0))
    take(pages)
    assert (pages.qsize(), pages.waiting("a"), seen) == (1, (1, 3), [first])
    pages.put(None)
    take(pages)
    assert take(pages) == "end"
    assert (pages.qsize(), pages.empty(), seen) == (0, True, [first, second])
