"""Named objects of a connection that was closed say so, those of every family, also to a call that waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crawlfleet import Fleet, connect
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects, dial_objects
from tests.site.served_crawl import ServedCrawl, served

OPEN: dict[str, tuple[Callable[[Fleet], Any], str]] = {
    "locks": (lambda fleet: fleet.Lock("door"), "acquire"),
    "values": (lambda fleet: fleet.Value("n"), "get"),
    "semaphores": (lambda fleet: fleet.Semaphore("units", 2), "acquire"),
    "events": (lambda fleet: fleet.Event("go"), "set"),
    "conditions": (lambda fleet: fleet.Condition("news"), "acquire"),
    "barriers": (lambda fleet: fleet.Barrier("met", 2), "abort"),
    "dicts": (lambda fleet: fleet.dict("d"), "copy"),
    "sets": (lambda fleet: fleet.set("s"), "clear"),
    "queues": (lambda fleet: fleet.Queue("q"), "qsize"),
    "pipes": (lambda fleet: fleet.Pipe("p"), "poll"),
}


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCrawl]:
    folder: Path = tmp_path_factory.mktemp("crawl")
    with served(folder, wait=True) as crawl, connect(crawl.token) as program:
        program.Lock("keeps the crawl open")
        yield crawl


@pytest.mark.parametrize("family", OPEN)
def test_use_after_close_is_a_clear_error(crawl: ServedCrawl, family: str) -> None:
    open_it, method = OPEN[family]
    with connect(crawl.token) as fleet:
        it = open_it(fleet)
    with pytest.raises(ValueError, match=r"this connection to the crawl is closed: connect\(\) again"):
        getattr(it, method)()


@pytest.mark.parametrize(
    "open_it", [lambda fleet: fleet.Lock("door"), lambda fleet: fleet.Queue()], ids=["object", "queue"]
)
def test_what_is_opened_after_close_opens_no_session(crawl: ServedCrawl, open_it: Callable[[Fleet], Any]) -> None:
    fleet = connect(crawl.token)
    sessions = fleet.status().sessions
    fleet.close()
    with pytest.raises(ValueError, match="this connection to the crawl is closed"):
        open_it(fleet)
    with connect(crawl.token) as other:
        assert other.status().sessions == sessions


def test_objects_that_are_closed_while_they_join_are_closed(crawl: ServedCrawl) -> None:
    joining, may_join = threading.Event(), threading.Event()
    with connect(crawl.token) as fleet, ThreadPoolExecutor(1) as pool:

        def join() -> ObjectClient:
            joining.set()
            assert may_join.wait(10)
            return ObjectClient(partial(dial_objects, fleet._manager), "s", patience_s=5)

        objects = SharedObjects(join)
        opening = pool.submit(lambda: objects.Lock("door"))
        assert joining.wait(10)
        objects._close_objects()
        may_join.set()
        with pytest.raises(ValueError, match="this connection to the crawl is closed"):
            opening.result(10)


def test_a_call_that_waits_hears_that_the_connection_is_closed(crawl: ServedCrawl) -> None:
    fleet = connect(crawl.token)
    mine, its = fleet.Queue("mine"), fleet.Queue("its")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: (mine.get(), its.get()))
        mine.put("go")
        fleet.close()
        with pytest.raises(ValueError, match="this connection to the crawl is closed"):
            waiting.result(10)
