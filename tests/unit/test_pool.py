"""The pool turns every attempt into one delivery, whatever breaks on the way."""

from __future__ import annotations

import multiprocessing
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest

from crawlfleet.shared.messages import Hello, Kind, Lease, Outcome, Task, TaskKey
from crawlfleet.worker import pool
from crawlfleet.worker.extract.extractor import Extracted
from crawlfleet.worker.extract.sitemap import Sitemap
from crawlfleet.worker.fetch.port import WHOLE, Fetched, FetchEngine, Wanted
from crawlfleet.worker.pipeline import Pipeline
from crawlfleet.worker.pool import PARSE_THREADS, Pool, PoolSize
from crawlfleet.worker.process import memory
from crawlfleet.worker.process.current_pages import CurrentPages, PageLimits
from crawlfleet.worker.readers import USUAL_THREADS
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.talk.session import Session
from crawlfleet.worker.watch import WatchOptions

PATIENCE_S = 10.0


@dataclass
class GivenFetcher:
    """Fetches nothing: each address says what happens."""

    closed: list[bool] = field(default_factory=list)
    kept: list[tuple[str, int | None]] = field(default_factory=list)

    def fetch(self, url: str, wanted: Wanted = WHOLE) -> Fetched:
        self.kept.append((url, wanted.keep_bytes))
        if url.endswith("/fetch-bug"):
            raise LookupError("a bug in the fetcher")
        return Fetched(url=url, status=200)

    def close(self) -> None:
        self.closed.append(True)


@dataclass
class GivenExtractor:
    """Extracts nothing, and only once the gate is open."""

    gate: threading.Event = field(default_factory=threading.Event)
    cured: threading.Event = field(default_factory=threading.Event)
    found: Callable[[], object] = lambda: None
    seen: list[object] = field(default_factory=list)

    def extract(self, fetched: Fetched, _depth: int) -> Extracted:
        assert self.gate.wait(PATIENCE_S)
        self.seen.append(self.found())
        if fetched.url.startswith("http://sick"):
            assert self.cured.wait(PATIENCE_S)
        if fetched.url.endswith("/parse-bug"):
            raise RecursionError("a bug in the extractor")
        return Extracted()

    def read_sitemap(self, fetched: Fetched) -> Sitemap:
        raise AssertionError(f"{fetched.url} is no sitemap")


def _dial_nobody() -> NoReturn:
    raise AssertionError("the pool talks to no coordinator")


class Bench:
    def __init__(
        self,
        fetch_threads: int = 2,
        open_fetcher: Callable[[], Any] | None = None,
        parse_threads: int = 1,
        watch: WatchOptions | None = None,
    ) -> None:
        self.session = Session(_dial_nobody, Hello(session="s"))
        self.agenda, self.outbox = self.session.agenda, self.session.outbox
        self.fetcher = GivenFetcher()
        self.extractor = GivenExtractor()
        self.current_pages = CurrentPages(multiprocessing.get_context("spawn"), workers=1, threads=parse_threads)
        self.pool = Pool(
            session=self.session,
            engine=FetchEngine(open_fetcher or (lambda: self.fetcher)),
            pipeline=Pipeline(extractor=self.extractor, max_report_bytes=10_000),
            size=PoolSize(fetches=fetch_threads, parse_threads=parse_threads, pages_between=1),
            current_pages=self.current_pages.of(0),
            watch=watch,
        )

    def add(self, *names: str, host: str = "a", lease: int = 1) -> None:
        tasks = tuple(Task(ref=name.encode(), kind=Kind.PAGE, url=f"http://{host}/{name}", depth=5) for name in names)
        self.agenda.add(Lease(id=lease, host=host, tasks=tasks, slots=100), 0.0, float("inf"))

    def deliveries(self, number: int) -> list[Delivery]:
        """Wait for so many deliveries."""
        found: list[Delivery] = []
        while len(found) < number:
            self.outbox.wait(PATIENCE_S)
            came = self.outbox.take_all()
            assert came, found
            found += came
        return found


def test_a_bug_costs_its_attempt_and_not_the_thread() -> None:
    bench = Bench(fetch_threads=1)
    bench.extractor.gate.set()
    bench.add("fetch-bug", "parse-bug", "good")
    bench.pool.start()
    outcomes = {
        delivery.report.ref: (delivery.report.outcome, delivery.attempt.task.depth) for delivery in bench.deliveries(3)
    }
    assert outcomes == {
        b"fetch-bug": (Outcome.INTERNAL_ERROR, 5),
        b"parse-bug": (Outcome.INTERNAL_ERROR, 5),
        b"good": (Outcome.FETCHED, 5),
    }
    assert bench.pool.stop(PATIENCE_S)


