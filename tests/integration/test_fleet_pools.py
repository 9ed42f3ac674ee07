"""Pools on a real coordinator with a real worker: every verb, over real pages."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import pytest
import requests

from crawlfleet import Fleet, JobFinished, Rows, connect
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.errors import PageFailed, PageRefused, Unreachable
from crawlfleet.fleet.pool.stream import Stream
from tests.site.served_crawl import ServedCrawl, served
from tests.site.small_site import Moved, Page, SmallSite, page, serving

NUMBERS = range(40)
PAGES = {f"/n{number}": page(str(number), f"/n{number}/on") for number in NUMBERS}
PAGES |= {f"/n{number}/on": page(f"on {number}") for number in NUMBERS}
PAGES |= {f"/slow{number}": page(f"slow {number}") for number in range(4)}
SITE: dict[str, Page] = {
    "/robots.txt": "User-agent: *\nDisallow: /private/",
    "/": page("home", "/a"),
    "/a": page("a", "/found"),
    "/found": page("found"),
    "/old": Moved("/new"),
    "/new": page("new", "/found"),
    "/away": Moved("http://elsewhere.test/"),
    "/two": page("two", "/two/on"),
    "/two/on": page("two on"),
    "/broken": page("broken"),
    "/private/1": page("private"),
    "/asked": page("asked", "/asked/on"),
    "/asked/on": page("asked on"),
    "/root": page("root", "/asked"),
    **PAGES,
}
HOOK = """\
def parse(page):
    if page.url.endswith("/broken"):
        raise ValueError("no price")
    yield {"title": page.title}
    if page.url.endswith("/two"):
        yield {"title": "second"}
