"""Calls while a commit is under way: they are run at once, and answered once they are committed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

import pytest

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.shared.errors import CrawlFailed, VersionError
from tests.commits import once_run
from tests.unit.late_commits import PATIENCE_S, LateService

Step = Callable[[float], object]


class Bench:
    """A loop over a service whose commits end late, and threads that call it."""

    def __init__(self, callers: ThreadPoolExecutor) -> None:
        self.service = LateService()
        self.commits = self.service.commits
        self.told: list[int] = []
        self.loop = Loop(cast(Service, self.service), on_commit=self._note_commit)
        self._callers = callers

    def put(self, name: str) -> Future[object]:
        """Let a thread make a call that changes something; return once it has been run."""
        return self.run(lambda _now: self.service.seen.append(name))

    def run(self, step: Step) -> Future[object]:
        """Let a thread make a call; return once it has been run."""
        return once_run(self._callers, self.loop.call, step, PATIENCE_S)

    def read(self, step: Step) -> Future[object]:
        """Let a thread read something; return once it has been read."""
        return once_run(self._callers, self.loop.read, step, PATIENCE_S)

    def begin(self, name: str = "first") -> Future[object]:
        """Let a commit be under way, of one call."""
        number = self.commits.begun + 1
        answer = self.put(name)
        self.commits.await_begun(number)
        return answer

    def seen(self, _now: float) -> list[str]:
        """Read what calls have put."""
        return list(self.service.seen)

    def queue(self, how: Callable[[Step], object], step: Step) -> Future[object]:
        """Let a thread make a call that has to wait before it is run; return once it is in line."""
        answer = self.submit(how, step)
        while self.loop._calls.empty():
            threading.Event().wait(0.001)
        return answer

    def submit(self, how: Callable[..., object], *arguments: object) -> Future[object]:
        """Let a thread do something."""
        return self._callers.submit(how, *arguments)

    def _note_commit(self) -> None:
        self.told.append(len(self.service.durable))


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ThreadPoolExecutor(16) as callers:
        bench = Bench(callers)
        bench.loop.start()
        yield bench
        bench.loop.stop()


def result(answer: Future[object]) -> object:
    return answer.result(PATIENCE_S)


def test_a_call_is_run_while_a_commit_is_under_way_and_answered_after_its_own(bench: Bench) -> None:
    first = bench.begin()
    second = bench.put("second")
    assert not first.done()
    assert bench.commits.begun == 1
    bench.commits.end()
    result(first)
    bench.commits.await_begun(2)
    assert not second.done()
    assert bench.service.durable == ["first"]
    bench.commits.end()
    result(second)
    assert bench.service.durable == ["first", "second"]


def test_all_that_was_run_during_a_commit_shares_the_next_one(bench: Bench) -> None:
    first = bench.begin()
    others = [bench.put(str(number)) for number in range(5)]
    for _ in range(2):
        bench.commits.end()
        bench.commits.await_begun(2)
    for answer in (first, *others):
        result(answer)
    assert bench.commits.begun == 2


def test_what_is_read_while_nothing_is_under_way_waits_for_nothing(bench: Bench) -> None:
    assert bench.loop.read(bench.seen) == []
    assert bench.commits.begun == 0


def test_what_is_read_waits_for_the_commit_under_way_that_it_saw(bench: Bench) -> None:
    first = bench.begin()
    read = bench.read(bench.seen)
    assert not read.done()
    bench.commits.end()
    assert result(read) == ["first"]
    result(first)
    assert bench.commits.begun == 1


def test_what_is_read_waits_for_the_next_commit_if_it_saw_what_belongs_to_that(bench: Bench) -> None:
    first = bench.begin()
    second = bench.put("second")
    read = bench.read(bench.seen)
    bench.commits.end()
    result(first)
    bench.commits.await_begun(2)
    assert not read.done()
    bench.commits.end()
    assert result(read) == ["first", "second"]
    result(second)


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "call"])
def test_a_refusal_waits_for_what_it_saw_too(bench: Bench, is_read: bool) -> None:
    def refuse(_now: float) -> None:
        raise VersionError(f"{bench.service.seen} is there already")

    first = bench.begin()
    refused = bench.read(refuse) if is_read else bench.run(refuse)
    assert not refused.done()
    bench.commits.end()
    with pytest.raises(VersionError, match="first"):
        result(refused)
    result(first)
    assert bench.loop.failure is None


def test_a_bug_in_what_is_read_during_a_commit_reaches_its_caller_only(bench: Bench) -> None:
    def stumble(_now: float) -> None:
        raise ZeroDivisionError("bug")

    first = bench.begin()
    read = bench.read(stumble)
    bench.commits.end()
    with pytest.raises(ZeroDivisionError):
        result(read)
    result(first)
    assert bench.loop.failure is None


def test_whoever_follows_the_log_hears_of_a_commit_when_it_is_done(bench: Bench) -> None:
    first = bench.begin()
    assert 1 not in bench.told
    bench.commits.end()
    result(first)
    bench.loop.stop()
    assert bench.told[-1] == 1


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "call"])
def test_beyond_a_number_of_calls_the_next_waits_until_the_commit_has_ended(
    bench: Bench, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawlfleet.coordinator.conduct.loop.MOST_DECIDED", 2)
    answers = [bench.begin(), bench.put("second"), bench.put("third")]
    late = bench.queue(bench.loop.read if is_read else bench.loop.call, bench.seen)
    assert bench.service.seen == ["first", "second", "third"]
    for number in range(2):
        bench.commits.end()
        bench.commits.await_begun(min(2, number + 2))
    assert result(late) == ["first", "second", "third"]
    for answer in answers:
        result(answer)


def test_beyond_a_number_of_bytes_the_next_call_waits_until_the_commit_has_ended(bench: Bench) -> None:
    def fill(_now: float) -> None:
        bench.service.seen.append("much")
        bench.service.is_full = True

    first, second = bench.begin(), bench.run(fill)
    late = bench.queue(bench.loop.call, lambda _now: bench.service.seen.append("late"))
    assert bench.loop._calls.qsize() == 1
    bench.commits.end()
    result(first)
    bench.commits.await_begun(2)
    assert not second.done()
    bench.commits.end()
    result(second)
    bench.commits.await_begun(3)
    assert bench.service.durable == ["first", "much"]
    bench.commits.end()
    result(late)


@pytest.mark.parametrize(
    ("conclusion", "sentence"),
    [
        (Conclusion.FENCED, "^another coordinator has taken this crawl over, .* is not counted$"),
        (Conclusion.UNKNOWN, "^the connection to the crawl's database was lost .* nothing that was told is lost$"),
        (CrawlFailed("the disk is full: make room"), "^the disk is full: make room$"),
    ],
    ids=["fenced", "unknown", "failed"],
)
def test_a_commit_that_is_not_done_answers_nobody_and_ends_the_loop(
    bench: Bench, conclusion: Conclusion | Exception, sentence: str
) -> None:
    answers = [bench.begin(), bench.put("second"), bench.read(bench.seen)]
    bench.commits.end(conclusion)
    answers += [bench.submit(how, bench.seen) for how in (bench.loop.call, bench.loop.read)]
    for answer in answers:
        with pytest.raises(CrawlFailed, match=sentence):
            result(answer)
    assert isinstance(bench.loop.failure, CrawlFailed)
    assert bench.loop.lost == (conclusion if isinstance(conclusion, Conclusion) else None)
    assert bench.commits.begun == 1
    assert set(bench.told) <= {0}


def test_a_bug_during_a_commit_reaches_those_too_who_wait_for_it(bench: Bench) -> None:
    def stumble(_now: float) -> None:
        raise ZeroDivisionError("bug")

    answers = [bench.begin(), bench.put("second"), bench.run(stumble)]
    for answer in answers:
        with pytest.raises(CrawlFailed, match="ZeroDivisionError"):
            result(answer)
    bench.commits.end()
    assert bench.service.durable == []


def test_stopping_waits_for_all_commits_of_the_calls_made_before(bench: Bench) -> None:
    answers = [bench.begin(), bench.put("second")]
    stopped = bench.submit(bench.loop.stop)
    for number in (1, 2):
        bench.commits.await_begun(number)
        assert not stopped.done()
        bench.commits.end()
    stopped.result(PATIENCE_S)
    for answer in answers:
        result(answer)
    assert bench.service.durable == ["first", "second"]


def test_a_commit_that_ends_where_it_begins_wakes_nobody() -> None:
    service = LateService()
    loop = Loop(cast(Service, service), on_commit=lambda: None)  # its own thread is not started
    assert loop.call(lambda _now: "answered by the thread of the call") == "answered by the thread of the call"
    assert service.commits.begun == 0
    assert not loop._wake.is_set()


def test_no_answer_leaves_before_what_it_saw_is_durable_whatever_the_order_of_events() -> None:
    callers, rounds = 8, 60
    chance = random.Random(7)
    with ThreadPoolExecutor(callers + 1) as pool:
        bench = Bench(pool)
        service, loop = bench.service, bench.loop
        over = threading.Event()

        def put(_now: float) -> int:
            service.seen.append("call")
            return len(service.seen)

        def call(caller: int) -> int:
            own = random.Random(caller)
            early = 0
            for _ in range(rounds):
                is_read = own.random() < 0.3
                count = loop.read(lambda _now: len(service.seen)) if is_read else loop.call(put)
                early += len(service.durable) < count
            return early

        def end_commits() -> None:
            number = 0
            while not over.wait(0.0002):
                if service.commits.begun > number:
                    number += 1
                    over.wait(chance.choice((0.0, 0.0, 0.001)))
                    service.commits.end()

        loop.start()
        ending = pool.submit(end_commits)
        early = list(pool.map(call, range(callers)))
        loop.stop()
        over.set()
        ending.result(PATIENCE_S)
    assert early == [0] * callers
    assert service.durable == service.seen
    assert service.commits.begun == service.commits.ended
