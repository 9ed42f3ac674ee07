"""One thread keeps many exchanges under way, wakes when there is something to do, and waits for the parse threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.messages import Kind, Lease, Outcome, Task
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker import fetching
from crawlfleet.worker.agenda import Agenda
from crawlfleet.worker.fetch.port import WHOLE, Counted, Fetched, Name, Wanted
from crawlfleet.worker.fetch.registry import engine_for
from crawlfleet.worker.fetching import FetchLoop, FetchThreads
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.page_queue import FetchedPage
from crawlfleet.worker.shares import Limits
from tests.local import local_spec
from tests.site.hostile_site import HostileSite

PATIENCE_S = 10.0
FAR = float("inf")


class GivenFetcher:
    """Ends an exchange when the test says so."""

    def __init__(self) -> None:
        self.begun: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self.bodies: dict[Attempt, Counted] = {}
        self.closed = threading.Event()
        self.has_descriptors = True
        self._ends: queue.SimpleQueue[tuple[Attempt, ...]] = queue.SimpleQueue()

    def fetch(self, url: str, wanted: Wanted = WHOLE) -> Fetched:
        raise NotImplementedError

    def start(self, url: str, wanted: Wanted, mark: Attempt) -> None:
        if url.endswith("bug"):
            raise LookupError("a bug in the engine")
        assert wanted.body is not None
        self.bodies[mark] = wanted.body
        self.begun.put(mark)

    def end(self, *attempts: Attempt) -> None:
        self._ends.put(attempts)

    def wait(self, timeout_s: float | None) -> list[tuple[Attempt, Fetched]]:
        try:
            ended = self._ends.get(timeout=timeout_s)
        except queue.Empty:
            return []
        if any(attempt.task.url.endswith("death") for attempt in ended):
            raise LookupError("a bug outside of any exchange")
        if not self.has_descriptors:
            lack = Fetched(url="", failure=Outcome.NETWORK_ERROR, reason=Reason.DESCRIPTORS)
            return [(attempt, lack) for attempt in ended]
        sizes = {attempt: getattr(self.bodies[attempt], "size", 0) for attempt in ended}
        return [(each, Fetched(url=each.task.url, status=200, body=bytes(sizes[each]))) for each in ended]

    def wake(self) -> None:
        self._ends.put(())

    def close(self) -> None:
        self.closed.set()


class GivenNames:
    def __init__(self, name: Name) -> None:
        self._name = name

    def known(self, _host: str) -> Name | None:
        return self._name

    def ask(self, _host: str, _on_name: object) -> None:
        raise NotImplementedError


class Bench:
    def __init__(self, most: int, pages_between: int, bodies: int = 1 << 20) -> None:
        self.agenda = Agenda()
        self.agenda.share(Limits(slots=most, pages=pages_between, bytes_between=1 << 20, bodies=bodies))
        self.fetcher = GivenFetcher()
        self.bugs: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self.deaths: queue.SimpleQueue[Exception] = queue.SimpleQueue()
        self.loop = FetchLoop(
            self.agenda,
            self.fetcher,
            most,
            lambda attempt, _: self.bugs.put(attempt),
            self.deaths.put,
        )

    def know(self, name: Name) -> None:
        """Let the agenda know one answer for all names."""
        self.agenda.resolve_by(GivenNames(name))

    def add(self, *names: str, lease: int = 1) -> None:
        tasks = tuple(Task(ref=name.encode(), kind=Kind.PAGE, url=f"http://a/{name}", depth=5) for name in names)
        self.agenda.add(Lease(id=lease, host="a", tasks=tasks, slots=100), 0.0, FAR)

    def begun(self, number: int) -> list[Attempt]:
        return [self.fetcher.begun.get(timeout=PATIENCE_S) for _ in range(number)]

    def take(self) -> FetchedPage | None:
        return self.loop.pages.get()

    def stop(self) -> bool:
        self.agenda.close()
        return self.loop.join(time.monotonic() + PATIENCE_S)


@contextmanager
def running(most: int = 4, pages_between: int = 8, bodies: int = 1 << 20) -> Iterator[Bench]:
    bench = Bench(most, pages_between, bodies)
    bench.loop.start()
    yield bench
    assert bench.stop()
    assert bench.fetcher.closed.is_set()
    assert bench.agenda.running == 0


def test_a_body_that_found_no_room_goes_back_and_nothing_starts_until_half_of_the_room_is_free() -> None:
    with running(bodies=100) as bench:
        bench.add(*"abc")
        large, one, two = bench.begun(3)
        sizes = {one: 26, two: 26, large: 48}
        assert all(bench.fetcher.bodies[attempt].grow(size) for attempt, size in sizes.items())
        assert not bench.fetcher.bodies[large].grow(1)
        bench.add("d", lease=2)
        bench.fetcher.end(large, one, two)
        assert {page.attempt for page in (bench.take(), bench.take()) if page is not None} == {one, two}
        # The bodies of pages count until these were read.
        assert (bench.agenda.running, bench.agenda.waiting) == (0, 1)
        assert bench.agenda.take_news()[1:] == ((large.key,), (large.key,))
        bench.agenda.bodies.end(one.key)
        bench.fetcher.end(*bench.begun(1))
        assert bench.take() is not None


def test_what_goes_back_for_want_of_a_descriptor_or_by_a_bug_takes_no_room() -> None:
    with running(bodies=100) as bench:
        bench.add("bug", "a")
        (attempt,) = bench.begun(1)
        bench.fetcher.bodies[attempt].grow(60)
        bench.fetcher.has_descriptors = False
        bench.fetcher.end(attempt)
        wait_until(lambda: not bench.agenda.bodies.are_many())
        assert bench.bugs.get(timeout=PATIENCE_S).task.ref == b"bug"
        bench.fetcher.has_descriptors = True
        bench.agenda.bodies.most = 0
        assert not bench.agenda.bodies.are_many()


def test_so_many_are_under_way_and_no_more() -> None:
    with running(most=3) as bench:
        bench.add(*"abcde")
        first = bench.begun(3)
        assert bench.agenda.waiting == 2
        bench.fetcher.end(*first[:1])
        page = bench.take()
        assert page is not None
        assert page.attempt is first[0]
        last = bench.begun(1)
        bench.fetcher.end(*first[1:], *last)
        assert bench.take() is not None
        bench.fetcher.end(*bench.begun(1))


def test_a_task_that_comes_late_wakes_the_thread() -> None:
    with running() as bench:
        bench.add("a")
        bench.fetcher.end(*bench.begun(1))
        assert bench.take() is not None
        bench.add("b", lease=2)
        bench.fetcher.end(*bench.begun(1))


def test_nothing_is_begun_while_pages_wait_and_a_parse_thread_that_caught_up_wakes_the_thread() -> None:
    with running(most=4, pages_between=4) as bench:
        bench.add(*"abcdefgh")
        bench.fetcher.end(*bench.begun(4))
        while bench.agenda.running:
            time.sleep(0.001)
        assert bench.agenda.waiting == 4
        assert bench.fetcher.begun.empty()
        assert [bench.take() is not None for _ in range(3)] == [True] * 3
        bench.fetcher.end(*bench.begun(4))


def test_a_bug_costs_its_attempt_and_not_the_thread() -> None:
    with running() as bench:
        bench.add("bug", "good")
        assert bench.bugs.get(timeout=PATIENCE_S).task.ref == b"bug"
        bench.fetcher.end(*bench.begun(1))


def test_attempts_without_a_descriptor_go_back_and_fewer_are_begun_until_others_succeed() -> None:
    with running(most=3) as bench:
        bench.add(*"abcdefg")
        first = bench.begun(3)
        bench.agenda.take_news()
        bench.fetcher.has_descriptors = False
        bench.fetcher.end(*first[:2])
        # One is still under way: so many are possible.
        while bench.agenda.running > 1:
            time.sleep(0.001)
        assert bench.agenda.take_news().overdue == tuple(attempt.key for attempt in first[:2])
        assert bench.loop.pages.empty()
        bench.fetcher.has_descriptors = True
        bench.fetcher.end(first[2])
        assert bench.take() is not None
        following = bench.begun(2)
        assert bench.fetcher.begun.empty()
        bench.fetcher.end(*following)
        bench.fetcher.end(*bench.begun(2))


NOWHERE = Name((), Reason.DNS_FAILED, "there is no such name")


def test_pages_whose_name_has_no_address_take_no_slot_and_end_with_its_reason() -> None:
    with running(most=1) as bench:
        bench.add("a")
        first = bench.begun(1)
        bench.know(NOWHERE)
        bench.fetcher.end(*first)
        assert bench.take() is not None
        bench.add(*"bcd", lease=2)
        pages = [bench.take() for _ in "bcd"]
        assert [(page.fetched.failure, page.fetched.reason) for page in pages if page] == [
            (Outcome.NETWORK_ERROR, "dns_failed")
        ] * 3
        assert bench.fetcher.begun.empty()


def test_a_name_that_was_not_looked_up_for_want_of_descriptors_sends_its_page_back() -> None:
    with running() as bench:
        bench.know(Name((), Reason.DESCRIPTORS, "it cannot be looked up"))
        bench.add("a")
        while not (overdue := bench.agenda.take_news().overdue):
            time.sleep(0.001)
        assert [key.ref for key in overdue] == [b"a"]
        bench.know(Name(("127.0.0.1",)))
        bench.add("b", lease=2)
        bench.fetcher.end(*bench.begun(1))


@pytest.mark.parametrize(
    ("name", "reason"), [(NOWHERE, "dns_failed"), (Name((), Reason.DNS_TIMEOUT, "no answer"), "dns_timeout")]
)
def test_a_thread_makes_no_attempt_without_an_address(name: Name, reason: str) -> None:
    fetcher, agenda = GivenFetcher(), Agenda()
    agenda.resolve_by(GivenNames(name))
    threads = FetchThreads(agenda, lambda: fetcher, (2, 2), lambda *_: None, lambda _: None)
    agenda.add(Lease(id=1, host="a", tasks=(Task(ref=b"a", kind=Kind.PAGE, url="http://a/", depth=0),)), 0.0, FAR)
    threads.start()
    page = threads.pages.get(timeout=PATIENCE_S)
    agenda.close()
    assert threads.join(time.monotonic() + PATIENCE_S)
    assert page is not None
    assert (page.fetched.reason, page.fetched.detail) == (reason, name.detail)


class SilentFetcher:
    """Its slow host answers when the test says so, all others at once."""

    opened = 0

    def __init__(self, answers: threading.Event) -> None:
        SilentFetcher.opened += 1
        self._answers = answers

    def fetch(self, url: str, wanted: Wanted = WHOLE) -> Fetched:  # noqa: ARG002  # of the port
        if "/slow" in url:
            self._answers.wait(PATIENCE_S)
        return Fetched(url=url, status=200, elapsed_s=0.01)

    def close(self) -> None:
        SilentFetcher.opened -= 1


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    monkeypatch.setattr(fetching, "HELD_UP_S", 0.0)
    answers = threading.Event()
    yield answers
    answers.set()
    assert SilentFetcher.opened == 0


def silent(answers: threading.Event, usual: int, most: int) -> tuple[Agenda, FetchThreads]:
    agenda = Agenda()
    agenda.share(Limits(slots=usual, pages=100, bytes_between=1 << 20))
    return agenda, FetchThreads(agenda, lambda: SilentFetcher(answers), (usual, most), lambda *_: None, lambda _: None)


def ask(agenda: Agenda, path: str, hosts: int, pages: int = 1) -> None:
    """Add pages of so many hosts."""
    for number in range(hosts):
        host = f"{path}{number}"
        refs = [f"{host}-{page}".encode() for page in range(pages)]
        tasks = tuple(Task(ref=ref, kind=Kind.PAGE, url=f"http://h/{path}", depth=0) for ref in refs)
        agenda.add(Lease(id=hash(host) % 2**60, host=host, tasks=tasks, slots=1), 0.0, FAR)


def is_running(agenda: Agenda, exchanges: int) -> bool:
    return agenda.running == exchanges


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < give_up_at
        threading.Event().wait(0.01)


def test_hosts_that_do_not_answer_leave_threads_to_others_and_those_end_with_them(answers: threading.Event) -> None:
    agenda, threads = silent(answers, usual=2, most=100)
    threads.start()
    ask(agenda, "slow", 9)
    for held_up in (2, 4, 6, 8, 9):
        wait_until(partial(is_running, agenda, held_up))
        threads.look()
    ask(agenda, "quick", 1, pages=20)
    for _ in range(20):
        page = threads.pages.get(timeout=PATIENCE_S)
        assert page is not None
        assert page.fetched.url.endswith("/quick")
    answers.set()
    for _ in range(9):
        threads.pages.get(timeout=PATIENCE_S)
    wait_until(lambda: threads._running == 2)
    agenda.close()
    assert threads.join(time.monotonic() + PATIENCE_S)


def test_there_are_no_more_threads_than_the_most(answers: threading.Event) -> None:
    agenda, threads = silent(answers, usual=2, most=3)
    threads.start()
    ask(agenda, "slow", 9)
    wait_until(lambda: agenda.running == 2)
    threads.look()
    wait_until(lambda: agenda.running == 3)
    threads.look()
    assert threads._running == 3
    agenda.close()
    answers.set()
    assert threads.join(time.monotonic() + PATIENCE_S)


def test_a_system_without_room_for_a_thread_is_asked_for_no_more(
    answers: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    agenda, threads = silent(answers, usual=2, most=100)
    threads.start()
    ask(agenda, "slow", 9)
    wait_until(lambda: agenda.running == 2)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        threads.look()
    threads.look()
    assert (threads._running, threading.stack_size()) == (2, 0)
    agenda.close()
    answers.set()
    assert threads.join(time.monotonic() + PATIENCE_S)


def test_what_ends_the_thread_is_reported() -> None:
    bench = Bench(most=4, pages_between=4)
    bench.loop.start()
    bench.add("death")
    bench.fetcher.end(*bench.begun(1))
    assert isinstance(bench.deaths.get(timeout=PATIENCE_S), LookupError)
    assert bench.fetcher.closed.is_set()


@pytest.mark.parametrize("name", [entry.name for entry in FETCH_ENGINES.values() if entry.many_at_once])
def test_an_engine_for_many_at_once_fetches_many_pages_in_one_thread(name: str) -> None:
    engine = engine_for(local_spec(engine=name, timeout_s=PATIENCE_S))
    assert engine.many_at_once
    agenda = Agenda()
    with HostileSite() as site:
        loop = FetchLoop(agenda, engine.open(), 50, lambda *_: None, lambda _: None)
        tasks = tuple(Task(ref=b"%d" % n, kind=Kind.PAGE, url=f"{site.origin}/{n}", depth=0) for n in range(200))
        agenda.add(Lease(id=1, host="a", tasks=tasks, slots=100), 0.0, FAR)
        loop.start()
        pages = [loop.pages.get(timeout=PATIENCE_S) for _ in tasks]
        agenda.close()
        assert loop.join(time.monotonic() + PATIENCE_S)
    assert {page.attempt.task.ref for page in pages if page} == {task.ref for task in tasks}
    assert {page.fetched.status for page in pages if page} == {200}
    assert site.connections <= 50