"""
MORE = "politeness: {delay: 0s, per_host: %s}\nfetch: {retries: 0}\nhooks: hook.py\n"
PATIENCE_S = 30.0


class Setting:
    """A crawl with one worker, and a program connected to it."""

    def __init__(self, site: SmallSite, crawl: ServedCrawl, fleet: Fleet, folder: Path) -> None:
        self.site = site
        self.crawl = crawl
        self.fleet = fleet
        self.folder = folder

    def url(self, path: str) -> str:
        return self.site.base + path

    def urls(self, *numbers: int) -> list[str]:
        return [self.url(f"/n{number}") for number in numbers]

    def finish(self) -> dict[str, int]:
        """Leave, wait for the end of the crawl, check that it can prove what it did; return its reasons."""
        self.fleet.close()
        summary = self.crawl.summary()
        assert summary.ended in ("finished", "failed")
        # The test's own process still holds the lock of the folder.
        shutil.copytree(self.folder / "crawls" / "own", self.folder / "copy")
        proof = verify(self.folder / "copy")
        assert proof.holds, [found for found in proof.invariants if found.broken]
        assert proof.unfinished == 0
        return dict(summary.reasons)


def begin(folder: Path, per_host: int = 4) -> Iterator[Setting]:
    (folder / "hook.py").write_text(HOOK)
    with serving(SITE) as site, served(folder, f"{site.base}/", more=MORE % per_host, wait=True) as crawl:
        command = [sys.executable, "-m", "crawlfleet", "worker", "--join", crawl.token, "--processes", "1"]
        with (folder / "worker.txt").open("wb") as said:
            worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            with connect(crawl.token) as fleet:
                eventually(lambda: fleet.status().done == 3 and fleet.status().unfinished == 0)
                yield Setting(site, crawl, fleet, folder)
        finally:
            worker.terminate()
            worker.wait(20)


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    yield from begin(tmp_path)


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Setting]:
    """A crawl that fetches one page at a time."""
    yield from begin(tmp_path, per_host=1)


def title(rows: Rows) -> str:
    return str(rows[0]["title"])


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_map_returns_rows_in_the_order_of_the_urls(setting: Setting) -> None:
    urls = setting.urls(*reversed(NUMBERS))
    with setting.fleet.Pool() as pool:
        found = pool.map(urls)
    assert [title(rows) for rows in found] == [str(number) for number in reversed(NUMBERS)]
    assert [(rows.url, rows.final_url, rows.status) for rows in found] == [(url, url, 200) for url in urls]
    assert setting.finish() == {}
    assert [setting.site.hits(f"/n{number}") for number in NUMBERS] == [1] * len(NUMBERS)
    assert [setting.site.hits(f"/n{number}/on") for number in NUMBERS] == [0] * len(NUMBERS)


def test_every_verb_brings_the_rows(setting: Setting) -> None:
    urls = setting.urls(1, 2, 3)
    with setting.fleet.Pool() as pool:
        results = {
            "map_async": pool.map_async(urls).get(PATIENCE_S),
            "imap": list(pool.imap(urls)),
            "imap_unordered": sorted(pool.imap_unordered(urls), key=title),
            "starmap": pool.starmap([(url, {"priority": 5}) for url in urls]),
            "starmap_async": pool.starmap_async([(url,) for url in urls]).get(PATIENCE_S),
            "apply": [pool.apply(url) for url in urls],
            "apply_async": [result.get(PATIENCE_S) for result in [pool.apply_async(url) for url in urls]],
            "submit": [future.result(PATIENCE_S) for future in [setting.fleet.submit(url) for url in urls]],
            "executor's map": list(setting.fleet.map(urls, timeout=PATIENCE_S)),
        }
    for verb, found in results.items():
        assert [title(rows) for rows in found] == ["1", "2", "3"], verb
    assert setting.finish() == {}
    assert [setting.site.hits(f"/n{number}") for number in (1, 2, 3)] == [1, 1, 1]


def test_results_come_as_they_are_recorded_and_in_order_only_if_that_is_asked_for(setting: Setting) -> None:
    setting.site.hold("/slow0")
    urls = [setting.url("/slow0"), *setting.urls(1, 2)]
    with setting.fleet.Pool() as pool:
        ordered, unordered = pool.imap(urls), pool.imap_unordered(urls)
        assert {title(unordered.next(PATIENCE_S)) for _ in range(2)} == {"1", "2"}
        with pytest.raises(TimeoutError):
            ordered.next(0.2)
        setting.site.release()
        assert title(unordered.next(PATIENCE_S)) == "slow 0"
        assert [title(rows) for rows in ordered] == ["slow 0", "1", "2"]


def test_a_redirected_url_gives_the_rows_of_its_target(setting: Setting) -> None:
    with setting.fleet.Pool() as pool:
        for _ in range(2):
            rows = pool.apply(setting.url("/old"))
            assert (rows, rows.url, rows.final_url) == (
                [{"item": "item", "title": "new"}],
                setting.url("/old"),
                setting.url("/new"),
            )
        with pytest.raises(PageRefused) as caught:
            pool.apply(setting.url("/away"))
    assert (caught.value.rule, caught.value.url) == ("host", setting.url("/away"))
    assert (setting.site.hits("/old"), setting.site.hits("/new")) == (1, 1)


def test_what_cannot_be_had_says_why(setting: Setting) -> None:
    with setting.fleet.Pool() as pool:
        with pytest.raises(PageFailed) as missing:
            pool.apply(setting.url("/nowhere"))
        with pytest.raises(PageFailed) as broken:
            pool.apply(setting.url("/broken"))
        with pytest.raises(PageRefused) as forbidden:
            pool.apply(setting.url("/private/1"))
        with pytest.raises(PageRefused) as outside:
            pool.apply("http://elsewhere.test/")
        with pytest.raises(PageRefused) as nonsense:
            pool.apply("mailto:x@a.test")
    assert (missing.value.reason, missing.value.status) == ("http_404", 404)
    assert (broken.value.reason, broken.value.status) == ("extract_error", 200)
    assert "ValueError: no price" in broken.value.detail
    assert "ValueError: no price" in str(broken.value)
    assert [caught.value.rule for caught in (forbidden, outside, nonsense)] == ["robots", "host", "not_http"]
    reasons = setting.finish()
    assert reasons == {"http_404": 1, "extract_error": 1, "robots": 1}


def test_pages_lead_on_only_with_follow(setting: Setting) -> None:
    with setting.fleet.Pool(follow=True) as following, setting.fleet.Pool() as pool:
        pool.map(setting.urls(1, 2))
        following.apply(setting.url("/n3"))
        pool.apply(setting.url("/n4"), follow=True)
        pool.starmap([(setting.url("/n5"), {"follow": True}), (setting.url("/n6"),)])
        following.apply(setting.url("/n7"), follow=False)
    setting.finish()
    assert [number for number in NUMBERS if setting.site.hits(f"/n{number}/on")] == [3, 4, 5]


def test_a_page_that_the_crawl_also_finds_leads_on(setting: Setting) -> None:
    with setting.fleet.Pool() as pool:
        pool.apply(setting.url("/asked"))
        pool.apply(setting.url("/root"), follow=True)
    setting.finish()
    assert (setting.site.hits("/asked"), setting.site.hits("/asked/on")) == (1, 1)


def test_a_settled_page_answers_at_once(setting: Setting) -> None:
    with setting.fleet.Pool() as pool:
        eventually(lambda: setting.site.hits("/found") == 1 and setting.fleet.status().unfinished == 0)
        assert title(pool.apply(setting.url("/found"))) == "found"
    setting.finish()
    assert setting.site.hits("/found") == 1


def test_the_crawl_does_not_end_while_a_pool_is_open(setting: Setting) -> None:
    pool = setting.fleet.Pool()
    eventually(lambda: setting.fleet.status().unfinished == 0)
    time.sleep(1.0)
    assert not setting.fleet.status().finished
    assert title(pool.apply(setting.url("/n1"))) == "1"
    pool.close()
    pool.join()
    setting.finish()


def test_a_pool_on_a_crawl_that_is_over_says_so(setting: Setting) -> None:
    with connect(setting.crawl.token, patience_s=1.0) as other:
        other.Event("opened").is_set()
        setting.fleet.Pool().terminate()
        setting.fleet.close()
        other._session.close()  # type: ignore[union-attr]  # opened by the event
        setting.crawl.summary()
        with pytest.raises((JobFinished, Unreachable)):
            other.Pool()


def test_what_has_not_started_is_cancelled_and_can_be_asked_for_again(narrow: Setting) -> None:
    narrow.site.hold("/slow0")
    first = narrow.fleet.submit(narrow.url("/slow0"))
    narrow.site.await_held()
    others = [narrow.fleet.submit(url) for url in narrow.urls(*NUMBERS)]
    eventually(lambda: narrow.fleet.status().unfinished == 1 + len(NUMBERS))
    # A worker holds a few of them already.
    assert others[-1].cancel()
    assert others[-1].cancelled()
    assert not first.cancel()
    assert narrow.fleet.status().reasons == {"cancelled": 1}
    again = narrow.fleet.submit(narrow.urls(*NUMBERS)[-1])
    narrow.site.release()
    done, rest = concurrent.futures.wait([first, *others, again], PATIENCE_S)
    assert (len(done), rest) == (len(NUMBERS) + 2, set())
    assert (title(first.result()), title(again.result())) == ("slow 0", str(NUMBERS[-1]))
    assert narrow.finish() == {}
    assert [narrow.site.hits(f"/n{number}") for number in NUMBERS] == [1] * len(NUMBERS)


def test_terminate_drops_what_has_not_started_and_lets_nobody_wait(narrow: Setting) -> None:
    narrow.site.hold("/slow0")
    pool = narrow.fleet.Pool()
    results = pool.map_async([narrow.url("/slow0"), *narrow.urls(*NUMBERS)])
    narrow.site.await_held()
    eventually(lambda: narrow.fleet.status().unfinished == 1 + len(NUMBERS))
    pool.terminate()
    with pytest.raises(PageRefused) as caught:
        results.get(PATIENCE_S)
    assert caught.value.rule == "cancelled"
    pool.join()
    eventually(lambda: narrow.fleet.status().reasons.get("cancelled", 0) > len(NUMBERS) // 2)
    narrow.site.release()
    cancelled = narrow.finish()["cancelled"]
    fetched = [narrow.site.hits(f"/n{number}") for number in NUMBERS]
    assert (sum(fetched) + cancelled, max([1, *fetched])) == (len(NUMBERS), 1)


def test_a_worker_returns_what_nobody_wants_any_more_and_it_has_not_started(narrow: Setting) -> None:
    narrow.site.hold("/slow0")
    pool = narrow.fleet.Pool()
    pool.map_async([narrow.url(f"/slow{number}") for number in range(4)])
    narrow.site.await_held()
    eventually(lambda: narrow.fleet.status().leased == 4)
    pool.terminate()
    # The worker hears of it with its next exchange.
    time.sleep(2.0)
    narrow.site.release()
    assert narrow.finish() == {"cancelled": 3}
    assert [narrow.site.hits(f"/slow{number}") for number in range(4)] == [1, 0, 0, 0]


def test_a_page_with_a_priority_comes_before_those_that_wait(narrow: Setting) -> None:
    narrow.site.hold("/slow0")
    with narrow.fleet.Pool() as pool:
        held = pool.apply_async(narrow.url("/slow0"))
        narrow.site.await_held()
        later = pool.map_async(narrow.urls(*range(30)))
        eventually(lambda: narrow.fleet.status().unfinished == 31)
        urgent = pool.starmap_async([(narrow.url("/n39"), {"priority": 5})])
        eventually(lambda: narrow.fleet.status().unfinished == 32)
        narrow.site.release()
        urgent.get(PATIENCE_S)
        later.get(PATIENCE_S)
        held.get(PATIENCE_S)
    order = [path for path, _ in narrow.site.requests]
    # What the worker held already when it was asked for comes first.
    assert order.index("/n39") < order.index("/n29")


def test_threads_share_a_pool(setting: Setting) -> None:
    found: dict[int, str] = {}
    with setting.fleet.Pool() as pool:

        def work(number: int) -> None:
            found[number] = title(pool.apply(setting.url(f"/n{number}")))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert found == {number: str(number) for number in range(16)}


def test_two_programs_that_ask_for_the_same_pages_both_get_them(setting: Setting) -> None:
    urls = setting.urls(*range(20))
    with connect(setting.crawl.token) as other, other.Pool() as theirs, setting.fleet.Pool() as ours:
        first, second = ours.map_async(urls), theirs.map_async(urls)
        assert [title(rows) for rows in first.get(PATIENCE_S)] == [title(rows) for rows in second.get(PATIENCE_S)]
    setting.finish()
    assert {setting.site.hits(f"/n{number}") for number in range(20)} == {1}


# In time: laziness, timeouts, callbacks, the ends of pools


def test_an_iterable_is_consumed_only_as_far_as_the_window_allows(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stream.__init__, "__kwdefaults__", {**(Stream.__init__.__kwdefaults__ or {}), "window": 5})
    given: list[int] = []

    def urls() -> Iterator[str]:
        for number in NUMBERS:
            given.append(number)
            yield setting.url(f"/n{number}")

    with setting.fleet.Pool() as pool:
        pages = pool.imap(urls())
        eventually(lambda: len(given) >= 5)
        time.sleep(0.5)
        assert len(given) == 5
        assert title(next(pages)) == "0"
        eventually(lambda: len(given) == 6)
        assert [title(rows) for rows in pages] == [str(number) for number in NUMBERS[1:]]
    assert given == list(NUMBERS)


def test_urls_may_follow_from_the_pages_before_them(setting: Setting) -> None:
    """A generator that waits for what its own pool brings, as a crawl of one's own."""
    more: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    more.put("/n0")
    found = []
    with setting.fleet.Pool() as pool:
        for rows in pool.imap_unordered(map(setting.url, iter(more.get, None))):
            found.append(title(rows))
            more.put(f"/n{len(found)}" if len(found) < 10 else None)
    assert found == [str(number) for number in range(10)]