def test_one_thread_parses_and_the_others_only_when_it_is_held_up() -> None:
    bench = Bench(fetch_threads=1, parse_threads=3)
    bench.extractor.found = lambda: threading.current_thread().name
    bench.extractor.gate.set()
    bench.pool.start()
    bench.add(*(f"page-{number}" for number in range(50)))
    bench.deliveries(50)
    assert set(bench.extractor.seen) == {"parse-0"}
    held_up = threading.Event()
    bench.extractor.found = lambda: held_up.wait(PATIENCE_S) if "0" in threading.current_thread().name else "stand-in"
    bench.add("slow", *(f"next-{number}" for number in range(50)))
    bench.deliveries(50)
    assert bench.extractor.seen[50:] == ["stand-in"] * 50
    held_up.set()
    assert [delivery.report.ref for delivery in bench.deliveries(1)] == [b"slow"]
    assert bench.pool.stop(PATIENCE_S)


@pytest.mark.parametrize("sick", [2, USUAL_THREADS + 2])
def test_hosts_whose_pages_are_all_held_up_hold_up_no_other_host_however_many_they_are(sick: int) -> None:
    bench = Bench(fetch_threads=16 * sick, parse_threads=PARSE_THREADS)
    bench.extractor.gate.set()
    bench.pool.start()
    for number in range(sick):
        bench.add(*(f"{number}-{name}" for name in range(4)), host=f"sick-{number}", lease=number + 1)
    while len(bench.extractor.seen) < sick:
        bench.outbox.wait(0.01)
    bench.add(*(f"page-{number}" for number in range(50)), host="honest", lease=sick + 1)
    assert len(bench.deliveries(50)) == 50
    bench.extractor.cured.set()
    assert len(bench.deliveries(4 * sick)) == 4 * sick
    assert bench.pool.stop(PATIENCE_S)


def test_a_report_says_what_reading_its_page_took_of_cpu_time() -> None:
    bench = Bench(fetch_threads=1)
    bench.extractor.found = lambda: sum(range(2_000_000))
    bench.extractor.gate.set()
    bench.pool.start()
    before = time.process_time()
    bench.add("page")
    (delivery,) = bench.deliveries(1)
    assert 0.001 < delivery.report.cpu_s <= time.process_time() - before
    assert bench.pool.stop(PATIENCE_S)


def test_a_page_for_which_there_is_too_little_memory_ends_its_worker_under_its_name() -> None:
    died: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    said: list[str] = []

    def die() -> None:
        (record,) = bench.current_pages.of(0).read_all()
        died.put((record.reason, record.detail))

    def lack() -> None:
        raise MemoryError("the hook raised MemoryError at hook.py:3")

    bench = Bench(fetch_threads=1, watch=WatchOptions(die=die, say=said.append))
    bench.extractor.found = lack
    bench.extractor.gate.set()
    bench.pool.start()
    bench.add("page")
    assert died.get(timeout=PATIENCE_S) == ("out_of_memory", "the hook raised MemoryError at hook.py:3")
    assert said[0].endswith("it was reading http://a/page")
    assert bench.pool.stop(PATIENCE_S)


@pytest.mark.parametrize(
    ("shares", "is_replaced"),
    [([0.1], False), ([0.9, 0.1], False), ([0.9, 0.9], True)],
    ids=["enough", "nearly used up once", "nearly used up"],
)
def test_memory_is_looked_at_now_and_then_and_after_each_page_while_it_is_nearly_used_up(
    monkeypatch: pytest.MonkeyPatch, shares: list[float], is_replaced: bool
) -> None:
    left = shares.copy()
    monkeypatch.setattr(pool, "MEMORY_EVERY_S", 1e9)
    monkeypatch.setattr(memory, "share_in_use", lambda: left.pop(0))
    bench = Bench(fetch_threads=1)
    bench.extractor.gate.set()
    bench.pool.start()
    for number in range(len(shares) if is_replaced else 5):
        bench.add(f"page-{number}", lease=1 + number)
        bench.deliveries(1)
    assert bench.pool.stop(PATIENCE_S)
    assert (left, bench.session.orders.replacing) == ([], is_replaced)


