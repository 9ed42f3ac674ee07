"""A person's own code on a real coordinator: the queue, the results, locks and numbers."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from crawlfleet import Fleet, JobFinished, connect
from crawlfleet.fleet.work_queue import Queue
from crawlfleet.shared.errors import JoinError, Unreachable
from crawlfleet.shared.wire.frames import FRAME_LIMIT
from crawlfleet.shared.wire.join_token import write_token
from tests.site.served_crawl import ServedCrawl, served
from tests.site.small_site import SmallSite, page, serving

T = TypeVar("T")

PAGES = {"/": page("home", "/a", "/b"), "/a": page("a"), "/b": page("b", "/a"), "/c": page("c")}
ONE_SECOND = "lease: 1s\n"


@pytest.fixture
def site() -> Iterator[SmallSite]:
    with serving(PAGES) as site:
        yield site


@pytest.fixture
def crawl(site: SmallSite, tmp_path: Path) -> Iterator[ServedCrawl]:
    with served(tmp_path, f"{site.base}/") as crawl:
        yield crawl


@pytest.fixture
def fleet(crawl: ServedCrawl) -> Iterator[Fleet]:
    with connect(crawl.token) as fleet:
        yield fleet


def elsewhere(call: Callable[[], T]) -> T:
    """Call in a thread of its own, which then ends; return or raise what it did."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(30)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def iter_urls(tasks: Queue) -> Iterator[str]:
    """Yield what there is to get, to the end of the crawl."""
    while True:
        try:
            yield tasks.get(timeout=30)
        except JobFinished:
            return


# The queue


def test_a_crawl_is_worked_off_with_get_put_and_task_done(fleet: Fleet, site: SmallSite, crawl: ServedCrawl) -> None:
    tasks, results = fleet.Queue(), fleet.dict()
    links = {"/": ["a", "b"], "/a": [], "/b": ["/a"]}
    got = []
    for url in iter_urls(tasks):
        path = url.removeprefix(site.base)
        got.append(path)
        for link in links[path]:
            tasks.put(link)
        results[url] = {"path": path}
        assert tasks.task_done()
    assert sorted(got) == ["/", "/a", "/b"]
    assert {url.removeprefix(site.base): value for url, value in results.items()} == {
        path: {"path": path} for path in ("/", "/a", "/b")
    }
    fleet.close()
    summary = crawl.summary()
    assert (summary.ended, summary.fetched, summary.rows) == ("finished", 3, 3)


def test_robots_txt_is_fetched_behind_the_scenes_and_obeyed(tmp_path: Path) -> None:
    pages = {**PAGES, "/robots.txt": "User-agent: *\nDisallow: /a\n"}
    with serving(pages) as site, served(tmp_path, f"{site.base}/") as crawl, connect(crawl.token) as fleet:
        tasks = fleet.Queue()
        assert tasks.get(timeout=10) == f"{site.base}/"
        tasks.put("/a")
        tasks.put("/b")
        tasks.task_done()
        assert tasks.get(timeout=10) == f"{site.base}/b"
        tasks.task_done()
        with pytest.raises(JobFinished):
            tasks.get(timeout=10)
        assert site.hits("/robots.txt") == 1
        assert fleet.status().dropped == 1


def test_a_thread_holds_one_url_at_a_time(fleet: Fleet) -> None:
    tasks = fleet.Queue()
    with pytest.raises(ValueError, match="holds no URL"):
        tasks.task_done()
    url = tasks.get(timeout=10)
    with pytest.raises(ValueError, match=f"still holds {url}"):
        tasks.get()
    with pytest.raises(ValueError, match="holds no URL"):
        elsewhere(tasks.task_done)
    assert tasks.task_done()


def test_threads_hold_a_url_each(fleet: Fleet, site: SmallSite) -> None:
    tasks = fleet.Queue()
    for path in ("/a", "/b", "/c"):
        tasks.put(site.base + path)
    met = threading.Barrier(4)

    def work() -> str:
        url = tasks.get(timeout=10)
        met.wait(10)
        assert tasks.task_done()
        return url

    with ThreadPoolExecutor(4) as pool:
        got = [future.result(20) for future in [pool.submit(work) for _ in range(4)]]
    assert sorted(got) == sorted(site.base + path for path in PAGES)


