"""Calls that take long without the interpreter are made aside, and run last once they do."""

from __future__ import annotations

import os
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from crawlfleet.worker import aside
from crawlfleet.worker.aside import LONG_S, LOW, Aside
from crawlfleet.worker.extract import lexbor_tree
from crawlfleet.worker.extract.port import Source
from crawlfleet.worker.process.cpu_time import ThreadClock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
BLOCK = bytes(1 << 20)


def burn(cpu_s: float) -> int:
    """Take CPU time, mostly without the interpreter; return the priority of this thread at the end."""
    clock = ThreadClock()
    end = clock.seconds() + cpu_s
    while clock.seconds() < end:
        zlib.crc32(BLOCK)
    return os.getpriority(os.PRIO_PROCESS, 0)


def watched(work: Callable[[], None]) -> None:
    """Do something in a thread of its own; raise what it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  raised below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def test_a_call_that_takes_long_runs_last_and_the_thread_that_waits_for_it_does_not() -> None:
    calls = Aside()

    def work() -> None:
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        calls.watch()
        assert calls.run(lambda: burn(3 * LONG_S)) == max(LOW, usual)
        assert os.getpriority(os.PRIO_PROCESS, 0) == usual
        # The next call has a thread of the usual priority again.
        assert calls.run(lambda: burn(0.0)) == usual
        assert calls.taken(threading.get_ident()).cpu_s >= 3 * LONG_S

    watched(work)


def test_short_calls_share_a_thread_aside() -> None:
    calls = Aside()

    def work() -> None:
        calls.watch()
        threads = {calls.run(threading.get_ident) for _ in range(10)}
        assert len(threads) == 1
        assert threading.get_ident() not in threads
        assert calls.taken(threading.get_ident()).kept_s == 0.0

    watched(work)


def test_a_thread_that_is_not_watched_makes_its_calls_itself() -> None:
    calls = Aside()
    assert calls.run(threading.get_ident) == threading.get_ident()
    assert calls.taken(threading.get_ident()) == (0.0, 0.0)


def test_an_error_of_a_call_reaches_the_thread_that_made_it() -> None:
    calls = Aside()

    def fail() -> None:
        raise MemoryError("no room")

    def work() -> None:
        calls.watch()
        with pytest.raises(MemoryError, match="no room"):
            calls.run(fail)
        assert calls.run(lambda: 7) == 7

    watched(work)


def test_without_room_for_a_thread_the_call_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Aside()

    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(aside, "start_new_thread", refuse)

    def work() -> None:
        calls.watch()
        assert calls.run(threading.get_ident) == threading.get_ident()

    watched(work)


def test_a_call_that_ends_while_its_priority_is_lowered_leaves_no_thread_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, threads, ended = Aside(), set[int](), threading.Event()

    def lower(thread_id: int) -> None:
        threads.add(thread_id)
        ended.set()

    monkeypatch.setattr(aside, "lower", lower)

    def work() -> None:
        calls.watch()

        def long() -> None:
            burn(2 * LONG_S)
            ended.wait()

        calls.run(long)
        calls.run(lambda: None)

    watched(work)
    (thread_id,) = threads
    for _ in range(1_000):
        if not Path(f"/proc/self/task/{thread_id}").exists():
            return
        ended.clear()
        ended.wait(0.01)
    raise AssertionError("the thread aside goes on")


def test_a_call_that_is_kept_from_running_says_for_how_long() -> None:
    now = [100.0]
    calls = Aside(lambda: now[0])

    def work() -> None:
        calls.watch()
        ident = threading.get_ident()

        def long() -> None:
            burn(2 * LONG_S)
            while not calls._low:
                burn(0.01)
            before = calls.taken(ident).kept_s
            now[0] += 50.0
            assert 49.0 < calls.taken(ident).kept_s - before <= 50.0

        calls.run(long)
        assert 49.0 < calls.taken(ident).kept_s <= 50.0

    watched(work)


def test_the_tree_of_large_markup_is_built_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, builders = Aside(), list[int]()
    monkeypatch.setattr(lexbor_tree, "ASIDE", calls)
    build = lexbor_tree._tree

    def noted(markup: bytes) -> LexborHTMLParser:
        builders.append(threading.get_ident())
        return build(markup)

    monkeypatch.setattr(lexbor_tree, "_tree", noted)

    def work() -> None:
        calls.watch()
        for size in (10, lexbor_tree.LARGE_BYTES + 1):
            root = lexbor_tree.parse(Source(b"<p>" + b"x" * size, "text/html")).css_first("p")
            assert root is not None
            assert len(root.text()) == size
        me = threading.get_ident()
        assert [each == me for each in builders] == [True, False]

    watched(work)