def test_a_result_that_is_not_there_yet_says_so(setting: Setting) -> None:
    setting.site.hold("/slow0")
    with setting.fleet.Pool() as pool:
        result = pool.apply_async(setting.url("/slow0"))
        setting.site.await_held()
        result.wait(0.1)
        assert not result.ready()
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(0.1)
        with pytest.raises(TimeoutError):
            next(setting.fleet.map([setting.url("/slow0")], timeout=0.1))
        setting.site.release()
        assert title(result.get(PATIENCE_S)) == "slow 0"
        assert (result.ready(), result.successful()) == (True, True)


def test_callbacks_get_rows_and_errors(setting: Setting) -> None:
    rows: queue.SimpleQueue[Any] = queue.SimpleQueue()
    errors: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with setting.fleet.Pool() as pool:
        pool.apply_async(setting.url("/n1"), rows.put, errors.put)
        pool.apply_async(setting.url("/nowhere"), rows.put, errors.put)
        pool.map_async(setting.urls(2, 3), callback=rows.put, error_callback=errors.put)
        pool.close()
        pool.join()
    found = [rows.get(timeout=PATIENCE_S) for _ in range(2)]
    assert sorted(map(len, found)) == [1, 2]
    assert errors.get(timeout=PATIENCE_S).reason == "http_404"
    future = setting.fleet.submit(setting.url("/n4"))
    future.add_done_callback(rows.put)
    assert rows.get(timeout=PATIENCE_S) is future