def test_what_is_out_of_scope_is_refused_by_the_name_of_the_rule(site: SmallSite, tmp_path: Path) -> None:
    with (
        served(tmp_path, f"{site.base}/", more='scope: {exclude: ["/c"]}\n') as crawl,
        connect(crawl.token) as fleet,
    ):
        tasks = fleet.Queue()
        for held in (False, True):
            if held:
                tasks.get(timeout=10)
            with pytest.raises(ValueError, match=r"http://elsewhere\.example/ .*: host\. The host is outside"):
                tasks.put("http://elsewhere.example/")
            with pytest.raises(ValueError, match=r"/c .*: exclude\. `scope.exclude` matches\."):
                tasks.put(f"{site.base}/c")
            with pytest.raises(ValueError, match=r"'mailto:me' is not an http\(s\) URL"):
                tasks.put("mailto:me")


def test_an_address_is_relative_to_the_url_that_is_held(fleet: Fleet, site: SmallSite) -> None:
    tasks = fleet.Queue()
    with pytest.raises(ValueError, match="'a' is not an http"):
        tasks.put("a")
    tasks.get(timeout=10)
    tasks.put("a#part")
    tasks.task_done()
    assert tasks.get(timeout=10) == f"{site.base}/a"


def test_an_address_is_what_the_job_takes_it_for(site: SmallSite, tmp_path: Path) -> None:
    more = "urls: {drop_tracking: true, sort_query: true}\n"
    with served(tmp_path, f"{site.base}/?utm_source=x", more=more) as crawl, connect(crawl.token) as fleet:
        tasks, results = fleet.Queue(), fleet.dict()
        assert tasks.get(timeout=10) == f"{site.base}/"
        tasks.put("/a?y=2&fbclid=1&x=1")
        results[f"{site.base}/?gclid=7"] = "home"
        assert tasks.task_done()
        assert results[f"{site.base}/?utm_medium=y"] == "home"
        tasks.put(f"{site.base}/a?x=1&y=2&utm_id=3")
        assert tasks.get(timeout=10) == f"{site.base}/a?x=1&y=2"
        tasks.task_done()
        assert list(iter_urls(tasks)) == []


def test_without_a_held_url_an_address_is_a_seed(fleet: Fleet, site: SmallSite) -> None:
    tasks = fleet.Queue()
    assert tasks.qsize() == 2  # the seed and its robots.txt
    tasks.put(f"{site.base}/c")
    tasks.put_nowait(f"{site.base}/c")
    assert tasks.qsize() == 3
    assert not tasks.empty()
    assert not tasks.full()


def test_a_failed_url_is_tried_again_as_often_as_the_job_says(site: SmallSite, tmp_path: Path) -> None:
    with served(tmp_path, f"{site.base}/", more="fetch: {retries: 1}\n") as crawl, connect(crawl.token) as fleet:
        tasks, results = fleet.Queue(), fleet.dict()
        for _ in range(2):
            url = tasks.get(timeout=10)
            results[url] = "never seen"
            tasks.put("/a")
            assert tasks.task_failed("no_title")
        with pytest.raises(JobFinished):
            tasks.get(timeout=10)
        assert (len(results), fleet.status().failed, fleet.status().reasons["no_title"]) == (0, 1, 1)


def test_a_url_may_fail_for_good(fleet: Fleet) -> None:
    tasks = fleet.Queue()
    tasks.get(timeout=10)
    tasks.task_failed("http_404", again=False)
    with pytest.raises(JobFinished):
        tasks.get(timeout=10)
    assert fleet.status().reasons == {"http_404": 1}


def test_get_is_empty_when_the_time_is_over_and_finished_at_the_end(fleet: Fleet) -> None:
    tasks = fleet.Queue()
    tasks.get(timeout=10)
    for get in (lambda: tasks.get(timeout=0.05), tasks.get_nowait, lambda: tasks.get(block=False)):
        with pytest.raises(queue.Empty) as caught:
            elsewhere(get)
        assert not isinstance(caught.value, JobFinished)
    with pytest.raises(ValueError, match="non-negative"):
        elsewhere(lambda: tasks.get(timeout=-1))
    tasks.task_done()
    with pytest.raises(JobFinished):
        tasks.get(timeout=10)
    with pytest.raises(JobFinished):
        tasks.get_nowait()


