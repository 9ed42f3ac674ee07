"""Hosts take turns in the queue of fetched pages, and end marks come behind all pages."""

from __future__ import annotations

import queue
import threading

import pytest

from crawlfleet.shared.messages import Kind, Task
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.page_queue import FetchedPage, MayTake, PageQueue, take_any

PATIENCE_S = 10.0


def page(host: str, name: str, body: bytes = b"") -> FetchedPage:
    task = Task(ref=name.encode(), kind=Kind.PAGE, url=f"http://{host}/{name}", depth=0)
    attempt = Attempt(lease_id=1, host=host, task=task, started_at=0.0)
    return FetchedPage(attempt, Fetched(url=task.url, status=200, body=body))


def take(pages: PageQueue, timeout_s: float | None = PATIENCE_S, may_take: MayTake = take_any) -> str:
    taken = pages.get(timeout_s, may_take)
    return taken.attempt.task.ref.decode() if taken is not None else "end"


def test_pages_of_a_host_keep_their_order_and_hosts_take_turns() -> None:
    pages = PageQueue()
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        pages.put(page(name[0], name))
    assert [take(pages) for _ in range(4)] == ["a1", "b1", "c1", "a2"]
    pages.put(page("c", "c2"))
    assert [take(pages) for _ in range(3)] == ["b2", "c2", "a3"]


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


def test_a_thread_takes_the_first_page_in_turn_that_it_may_take() -> None:
    pages = PageQueue()
    for host, name in (("a", "a1"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
        pages.put(page(host, name))
    asked: list[tuple[str, bool]] = []

    def may_take(host: str, others_wait: bool) -> bool:
        asked.append((host, others_wait))
        return host == "b"

    assert pages.has_any(may_take)
    assert take(pages, 0.0, may_take) == "b1"
    assert take(pages, 0.0, may_take) == "b2"
    assert asked[:2] == [("a", True), ("b", True)]
    assert not pages.has_any(may_take)
    with pytest.raises(queue.Empty):
        take(pages, 0.01, may_take)
    assert [take(pages), take(pages)] == ["a1", "c1"]


def test_a_costly_host_pauses_until_its_time_is_over_or_the_end() -> None:
    now = [100.0]
    pages = PageQueue(clock=lambda: now[0])
    honest, costly = page("honest", "h").attempt, page("costly", "c").attempt
    for _ in range(10):
        pages.note_cost(honest, 0.001, 0.001)
    for _ in range(5):
        pages.note_cost(costly, 0.2, 0.2)
    for each in (page("costly", "c1"), page("costly", "c2"), page("honest", "h1")):
        pages.put(each)
    assert take(pages) == "h1"
    with pytest.raises(queue.Empty):
        take(pages, 0.0)
    now[0] += 5.0
    assert take(pages) == "c1"
    for _ in range(20):
        pages.note_cost(honest, 0.001, 0.001)
    pages.note_cost(costly, 0.2, 0.2)
    with pytest.raises(queue.Empty):
        take(pages, 0.0)
    pages.put(None)
    assert [take(pages), take(pages)] == ["c2", "end"]


def test_an_end_mark_waits_for_pages_that_nobody_may_take_yet() -> None:
    pages = PageQueue()
    pages.put(page("a", "a1"))
    pages.put(None)
    may = threading.Event()
    taken: queue.SimpleQueue[str] = queue.SimpleQueue()
    thread = threading.Thread(target=lambda: taken.put(take(pages, None, lambda _host, _others: may.is_set())))
    thread.start()
    with pytest.raises(queue.Empty):
        taken.get(timeout=0.1)
    may.set()
    assert taken.get(timeout=PATIENCE_S) == "a1"
    thread.join()
    assert take(pages) == "end"
