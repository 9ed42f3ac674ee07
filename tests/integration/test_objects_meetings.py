"""Events, conditions and barriers of a real coordinator: threads of several programs meet."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from crawlfleet import Fleet, SharedObjects, connect
from crawlfleet.worker.hook_waited import HookWaited
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.shared_objects import dial_objects
from tests.site.served_crawl import ServedCrawl, served


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[ServedCrawl]:
    with served(tmp_path, wait=True) as crawl:
        yield crawl


@pytest.fixture
def fleets(crawl: ServedCrawl) -> Iterator[tuple[Fleet, Fleet]]:
    with connect(crawl.token) as one, connect(crawl.token) as two:
        yield one, two


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_an_event_of_one_program_wakes_another(fleets: tuple[Fleet, Fleet], pool: ThreadPoolExecutor) -> None:
    mine, theirs = (fleet.Event("go") for fleet in fleets)
    assert [mine.is_set(), mine.wait(0), mine.wait(0.01), mine.wait(-1)] == [False] * 4
    waiting = [pool.submit(theirs.wait) for _ in range(3)]
    mine.set()
    assert [each.result(10) for each in waiting] == [True] * 3
    assert [theirs.is_set(), theirs.wait(0)] == [True] * 2
    theirs.clear()
    assert mine.is_set() is False
    with pytest.raises(OverflowError):
        mine.wait(2 * threading.TIMEOUT_MAX)


# Conditions


@pytest.mark.parametrize("lock", ["Lock", "RLock", None])
def test_programs_hand_something_over_by_a_condition(
    fleets: tuple[Fleet, Fleet], pool: ThreadPoolExecutor, lock: str | None
) -> None:
    mine, theirs = (fleet.Condition("c", getattr(fleet, lock)("door") if lock else None) for fleet in fleets)
    stock: list[int] = []

    def take() -> int:
        with theirs:
            assert theirs.wait_for(lambda: bool(stock))
            return stock.pop()

    taking = [pool.submit(take) for _ in range(3)]
    for number in range(3):
        with mine:
            stock.append(number)
            mine.notify()
    assert sorted(each.result(10) for each in taking) == [0, 1, 2]


def test_all_are_notified_in_turn(fleets: tuple[Fleet, Fleet], pool: ThreadPoolExecutor) -> None:
    mine, theirs = (fleet.Condition("c") for fleet in fleets)
    ready, inside = threading.Semaphore(0), []

    def wait() -> bool:
        with theirs:
            ready.release()
            woken = theirs.wait(10)
            inside.append(1)
            assert len(inside) == 1
            inside.pop()
            return woken

    waiting = [pool.submit(wait) for _ in range(4)]
    for _ in waiting:
        ready.acquire()
    with mine:
        mine.notify_all()
    assert [each.result(10) for each in waiting] == [True] * 4


def test_a_condition_keeps_to_time_and_to_its_lock(fleets: tuple[Fleet, Fleet]) -> None:
    condition = fleets[0].Condition("c")
    with condition:
        assert [condition.wait(0), condition.wait(0.01), condition.wait(-1)] == [False] * 3
        assert condition.wait_for(lambda: 0, timeout=0.01) == 0
        assert condition.wait_for(lambda: 7, timeout=0) == 7
        assert condition.acquire(False)
        condition.release()
    for method in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            method()
    with pytest.raises(ValueError, match="exists already, with a lock of its own"):
        fleets[1].Condition("c", fleets[1].Lock("door"))
    with pytest.raises(TypeError, match="is a Lock or an RLock of the fleet"):
        fleets[1].Condition("d", threading.Lock())  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("lock_is_free", [True, False])
def test_ctrl_c_leaves_a_wait_with_the_lock_held(crawl: ServedCrawl, lock_is_free: bool) -> None:
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()

    def child(fleet: Fleet) -> None:
        condition = fleet.Condition("c", fleet.RLock("door"))
        try:
            with condition, condition:
                theirs.send("waits")
                condition.wait()
        except KeyboardInterrupt:
            theirs.send("interrupted")

    with connect(crawl.token) as fleet:
        lock = fleet.RLock("door")
        process = context.Process(target=child, args=(fleet,))
        process.start()
        assert mine.recv() == "waits"
        assert lock.acquire(timeout=10)  # the child waits now
        if lock_is_free:
            lock.release()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        if not lock_is_free:
            assert not mine.poll(0.2)
            lock.release()
        assert mine.poll(10)
        assert mine.recv() == "interrupted"
        process.join(10)
        assert lock.acquire(timeout=10)


@pytest.mark.parametrize("lock_is_free", [True, False])
def test_a_hook_that_waits_too_long_for_a_notification_ends_as_it_does_elsewhere(
    fleets: tuple[Fleet, Fleet], pool: ThreadPoolExecutor, lock_is_free: bool
) -> None:
    one, two = fleets
    session = two._open_session().id
    hook = SharedObjects(
        lambda: ObjectClient(partial(dial_objects, two._manager), session, patience_s=5, hook_wait_s=0.1)
    )
    mine, theirs = one.Condition("c"), hook.Condition("c")

    def parse() -> None:
        with theirs:
            taking = None if lock_is_free else pool.submit(mine.acquire)
            with pytest.raises(HookWaited) as waited:
                theirs.wait()
            assert taking is None or taking.result(10)
            raise waited.value

    with pytest.raises(HookWaited):
        parse()
    assert bool(mine.acquire(False)) is lock_is_free


# Barriers


def test_a_barrier_holds_threads_of_several_programs_back(
    fleets: tuple[Fleet, Fleet], pool: ThreadPoolExecutor
) -> None:
    acted: list[int] = []
    gates = [fleet.Barrier("gate", 4, lambda: acted.append(1), 10) for fleet in fleets * 2]
    for round_number in range(1, 4):
        indexes = [each.result(10) for each in [pool.submit(gate.wait) for gate in gates]]
        assert sorted(indexes) == [0, 1, 2, 3]
        assert len(acted) == round_number
    assert (gates[0].parties, gates[0].n_waiting, gates[0].broken) == (4, 0, False)


def _wait(gate: Callable[[], int]) -> str:
    try:
        return str(gate())
    except threading.BrokenBarrierError:
        return "broken"


def test_an_action_that_raises_breaks_the_barrier(fleets: tuple[Fleet, Fleet], pool: ThreadPoolExecutor) -> None:
    def fail() -> None:
        raise KeyError("action")

    acting, other = fleets[0].Barrier("gate", 2, fail), fleets[1].Barrier("gate", 2)
    waiting = pool.submit(_wait, other.wait)
    with pytest.raises(KeyError, match="action"):
        acting.wait()
    assert waiting.result(10) == "broken"
    assert acting.broken is True
    acting.reset()
    assert other.broken is False


def test_a_barrier_breaks_after_the_time_of_the_program_or_the_call(fleets: tuple[Fleet, Fleet]) -> None:
    hasty, patient = fleets[0].Barrier("gate", 2, timeout=0.01), fleets[1].Barrier("gate", 2)
    for wait in (hasty.wait, lambda: patient.wait(0.01), lambda: patient.wait(timeout=0)):
        assert _wait(wait) == "broken"
        patient.reset()
    patient.abort()
    assert _wait(hasty.wait) == "broken"