def test_every_thread_that_waits_hears_of_the_end(fleet: Fleet) -> None:
    tasks = fleet.Queue()
    tasks.get(timeout=10)
    with ThreadPoolExecutor(5) as pool:
        waiting: list[Future[Any]] = [pool.submit(tasks.get) for _ in range(4)]
        waiting.append(pool.submit(tasks.join))
        assert not any(future.done() for future in waiting)
        tasks.task_done()
        for future in waiting[:4]:
            assert isinstance(future.exception(10), JobFinished)
        assert waiting[4].result(10) is None


def test_a_url_that_nobody_asks_for_any_more_is_given_back(site: SmallSite, tmp_path: Path) -> None:
    more = "politeness: {delay: 1s, per_host: 1}\n"
    with (
        served(tmp_path, f"{site.base}/", f"{site.base}/a", more=more) as crawl,
        connect(crawl.token) as hasty,
        connect(crawl.token) as patient,
    ):
        tasks = hasty.Queue()
        held = tasks.get(timeout=10)
        with pytest.raises(queue.Empty):
            elsewhere(lambda: tasks.get(timeout=0.3))
        assert hasty.status().leased == 2  # granted ahead of its time, which the thread did not wait for
        tasks.task_done()
        assert {held, patient.Queue().get(timeout=10)} == {f"{site.base}/", f"{site.base}/a"}


def test_what_a_thread_held_when_it_ended_is_tried_again(fleet: Fleet, crawl: ServedCrawl) -> None:
    tasks = fleet.Queue()
    url = elsewhere(lambda: tasks.get(timeout=10))
    assert tasks.get(timeout=10) == url
    assert tasks.task_done()
    fleet.close()
    assert (crawl.summary().fetched, crawl.summary().retries) == (1, 1)
    assert crawl.summary().retried == {"abandoned": 1}


def test_close_gives_back_what_is_held(crawl: ServedCrawl, fleet: Fleet) -> None:
    with connect(crawl.token) as quitter:
        url = quitter.Queue().get(timeout=10)
    assert fleet.Queue().get(timeout=5) == url
    assert fleet.status().sessions == 1
    quitter.close()
    with pytest.raises(ValueError, match="closed"):
        quitter.Queue().get()
    fleet.Queue().task_done()
    fleet.close()
    summary = crawl.summary()
    assert (summary.fetched, summary.retries, summary.leases_lost) == (1, 0, 0)


def test_close_ends_a_waiting_get(crawl: ServedCrawl, fleet: Fleet) -> None:
    fleet.Queue().get(timeout=10)
    other = connect(crawl.token)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.Queue().get)
        eventually(lambda: fleet.status().sessions == 2)
        other.close()
        with pytest.raises(ValueError, match="closed"):
            waiting.result(10)


def test_an_error_counts_against_the_url_that_was_held(crawl: ServedCrawl, fleet: Fleet) -> None:
    with pytest.raises(ZeroDivisionError), connect(crawl.token) as broken:
        broken.Queue().get(timeout=10).index("/") // 0
    fleet.Queue().get(timeout=10)
    fleet.Queue().task_done()
    fleet.close()
    assert (crawl.summary().fetched, crawl.summary().retries) == (1, 1)


# The results


def test_a_value_is_seen_when_its_task_is_done_and_not_before(fleet: Fleet, site: SmallSite) -> None:
    tasks, results = fleet.Queue(), fleet.dict()
    url = tasks.get(timeout=10)
    value = {"title": "home", "tags": ["x", None, 1, 2.5, b"bytes"], "again": (1, 2)}
    results[url] = value
    value["title"] = "changed afterwards"
    assert url not in results
    assert (len(results), list(results), results.get(url, "none")) == (0, [], "none")
    tasks.task_done()
    stored = {"title": "home", "tags": ["x", None, 1, 2.5, b"bytes"], "again": [1, 2]}
    assert url in results
    assert (len(results), list(results), results[url], dict(results)) == (1, [url], stored, {url: stored})
    assert results[f"HTTP://127.0.0.1:{site.server_port}/#top"] == stored


def test_a_value_needs_a_held_url(fleet: Fleet, site: SmallSite) -> None:
    tasks, results = fleet.Queue(), fleet.dict()
    with pytest.raises(KeyError, match="not held here"):
        results[f"{site.base}/"] = 1
    url = tasks.get(timeout=10)
    with pytest.raises(KeyError, match="not held here"):
        results[f"{site.base}/a"] = 1
    results[url] = 1
    tasks.task_done()
    with pytest.raises(KeyError, match="not held here"):
        results[url] = 2
    with pytest.raises(KeyError):
        results[f"{site.base}/a"]
    assert results[url] == 1