def test_a_page_beyond_its_limit_is_reported_and_its_worker_drains_to_be_replaced() -> None:
    bench = Bench(fetch_threads=2, parse_threads=2, watch=WatchOptions(limits=PageLimits(parse_time_s=0.1)))
    bench.extractor.gate.set()
    bench.pool.start()
    bench.add("page", host="sick")
    (delivery,) = bench.deliveries(1)
    assert (delivery.report.outcome, delivery.report.reason) == (Outcome.EXTRACT_ERROR, "parse_time")
    assert (bench.session.orders.draining, bench.session.orders.replacing) == (True, True)
    bench.add("page", host="honest", lease=2)
    assert [each.report.outcome for each in bench.deliveries(1)] == [Outcome.FETCHED]
    bench.extractor.cured.set()
    bench.outbox.wait(0.5)
    assert bench.outbox.take_all() == ()


def test_a_worker_that_is_to_be_replaced_leaves_when_all_its_threads_are_lost() -> None:
    bench = Bench(fetch_threads=2, watch=WatchOptions(limits=PageLimits(parse_time_s=0.1)))
    bench.extractor.gate.set()
    bench.pool.start()
    bench.add("page", "another", host="sick")
    bench.deliveries(1)
    while not bench.session.orders.leaving:
        bench.outbox.wait(0.05)
    bench.extractor.cured.set()


def test_a_stand_in_waits_for_no_page_at_the_end() -> None:
    bench = Bench(parse_threads=2)
    bench.pool.start()
    assert bench.pool.stop(PATIENCE_S)


def test_what_ends_a_parse_thread_is_raised_on_the_control_thread() -> None:
    bench = Bench(fetch_threads=1)
    bench.extractor.gate.set()
    bench.extractor.found = lambda: sys.exit("no page may do this")
    bench.pool.start()
    bench.session.orders.check()
    bench.add("a")
    bench.outbox.wait(PATIENCE_S)
    with pytest.raises(RuntimeError, match="no page may do this"):
        bench.session.orders.check()


def test_what_ends_a_fetch_thread_is_raised_on_the_control_thread() -> None:
    bench = Bench(fetch_threads=1, open_fetcher=lambda: exec("raise OSError('too many open files')"))
    bench.pool.start()
    bench.outbox.wait(PATIENCE_S)
    with pytest.raises(OSError, match="too many open files"):
        bench.session.orders.check()


def test_no_more_is_fetched_than_can_be_parsed() -> None:
    bench = Bench(fetch_threads=2)
    bench.add(*(f"page-{number}" for number in range(20)))
    bench.pool.start()
    # One page is being parsed and one lies between; each fetch thread may have begun another before it lay there.
    while bench.agenda.waiting > 18 or bench.agenda.running:
        time.sleep(0.01)
    time.sleep(0.1)
    assert bench.agenda.waiting >= 16
    bench.extractor.gate.set()
    assert {delivery.report.outcome for delivery in bench.deliveries(20)} == {Outcome.FETCHED}
    assert bench.pool.stop(PATIENCE_S)


def test_a_stop_loses_nothing_that_was_fetched_and_closes_every_fetcher() -> None:
    bench = Bench(fetch_threads=2)
    bench.add("a", "b")
    bench.pool.start()
    while bench.agenda.waiting:
        assert threading.active_count() > 1
    bench.extractor.gate.set()
    assert bench.pool.stop(PATIENCE_S)
    assert {delivery.report.ref for delivery in bench.outbox.take_all()} == {b"a", b"b"}
    assert bench.fetcher.closed == [True, True]
    assert bench.agenda.running == 0


def test_a_stop_does_not_wait_for_a_page_that_hangs() -> None:
    bench = Bench(fetch_threads=1)
    bench.add("a", "b", "c")
    bench.pool.start()
    assert not bench.pool.stop(0.01)
    bench.extractor.gate.set()


def test_what_a_parse_thread_reads_is_known_after_a_crash() -> None:
    bench = Bench(fetch_threads=1)
    bench.add("page")
    bench.extractor.found = lambda: [record.key for record in bench.current_pages.take_all(0)]
    bench.extractor.gate.set()
    bench.pool.start()
    bench.deliveries(1)
    assert bench.extractor.seen == [[TaskKey(1, b"page")]]
    assert bench.fetcher.kept == [("http://a/page", None)]
    assert bench.pool.stop(PATIENCE_S)


def test_what_was_read_is_no_longer_a_current_page() -> None:
    bench = Bench(fetch_threads=1)
    bench.add("page")
    bench.extractor.gate.set()
    bench.pool.start()
    bench.deliveries(1)
    assert bench.pool.stop(PATIENCE_S)
    assert bench.current_pages.take_all(0) == ()
