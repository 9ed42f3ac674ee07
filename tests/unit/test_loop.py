"""Calls from many threads, one after another, committed together."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import CallFailed
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.shared.errors import CrawlFailed, VersionError

PATIENCE_S = 30.0


class SlowService:
    """Stands in for the service: it tells of its commits, and holds one up when asked to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.committing = threading.Event()
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.failure: Exception | None = None
        self.flushes = 0

    is_behind = is_full = False
    is_surely_owned = True

    def next_deadline(self) -> None:
        return None

    def flush(self, now: float, ended: Callable[[], None]) -> Conclusion:
        assert now >= 0.0
        self.flushes += 1
        self.committing.set()
        assert self.may_commit.wait(PATIENCE_S)
        if self.failure is not None:
            raise self.failure
        if self.log and self.log[-1] != "commit":
            self.log.append("commit")
        ended()
        return Conclusion.DONE


@pytest.fixture
def service() -> SlowService:
    return SlowService()


@pytest.fixture
def loop(service: SlowService) -> Iterator[Loop]:
    running = Loop(service, on_commit=lambda: None)  # type: ignore[arg-type]  # only these two are asked of it
    running.start()
    yield running
    service.may_commit.set()
    running.stop()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def held_up(service: SlowService) -> None:
    """Hold up the next commit and wait until the loop is in it."""
    service.may_commit.clear()
    service.committing.clear()
    assert service.committing.wait(PATIENCE_S)


def queued(loop: Loop, callers: ThreadPoolExecutor, *steps: Callable[[float], object]) -> list[Future[object]]:
    """Call from as many threads, in order; return once all calls are in the loop's queue."""
    answers = []
    for number, step in enumerate(steps, 1):
        answers.append(callers.submit(loop.call, step))
        while loop._calls.qsize() < number:  # the commit is held up, so nothing is taken from it
            threading.Event().wait(0.001)
    return answers


def test_calls_that_arrive_during_a_commit_share_the_next_one(
    loop: Loop, service: SlowService, callers: ThreadPoolExecutor
) -> None:
    held_up(service)
    steps = [lambda _, name=name: service.log.append(name) for name in "abc"]
    answers = queued(loop, callers, *steps)
    service.may_commit.set()
    for answer in answers:
        answer.result(PATIENCE_S)
    assert service.log == ["a", "b", "c", "commit"]


def test_no_answer_leaves_before_its_commit(loop: Loop, service: SlowService, callers: ThreadPoolExecutor) -> None:
    ran = threading.Event()
    service.may_commit.clear()
    answer = callers.submit(loop.call, lambda _: ran.set())
    assert ran.wait(PATIENCE_S)
    assert not answer.done()
    service.may_commit.set()
    answer.result(PATIENCE_S)


def test_what_is_read_is_committed_and_costs_no_commit(
    loop: Loop, service: SlowService, callers: ThreadPoolExecutor
) -> None:
    held_up(service)
    (change,) = queued(loop, callers, lambda _: service.log.append("change"))
    read = callers.submit(loop.read, lambda _: list(service.log))
    assert not read.done()
    service.may_commit.set()
    assert read.result(PATIENCE_S) in ([], ["change", "commit"])
    change.result(PATIENCE_S)
    loop.stop()  # no tick comes any more
    flushes = service.flushes
    assert loop.read(lambda _: "read") == "read"
    assert service.flushes == flushes