@pytest.mark.parametrize(
    ("value", "error", "named"),
    [
        ({1, 2}, TypeError, "builtins.set"),
        ({"when": object()}, TypeError, "builtins.object"),
        ({1: 2}, TypeError, "key of type int"),
        (2**70, ValueError, "64 bits"),
        (float("nan"), ValueError, "finite"),
    ],
)
def test_what_cannot_travel_is_refused_when_it_is_set(
    fleet: Fleet, value: object, error: type[Exception], named: str
) -> None:
    tasks, results = fleet.Queue(), fleet.dict()
    url = tasks.get(timeout=10)
    with pytest.raises(error, match=named):
        results[url] = value
    results[url] = "fine"
    assert tasks.task_done()
    assert results[url] == "fine"


def test_a_value_as_deep_as_may_be_is_read_back(fleet: Fleet) -> None:
    tasks, results = fleet.Queue(), fleet.dict()
    url = tasks.get(timeout=10)

    def nest(levels: int) -> Any:
        return "core" if levels == 0 else [nest(levels - 1)]

    with pytest.raises(ValueError, match="deeper"):
        results[url] = nest(63)
    results[url] = nest(62)
    assert tasks.task_done()
    assert results[url] == nest(62)
    assert dict(results) == {url: nest(62)}


def test_what_is_larger_than_the_job_allows_fails_its_url_and_says_so(site: SmallSite, tmp_path: Path) -> None:
    limit = "limits: {report_bytes: 1MiB}\n"
    with served(tmp_path, f"{site.base}/", more=limit) as crawl, connect(crawl.token) as fleet:
        tasks, results = fleet.Queue(), fleet.dict()
        url = tasks.get(timeout=10)
        results[url] = "x" * 2_000_000
        with pytest.raises(ValueError, match=r"/: the report takes 20\d+ bytes"):
            tasks.task_done()
        assert fleet.status().reasons == {"report_too_large": 1}
        assert url not in results


def test_what_is_larger_than_a_message_goes_in_parts_and_is_read_back_whole(fleet: Fleet) -> None:
    tasks, results = fleet.Queue(), fleet.dict()
    url = tasks.get(timeout=10)
    results[url] = value = "x" * (FRAME_LIMIT + 1)
    assert tasks.task_done()
    assert results[url] == value
    assert list(results.items()) == [(url, value)]


def test_results_are_read_over_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlfleet.fleet.results.PAGE", 7)
    with (
        serving({}) as site,
        served(tmp_path, *(f"{site.base}/{n}" for n in range(30))) as crawl,
        connect(crawl.token) as fleet,
    ):
        tasks, results = fleet.Queue(), fleet.dict()
        order = []
        for number, url in enumerate(iter_urls(tasks)):
            order.append(url)
            results[url] = number
            tasks.task_done()
        assert list(results) == list(results.keys()) == order
        assert list(results.values()) == list(range(30))
        assert list(results.items()) == list(zip(order, range(30), strict=True))
        assert (len(results), len(results.items()), results.get(order[29])) == (30, 30, 29)
        assert (order[3], 3) in results.items()


def test_a_reader_has_the_time_to_read_on_after_the_end(fleet: Fleet, crawl: ServedCrawl) -> None:
    tasks, results = fleet.Queue(), fleet.dict()
    tasks.get(timeout=10)
    tasks.task_done()
    tasks.join()
    over_at = time.monotonic()
    while time.monotonic() < over_at + 3.5:
        assert len(list(results)) == 1
    fleet.close()
    assert crawl.summary().ended == "finished"


# What is lost, and who is gone


OWN = """
import sys
from crawlfleet import connect

with connect(sys.argv[1]) as fleet:
    tasks, results = fleet.Queue(), fleet.dict()
    url = tasks.get()
    results[url] = "slow"
    {between}
    print("holds", url, flush=True)
    sys.stdin.readline()
    print("done", tasks.task_done(), flush=True)
"""


