"""Named objects as arguments of processes that are started by spawn."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlfleet import Fleet, connect
from crawlfleet.objects import JoinableQueue, PipeEnd, Queue, Value
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects
from tests.site.served_crawl import ServedCrawl, served


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[ServedCrawl]:
    with served(tmp_path, wait=True) as crawl:
        yield crawl


@pytest.fixture
def fleet(crawl: ServedCrawl) -> Iterator[Fleet]:
    with connect(crawl.token) as fleet:
        yield fleet


def _work(items: JoinableQueue, done: Queue, number: Value, end: PipeEnd, fleet: Fleet) -> None:
    assert items._source is done._source is number._source is end._source is fleet
    for item in iter(items.get, None):
        done.put(item)
        number.add(item)
        items.task_done()
    end.send(fleet.Value("n").get())
    end.recv()
    items.get()


def test_a_process_that_a_hook_forks_does_not_use_its_workers_objects(fleet: Fleet) -> None:
    number = SharedObjects.of_worker(fleet.client).Value("n")
    assert number.add(1) == 1
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe()

    def child() -> None:
        try:
            its.send(number.add(100))
        except RuntimeError as error:
            its.send(str(error))

    process = context.Process(target=child)
    process.start()
    assert mine.poll(10)
    assert mine.recv() == "the objects of a hook belong to its worker: connect() in another process"
    process.join(10)
    assert number.add(10) == 11


def test_a_child_that_is_started_with_objects_uses_them(fleet: Fleet) -> None:
    items, done, number = fleet.JoinableQueue("items", 1), fleet.Queue("done"), fleet.Value("n")
    mine, its = fleet.Pipe("p"), fleet.Pipe("p")
    child = multiprocessing.get_context("spawn").Process(
        target=_work, args=(items, done, number, its, fleet), daemon=True
    )
    child.start()
    its.close()
    for item in (1, 2, 3):
        items.put(item)
    items.join()
    items.put(None)
    assert mine.recv() == 6
    items.put("taken, and not done")
    mine.send("go on")
    with pytest.raises(EOFError):
        mine.recv()
    child.join(10)
    assert child.exitcode == 0
    assert items.get(timeout=5) is None
    assert items.get(timeout=5) == "taken, and not done"
    assert [done.get(), done.get(), done.get()] == [1, 2, 3]


def test_nothing_is_pickled_otherwise(fleet: Fleet) -> None:
    end = fleet.Pipe("p")
    for each in (fleet, fleet.Lock("door"), fleet.Queue("q"), end):
        for dump in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match="only when that starts"):
                dump(each)
    assert not end.closed


def test_the_objects_of_a_hook_stay_with_it() -> None:
    def join() -> ObjectClient:
        raise AssertionError("it was not asked for")

    with pytest.raises(TypeError, match="belong to its worker"):
        pickle.dumps(SharedObjects(join))