def test_a_call_that_arrives_during_a_read_does_not_wait_for_the_next_tick(
    service: SlowService, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawlfleet.coordinator.conduct.loop.TICK_S", 2 * PATIENCE_S)
    loop = Loop(service, on_commit=lambda: None)  # type: ignore[arg-type]  # only these two are asked of it
    loop.start()
    reading, may_end = threading.Event(), threading.Event()

    def read(_now: float) -> bool:
        reading.set()
        return may_end.wait(PATIENCE_S)

    reader = callers.submit(loop.read, read)
    assert reading.wait(PATIENCE_S)
    (called,) = queued(loop, callers, lambda _: "served")
    may_end.set()
    assert reader.result(PATIENCE_S)
    assert called.result(PATIENCE_S) == "served"
    loop.stop()


def test_a_bug_in_what_is_read_reaches_its_caller_only(loop: Loop) -> None:
    def stumble(_now: float) -> None:
        raise ZeroDivisionError("bug")

    with pytest.raises(ZeroDivisionError):
        loop.read(stumble)
    assert loop.read(lambda _: "still here") == "still here"
    assert loop.failure is None


def test_a_refusal_reaches_its_caller_only(loop: Loop, service: SlowService, callers: ThreadPoolExecutor) -> None:
    def refuse(_now: float) -> None:
        raise VersionError("other version")

    held_up(service)
    one, two, three = queued(loop, callers, lambda _: "one", refuse, lambda _: "three")
    service.may_commit.set()
    assert one.result(PATIENCE_S) == "one"
    assert three.result(PATIENCE_S) == "three"
    with pytest.raises(VersionError):
        two.result(PATIENCE_S)
    assert loop.call(lambda _: "still here") == "still here"
    assert loop.failure is None


def test_a_method_of_an_object_that_fails_is_its_callers_alone(
    loop: Loop, service: SlowService, callers: ThreadPoolExecutor
) -> None:
    def stumble(_now: float) -> None:
        raise CallFailed("Value.add failed")

    held_up(service)
    one, two = queued(loop, callers, stumble, lambda _: "two")
    service.may_commit.set()
    with pytest.raises(CallFailed):
        one.result(PATIENCE_S)
    assert two.result(PATIENCE_S) == "two"
    assert loop.failure is None


def test_a_bug_reaches_everybody_who_waits_and_all_who_call_later(
    loop: Loop, service: SlowService, callers: ThreadPoolExecutor
) -> None:
    def stumble(_now: float) -> None:
        raise ZeroDivisionError("bug")

    held_up(service)
    answers = queued(loop, callers, lambda _: "before", stumble, lambda _: "after")
    service.may_commit.set()
    for answer in answers:
        with pytest.raises(
            CrawlFailed, match=r"the coordinator failed: ZeroDivisionError\('bug'\); its log says where"
        ):
            answer.result(PATIENCE_S)
    assert loop.failure is not None
    assert isinstance(loop.failure.__cause__, ZeroDivisionError)
    for later in (loop.call, loop.read):
        with pytest.raises(CrawlFailed):
            callers.submit(later, lambda _: "later").result(PATIENCE_S)


def test_a_commit_that_fails_answers_nobody_with_success(
    loop: Loop, service: SlowService, callers: ThreadPoolExecutor
) -> None:
    held_up(service)
    (answer,) = queued(loop, callers, lambda _: "done")
    service.failure = CrawlFailed("the disk is full: make room")
    service.may_commit.set()
    with pytest.raises(CrawlFailed, match=r"^the disk is full"):
        answer.result(PATIENCE_S)
    assert loop.failure is service.failure


def test_while_the_service_is_behind_it_is_flushed_again_without_a_call(
    service: SlowService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawlfleet.coordinator.conduct.loop.TICK_S", 10 * PATIENCE_S)
    service.is_behind = True
    running = Loop(service, on_commit=lambda: None)  # type: ignore[arg-type]  # only these two are asked of it
    running.start()
    running.call(lambda _now: None)
    for _ in range(3):
        service.committing.clear()
        assert service.committing.wait(PATIENCE_S)
    running.stop()


def test_stopping_serves_what_was_called_before(service: SlowService, callers: ThreadPoolExecutor) -> None:
    loop = Loop(service, on_commit=lambda: None)  # type: ignore[arg-type]  # only these two are asked of it
    loop.start()
    held_up(service)
    (answer,) = queued(loop, callers, lambda _: "served")
    stopped = callers.submit(loop.stop)
    service.may_commit.set()
    assert answer.result(PATIENCE_S) == "served"
    stopped.result(PATIENCE_S)
    assert service.log == []


def test_whoever_follows_the_log_hears_of_every_commit() -> None:
    heard = threading.Event()
    loop = Loop(SlowService(), on_commit=heard.set)  # type: ignore[arg-type]  # only these two are asked of it
    loop.start()
    loop.call(lambda _: None)
    assert heard.wait(PATIENCE_S)
    loop.stop()


def test_what_hears_of_commits_cannot_end_the_loop_unnoticed() -> None:
    def stumble() -> None:
        raise ZeroDivisionError("bug")

    loop = Loop(SlowService(), on_commit=stumble)  # type: ignore[arg-type]  # only these two are asked of it
    loop.start()
    with ThreadPoolExecutor(1) as pool:
        calls = [pool.submit(loop.call, lambda _: None) for _ in range(2)]
        with pytest.raises(CrawlFailed, match="ZeroDivisionError"):
            calls[1].result(PATIENCE_S)
    assert loop.failure is not None
    loop.stop()


def test_time_goes_on_from_where_the_crawl_was() -> None:
    loop = Loop(SlowService(), on_commit=lambda: None, began_at=1_000.0)  # type: ignore[arg-type]  # as above
    loop.start()
    assert 1_000.0 <= loop.call(lambda now: now) < 1_000.0 + PATIENCE_S
    loop.stop()


def test_nothing_is_kept_of_a_refused_call_once_its_caller_has_heard(service: SlowService) -> None:
    # Its own thread is not started, and so cannot be about to let go of the call.
    loop = Loop(service, on_commit=lambda: None)  # type: ignore[arg-type]  # only these two are asked of it

    class Message:
        """What was called with; it may be large."""

    def refuse(_message: Message) -> None:
        raise VersionError("no")

    def call() -> weakref.ref[Message]:
        message = Message()
        with pytest.raises(VersionError):
            loop.call(lambda _now: refuse(message))
        return weakref.ref(message)

    gc.disable()
    try:
        assert call()() is None
    finally:
        gc.enable()