@pytest.fixture
def own_worker(crawl_1s: ServedCrawl) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start processes that hold a URL until they are sent a line."""
    children: list[subprocess.Popen[str]] = []

    def start(between: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", OWN.format(between=between), crawl_1s.token]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline().startswith("holds ")
        return child

    yield start
    for child in children:
        child.send_signal(signal.SIGCONT)
        child.kill()
        child.communicate()


@pytest.fixture
def crawl_1s(site: SmallSite, tmp_path: Path) -> Iterator[ServedCrawl]:
    with served(tmp_path, f"{site.base}/", more=ONE_SECOND) as crawl:
        yield crawl


def test_a_lease_that_was_lost_meanwhile_records_nothing_twice(
    crawl_1s: ServedCrawl, own_worker: Callable[[], subprocess.Popen[str]]
) -> None:
    child = own_worker()
    with connect(crawl_1s.token) as fleet:
        tasks, results = fleet.Queue(), fleet.dict()
        child.send_signal(signal.SIGSTOP)
        url = tasks.get(timeout=10)  # the silent one's, after the lease time
        child.send_signal(signal.SIGCONT)
        assert child.communicate("\n", timeout=15)[0] == "done False\n"
        results[url] = "quick"
        assert tasks.task_done()
        with pytest.raises(JobFinished):
            tasks.get(timeout=10)
        assert dict(results) == {url: "quick"}
        assert fleet.status().fetched == 1
    assert crawl_1s.summary().rows == 1


def test_what_a_killed_process_held_is_got_by_another(
    crawl_1s: ServedCrawl, own_worker: Callable[[], subprocess.Popen[str]]
) -> None:
    child = own_worker()
    with connect(crawl_1s.token) as fleet:
        tasks = fleet.Queue()
        child.kill()
        assert tasks.get(timeout=10).endswith("/")
        assert tasks.task_done()


def test_a_lock_passes_on_when_its_holder_is_killed_and_its_number_grows(
    crawl_1s: ServedCrawl, own_worker: Callable[[str], subprocess.Popen[str]]
) -> None:
    child = own_worker('lock = fleet.Lock("door"); lock.__enter__()')
    with connect(crawl_1s.token) as fleet, ThreadPoolExecutor(1) as pool:

        def enter() -> int:
            with fleet.Lock("door") as fence:
                return fence

        waiting = pool.submit(enter)
        eventually(lambda: fleet.status().sessions == 2)
        assert not waiting.done()
        child.kill()
        killed_at = time.monotonic()
        assert waiting.result(10) == 2
        assert time.monotonic() - killed_at < 5
        assert elsewhere(enter) == 3


def test_a_coordinator_that_stays_away_is_told_to_all_who_wait(crawl: ServedCrawl) -> None:
    with connect(crawl.token, patience_s=0.5) as fleet:
        tasks, results = fleet.Queue(), fleet.dict()
        tasks.get(timeout=10)
        with ThreadPoolExecutor(2) as pool:
            calls: list[Future[Any]] = [pool.submit(tasks.get), pool.submit(tasks.join)]
            crawl.stop()
            for call in calls:
                with pytest.raises(Unreachable, match=r"no coordinator has answered for 0\.5 s"):
                    call.result(20)
        with pytest.raises(Unreachable, match="no coordinator has answered"):
            tasks.task_done()
        with pytest.raises(Unreachable):
            len(results)
        with pytest.raises(Unreachable):
            tasks.get_nowait()


def test_a_token_that_does_not_fit_is_told_at_once(crawl: ServedCrawl) -> None:
    began_at = time.monotonic()
    with pytest.raises(JoinError):
        connect("cf2:nonsense")
    other = crawl.token[:-6] + ("AAAAAA" if crawl.token[-6:] != "AAAAAA" else "BBBBBB")
    with pytest.raises(JoinError):
        connect(other)
    assert time.monotonic() < began_at + 1
    crawl.stop()
    with pytest.raises(Unreachable, match=r"no coordinator answers .*; tried for 0\.2 s: see whether"):
        connect(crawl.token, patience_s=0.2)


def test_a_coordinator_that_comes_later_is_waited_for(
    site: SmallSite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine, identity = tmp_path / "later", tmp_path / "identity"
    mine.mkdir()
    with served(tmp_path, f"{site.base}/", identity=identity) as earlier:
        port = earlier.crawl.address[1]
    with ThreadPoolExecutor(1) as pool:
        connecting = pool.submit(connect, earlier.token, 20)
        eventually(lambda: "waiting for the coordinator" in capfd.readouterr().err)
        assert not connecting.done()
        with served(mine, f"{site.base}/", port=port, identity=identity), connecting.result(10) as fleet:
            assert fleet.Queue().get(timeout=10) == f"{site.base}/"
    assert "waiting" not in capfd.readouterr().err


@pytest.mark.parametrize("is_stale", [False, True], ids=["no file", "of an earlier run"])
def test_the_file_of_a_token_is_waited_for(
    is_stale: bool, site: SmallSite, crawl: ServedCrawl, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    if is_stale:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            write_token(replace(crawl.crawl.token, addresses=(listener.getsockname(),)), path)
    reason = "no coordinator answers" if is_stale else f"the join token is not in {path} yet"
    with pytest.raises(Unreachable, match=f"{reason}.*; tried for 0.1 s"):
        connect(path, patience_s=0.1)
    with ThreadPoolExecutor(1) as pool:
        capfd.readouterr()
        connecting = pool.submit(connect, path, 20)
        eventually(lambda: reason in capfd.readouterr().err)
        write_token(crawl.crawl.token, path)
        with connecting.result(10) as fleet:
            assert fleet.Queue().get(timeout=10) == f"{site.base}/"


def test_a_connection_from_before_a_fork_is_refused(fleet: Fleet) -> None:
    tasks = fleet.Queue()
    pid = os.getpid()
    session = tasks._session
    session._pid = pid + 1  # what a forked child would see
    try:
        with pytest.raises(RuntimeError, match=r"connect\(\) in each process"):
            tasks.get()
    finally:
        session._pid = pid


# Politeness, and company


def test_two_workers_together_never_press_a_host(tmp_path: Path) -> None:
    delay_s = 0.2
    pages = {f"/{n}": page(str(n)) for n in range(6)}
    more = f"politeness: {{delay: {delay_s}s, per_host: 1}}\n"
    with serving(pages) as site, served(tmp_path, *(site.base + path for path in pages), more=more) as crawl:

        def work() -> int:
            count = 0
            with connect(crawl.token) as fleet:
                tasks = fleet.Queue()
                for url in iter_urls(tasks):
                    requests.get(url, timeout=10).close()
                    count += tasks.task_done()
            return count

        with ThreadPoolExecutor(2) as pool:
            counts = [future.result(60) for future in [pool.submit(work), pool.submit(work)]]
        assert sum(counts) == 6
        starts = site.starts()
        assert len(starts) == 7
        gaps = [after - before for before, after in itertools.pairwise(starts)]
        # The server's clock starts a little after the start itself, by a time that is not always the same.
        assert min(gaps) > delay_s - 0.05


def test_the_next_worker_waits_for_the_host_that_a_closed_one_has_just_asked(tmp_path: Path) -> None:
    more = "politeness: {delay: 1s, per_host: 1}\n"
    with serving(PAGES) as site, served(tmp_path, f"{site.base}/", more=more) as crawl:
        with connect(crawl.token) as quitter:
            quitter.Queue().get(timeout=10)
            began_at = time.monotonic()
        with connect(crawl.token) as fleet:
            fleet.Queue().get(timeout=10)
            assert time.monotonic() - began_at >= 0.95


# Locks and numbers


def test_a_lock_lets_one_thread_in_at_a_time_over_all_connections(crawl: ServedCrawl) -> None:
    inside: list[int] = []
    fences: list[int] = []

    def enter(fleet: Fleet) -> None:
        for _ in range(5):
            with fleet.Lock("door") as fence:
                inside.append(fence)
                assert inside == [fence]
                fences.append(fence)
                inside.clear()

    with connect(crawl.token) as one, connect(crawl.token) as two, ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(enter, fleet) for fleet in (one, two, one, two)]:
            future.result(60)
    assert fences == list(range(1, 21))


def test_what_threads_add_is_summed_up(crawl: ServedCrawl) -> None:
    with connect(crawl.token) as one, connect(crawl.token) as two, ThreadPoolExecutor(4) as pool:

        def add(fleet: Fleet) -> None:
            for _ in range(25):
                fleet.Value("n").add(1)

        for future in [pool.submit(add, fleet) for fleet in (one, two, one, two)]:
            future.result(60)
        assert (one.Value("n").get(), two.Value("n").add(0.5), one.Value("other").get()) == (100, 100.5, 0)
        one.Value("n").set(7)
        assert two.Value("n").get() == 7
        with pytest.raises(TypeError, match="a number is expected, not 'seven'"):
            one.Value("n").set("seven")