def test_a_closed_pool_takes_nothing_more_and_brings_what_it_was_asked_for(setting: Setting) -> None:
    pool = setting.fleet.Pool()
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    pages, result = pool.imap(setting.urls(*NUMBERS)), pool.map_async(setting.urls(*NUMBERS))
    pool.close()
    for ask in (pool.apply, pool.map, pool.imap):
        with pytest.raises(ValueError, match="not running"):
            ask(setting.url("/n1"))
    pool.join()
    assert [title(rows) for rows in pages] == [title(rows) for rows in result.get(0)] == list(map(str, NUMBERS))
    setting.finish()


# The plain model


def calls(
    pool: Any, executor: Any, f: tuple[Callable[[str], Any], ...], urls: list[str], no: str
) -> Iterator[tuple[str, Any]]:
    """Use the verbs of a pool and of an executor; `f` is their function, or nothing for those of the fleet."""
    yield "map", [title(rows) for rows in pool.map(*f, urls)]
    yield "map nothing", pool.map(*f, [])
    yield "map_async", [title(rows) for rows in pool.map_async(*f, urls).get(PATIENCE_S)]
    yield "imap", [title(rows) for rows in pool.imap(*f, iter(urls), chunksize=2)]
    yield "imap_unordered", sorted(title(rows) for rows in pool.imap_unordered(*f, urls))
    yield "starmap", [title(rows) for rows in pool.starmap(*f, [(url,) for url in urls])]
    yield (
        "as_completed",
        sorted(
            title(future.result())
            for future in concurrent.futures.as_completed([executor.submit(*f, url) for url in urls])
        ),
    )
    yield "executor's map", [title(rows) for rows in executor.map(*f, urls)]
    pages = pool.imap(*f, [urls[0], no, urls[1]])
    yield "an error in its place", [title(next(pages)), _error_of(lambda: next(pages)), title(next(pages))]
    yield "and the end", _error_of(lambda: next(pages))
    yield "an error of map", _error_of(lambda: pool.map(*f, [*urls, no]))
    yield "an error of a future", type(executor.submit(*f, no).exception()).__name__ != "NoneType"
    yield "a wrong chunksize", _error_of(lambda: pool.imap(*f, urls, chunksize=0))


def _error_of(call: Callable[[], object]) -> str:
    try:
        call()
    except (StopIteration, ValueError) as error:
        return type(error).__name__
    except Exception:  # noqa: BLE001  # the function's own
        return "an error"
    return "no error"


def test_the_verbs_do_what_those_of_the_standard_library_do(setting: Setting) -> None:
    def fetch(url: str) -> list[dict[str, str]]:
        answer = requests.get(url, timeout=10)
        answer.raise_for_status()
        return [{"title": answer.text.partition("<title>")[2].partition("<")[0]}]

    urls, no = setting.urls(3, 1, 2), setting.url("/nowhere")
    with ThreadPool(2) as plain, concurrent.futures.ThreadPoolExecutor(2) as executor:
        expected = dict(calls(plain, executor, (fetch,), urls, no))
    with setting.fleet.Pool() as pool:
        assert dict(calls(pool, setting.fleet, (), urls, no)) == expected
