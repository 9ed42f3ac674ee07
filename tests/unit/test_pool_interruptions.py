"""Ctrl-C at every place in the code of pools at which the interpreter looks for signals: nobody waits for ever then."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from crawlfleet.fleet.pool import asker as askers
from crawlfleet.fleet.pool.async_result import MapResult
from crawlfleet.fleet.pool.pool import Pool
from tests.unit.pool_coordinator import SOON_S, FakeCoordinator, asker_of, pool_of, until

CODE = str(Path(askers.__file__).parent)
MOST_PLACES = 1_000
URLS = ["1", "2", "3"]


def interrupted(work: Callable[[], object], place: int) -> bool:
    """Do work, and interrupt it at the given place; say False if it has not so many."""
    left = place

    def look(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal left
        # What a generator raises when it is thrown away goes nowhere.
        is_place = event in ("call", "c_return") and not frame.f_code.co_flags & inspect.CO_GENERATOR
        if is_place and frame.f_code.co_filename.startswith(CODE):
            left -= 1
            if not left:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(look)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def in_time(work: Callable[[], object]) -> bool:
    """Say whether work is done soon."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SOON_S)
    return not thread.is_alive()


class Scene:
    """A pool of which something is open, and a coordinator that holds it back."""

    def __init__(self) -> None:
        self.coordinator = FakeCoordinator()
        self.coordinator.change(is_holding=True)
        self.pool: Pool = pool_of(self.coordinator)
        self.future = self.pool.submit("future", None, False)
        self.result = self.pool.apply_async("result")
        self.map = self.pool.map_async(URLS)
        self.pages = self.pool.imap(URLS)
        self.kept: list[object] = []
        self.coordinator.until(lambda: len(self.coordinator.asks) == 8)

    def cancel_unsent(self) -> None:
        with self.coordinator.changed:  # so nothing can be sent
            self.pool.submit("first", None, False)
            self.pool.submit("second", None, False).cancel()

    def is_all_answered(self) -> bool:
        return self.future.done() and self.result.ready() and self.map.ready()


WORKS: dict[str, Callable[[Scene], object]] = {
    "apply": lambda scene: scene.pool.apply_async("a"),
    "submit": lambda scene: scene.pool.submit("a", None, False),
    "map": lambda scene: scene.pool.map_async(["a", "b"]),
    # Kept: an interrupted finalizer tells nobody.
    "imap": lambda scene: scene.kept.append(scene.pool.imap(["a", "b"])),
    "cancel": lambda scene: scene.future.cancel(),
    "cancel_unsent": Scene.cancel_unsent,
    "withdraw": lambda scene: scene.map.withdraw(),
    "drop": lambda scene: scene.pages.close(),
    "terminate": lambda scene: scene.pool.terminate(),
}


@pytest.mark.parametrize("name", WORKS)
def test_a_pool_can_be_closed_and_joined_after_an_interruption_anywhere(name: str) -> None:
    place = 0
    while (place := place + 1) < MOST_PLACES:
        scene = Scene()
        was_interrupted = interrupted(lambda scene=scene: WORKS[name](scene), place)  # type: ignore[misc]  # a lambda with a default
        scene.coordinator.let_go()
        scene.pool.close()
        assert in_time(scene.pool.join), f"join waits for ever after an interruption at place {place}"
        until(scene.is_all_answered)
        scene.pool._asker.close()
        if not was_interrupted:
            break
    assert 1 < place < MOST_PLACES


def test_the_error_of_a_signal_handler_is_not_taken_for_that_of_a_callback() -> None:
    """A handler of SIGTERM may raise `SystemExit` while the main thread answers what it has terminated."""

    def leave(_error: object) -> None:
        raise SystemExit("of a signal handler")

    coordinator = FakeCoordinator()
    coordinator.change(is_holding=True)
    pool = pool_of(coordinator)
    first = pool.apply_async("first", error_callback=leave)
    second = pool.submit("second", None, False)
    coordinator.until(lambda: len(coordinator.asks) == 2)
    with pytest.raises(SystemExit):
        pool.terminate()
    until(lambda: first.ready() and second.done())
    assert in_time(pool.join)


class Latched:
    """A lock at whose release a thread waits, once, until it may go on."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.waiting: dict[int, threading.Event] = {}
        self.are_there = threading.Semaphore(0)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()
        gate = self.waiting.pop(threading.get_ident(), None)
        if gate is not None:
            self.are_there.release()
            gate.wait(SOON_S)


def test_two_who_ask_while_the_connection_is_closed_do_not_wait_for_each_other() -> None:
    coordinator = FakeCoordinator()
    coordinator.change(is_holding=True)
    asker = asker_of(coordinator)
    pool = asker.open_pool()
    lock = asker._asks._lock = Latched()
    gate = threading.Event()
    results = [MapResult(asker, pool, [(url, None, False) for url in URLS], window=1) for _ in range(2)]
    for result in results:
        result.start()
    coordinator.until(lambda: len(coordinator.asks) == 2)

    def ask(result: MapResult) -> None:
        with result._lock:
            result._window = 2
            lock.waiting[threading.get_ident()] = gate
            result._feed()

    threads = [threading.Thread(target=ask, args=(result,), daemon=True) for result in results]
    for thread in threads:
        thread.start()
        lock.are_there.acquire(timeout=SOON_S)
    closing = threading.Thread(target=asker.close, daemon=True)
    closing.start()
    until(lambda: asker._asks.is_closed)
    gate.set()
    for thread in (*threads, closing):
        thread.join(SOON_S)
        assert not thread.is_alive(), "they wait for each other"
