"""Which page a node ends, by what it sees of a worker process from outside."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

import pytest

from crawlfleet.shared.messages import TaskKey
from crawlfleet.worker.process import cpu_time
from crawlfleet.worker.process.cpu_time import ThreadGone
from crawlfleet.worker.process.current_pages import CurrentPages, PageLimits, PageRecord, WorkerPages, outline_of
from crawlfleet.worker.process.overdue import LAST_S, Overdue, PageWatch

LIMITS = PageLimits(cpu_s=30.0, parse_time_s=600.0, lease_s=15.0)


class Process:
    """A worker process at a given time: its threads have taken `cpu_s`, by number."""

    def __init__(self) -> None:
        self.pages: WorkerPages = CurrentPages(multiprocessing.get_context("spawn"), workers=1, threads=2).of(0)
        self.pages.set_limits(LIMITS, 0.0)
        self.watch = PageWatch(self.pages, 1)
        self.cpu_s: dict[int, float | None] = {0: 0.0, 1: 0.0}

    def begin(self, thread: int, at: float = 0.0) -> None:
        key = TaskKey(1, b"%d" % thread)
        page = PageRecord(0, key, thread, at, self.cpu_s[thread] or 0.0, at, 0.0, outline_of(key), f"http://a/{thread}")
        self.pages.begin(thread, page)

    def of_thread(self, _process: int, thread: int) -> float | None:
        if thread not in self.cpu_s:
            raise ThreadGone
        return self.cpu_s[thread]

    def look(self, now: float, beat: float | None = None) -> Overdue | None:
        """Look twice; the worker last ran at `beat`, by default now."""
        self.pages.beat(now if beat is None else beat)
        assert self.watch.look(now) is None
        return self.watch.look(now)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    process = Process()
    of_thread: Callable[[int, int], float | None] = process.of_thread
    monkeypatch.setattr(cpu_time, "of_thread", of_thread)
    return process


def test_a_page_is_ended_for_its_cpu_time_if_its_worker_has_not_done_so(process: Process) -> None:
    process.cpu_s[0] = 100.0
    process.begin(0)
    process.cpu_s[0] = 130.9
    assert process.look(31.0) is None
    process.cpu_s[0] = 131.1
    found = process.look(32.0)
    assert found is not None
    assert (found.page.url, found.reason, round(found.cpu_s, 1)) == ("http://a/0", "cpu_limit", 31.1)
    ended = found.as_ended()
    assert (ended.reason, round(ended.report(40.0).cpu_s, 1)) == ("cpu_limit", 31.1)


def test_a_page_that_was_just_begun_is_not_ended_for_the_one_before(process: Process) -> None:
    process.begin(0)
    process.cpu_s[0] = 40.0
    process.pages.beat(40.0)
    assert process.watch.look(40.0) is None
    process.begin(0, 40.0)
    assert process.watch.look(40.5) is None


def test_a_page_that_keeps_the_interpreter_is_ended_before_the_leases_are_lost(process: Process) -> None:
    process.begin(0)
    process.begin(1)
    assert process.look(1.0) is None
    process.cpu_s = {0: 1.0, 1: 7.0}
    assert process.look(8.4, beat=1.0) is None
    found = process.look(8.6, beat=1.0)
    assert found is not None
    assert (found.page.url, found.reason) == ("http://a/1", "cpu_limit")
    assert found.detail == "reading it kept the interpreter for 7.5 s, so that its worker could not renew its leases"


@pytest.mark.parametrize("cpu_s", [0.0, None], ids=["stopped", "not told"])
def test_a_process_that_is_stopped_is_not_ended(process: Process, cpu_s: float | None) -> None:
    process.cpu_s[0] = cpu_s
    process.begin(0)
    assert process.look(1.0) is None
    assert process.look(100.0, beat=1.0) is None


def test_a_page_is_ended_for_its_time_without_its_waits(process: Process) -> None:
    del process.cpu_s[1]
    process.cpu_s[1] = 0.0
    process.begin(1)
    del process.cpu_s[1]
    process.pages.note_waits(1, 100.0)
    assert process.look(704.0) is None
    found = process.look(706.0)
    assert found is not None
    assert (found.reason, found.detail) == ("parse_time", "reading it took longer than 10m (limits.parse_time)")


def test_a_worker_that_has_ended_a_page_may_drain_for_a_while(process: Process) -> None:
    process.begin(0)
    process.pages.mark(0, "cpu_limit", "took too much")
    process.cpu_s[0] = 1_000.0
    assert process.look(10.0) is None
    found = process.look(11.0 + LAST_S)
    assert found is not None
    assert (found.reason, found.detail) == ("cpu_limit", "took too much")
