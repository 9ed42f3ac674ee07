"""The verbs of a pool. What a plain pool of threads can do as well is tried on both, by the same programs."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest

from crawlfleet.errors import PageFailed, PageRefused
from crawlfleet.fleet.pool.async_result import Callbacks, MapResult, PoolTimeout
from crawlfleet.fleet.pool.pool import Pool
from tests.unit.pool_coordinator import SOON_S, FakeCoordinator, asker_of, fetch, pool_of, until

URLS = [f"http://site.test/{number}" for number in range(50)]
ROWS = [[{"title": url.upper()}] for url in URLS]


class PlainPool:
    """Python's own pool, of threads that fetch."""

    def __init__(self) -> None:
        self._pool = ThreadPool(4)
        self.close, self.join, self.terminate = self._pool.close, self._pool.join, self._pool.terminate

    def __enter__(self) -> PlainPool:
        self._pool.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.terminate()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        call = getattr(self._pool, verb)
        if verb.startswith("apply"):
            return lambda url, **more: call(fetch, (url,), **more)
        return lambda urls, *more, **options: call(fetch, urls, *more, **options)


@pytest.fixture(params=["fleet", "plain"])
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    with pool_of(FakeCoordinator()) if request.param == "fleet" else PlainPool() as made:
        yield made


def test_apply_returns_the_rows_of_a_page(pool: Any) -> None:
    assert pool.apply(URLS[0]) == ROWS[0]


def test_apply_raises_why_there_are_none(pool: Any) -> None:
    with pytest.raises(PageFailed) as raised:
        pool.apply("http://site.test/fails")
    assert (raised.value.url, raised.value.reason, raised.value.status) == ("http://site.test/fails", "http_404", 404)
    with pytest.raises(PageRefused):
        pool.apply("http://site.test/refused")


@pytest.mark.parametrize("chunksize", [None, 1, 7, 1000])
def test_map_keeps_the_order(pool: Any, chunksize: int | None) -> None:
    assert pool.map(URLS, chunksize) == ROWS
    assert pool.map(iter(URLS), chunksize) == ROWS
    assert pool.map([], chunksize) == []


def test_map_raises_a_failure_when_all_are_answered(pool: Any) -> None:
    with pytest.raises(PageFailed):
        pool.map([URLS[0], "http://site.test/fails", URLS[1]])


def test_starmap_unpacks_its_items(pool: Any) -> None:
    assert pool.starmap([(url,) for url in URLS]) == ROWS
    assert pool.starmap_async([(url,) for url in URLS]).get(SOON_S) == ROWS


def test_imap_keeps_the_order_and_ends(pool: Any) -> None:
    pages = pool.imap(url for url in URLS)
    assert list(pages) == ROWS
    with pytest.raises(StopIteration):
        next(pages)
    assert list(pool.imap([])) == []


def test_imap_unordered_gives_each_page_once(pool: Any) -> None:
    pages = list(pool.imap_unordered(iter(URLS)))
    assert sorted(rows[0]["title"] for rows in pages) == sorted(rows[0]["title"] for rows in ROWS)


def test_an_iterator_goes_on_after_a_failure(pool: Any) -> None:
    pages = pool.imap([URLS[0], "http://site.test/fails", URLS[1]])
    assert next(pages) == ROWS[0]
    with pytest.raises(PageFailed):
        next(pages)
    assert pages.next(timeout=SOON_S) == ROWS[1]
    with pytest.raises(StopIteration):
        pages.next(timeout=SOON_S)


@pytest.mark.parametrize("verb", ["imap", "imap_unordered"])
def test_an_error_of_the_iterable_comes_after_what_it_gave(pool: Any, verb: str) -> None:
    def urls() -> Iterator[str]:
        yield URLS[0]
        raise KeyError("no more")

    pages = getattr(pool, verb)(urls())
    with pytest.raises(KeyError, match="no more"):
        assert [next(pages) for _ in range(2)] == []
    assert list(pages) in ([], [ROWS[0]])


def test_an_iterable_may_wait_for_earlier_pages(pool: Any) -> None:
    seen = threading.Semaphore(0)

    def urls() -> Iterator[str]:
        for url in URLS[:5]:
            yield url
            assert seen.acquire(timeout=SOON_S)

    pages = []
    for rows in pool.imap(urls()):
        pages.append(rows)
        seen.release()
    assert pages == ROWS[:5]


def test_results_call_back_before_they_are_ready(pool: Any) -> None:
    values: list[Any] = []
    errors: list[BaseException] = []
    result = pool.apply_async(URLS[0], callback=values.append, error_callback=errors.append)
    assert result.get(SOON_S) == ROWS[0]
    assert result.ready()
    assert result.successful()
    failed = pool.apply_async("http://site.test/fails", callback=values.append, error_callback=errors.append)
    failed.wait(SOON_S)
    assert not failed.successful()
    pool.map_async(URLS, callback=values.append, error_callback=errors.append).wait(SOON_S)
    assert values == [ROWS[0], ROWS]
    assert [type(error) for error in errors] == [PageFailed]


def test_a_chunk_has_at_least_one_url(pool: Any) -> None:
    for verb in ("imap", "imap_unordered"):
        with pytest.raises(ValueError, match=r"Chunksize must be 1\+"):
            getattr(pool, verb)(URLS, chunksize=0)


def test_a_closed_pool_answers_and_takes_no_more(pool: Any) -> None:
    with pytest.raises(ValueError, match="Pool is still running"):
        pool.join()
    result = pool.map_async(URLS)
    pages = pool.imap(iter(URLS))
    pool.close()
    pool.join()
    assert result.ready()
    assert result.get() == ROWS
    assert list(pages) == ROWS
    for verb, argument in (("apply", URLS[0]), ("map", URLS), ("imap", URLS)):
        with pytest.raises(ValueError, match="Pool not running"):
            getattr(pool, verb)(argument)


def test_a_terminated_pool_can_be_joined() -> None:
    for made in (pool_of(FakeCoordinator()), PlainPool()):
        made.terminate()
        made.join()
        with pytest.raises(ValueError, match="Pool not running"):
            made.__enter__()


@pytest.fixture
def coordinator() -> FakeCoordinator:
    return FakeCoordinator()


@pytest.fixture
def fleet_pool(coordinator: FakeCoordinator) -> Iterator[Pool]:
    with pool_of(coordinator) as made:
        yield made


def test_a_timeout_is_that_of_either_library(coordinator: FakeCoordinator, fleet_pool: Pool) -> None:
    coordinator.change(is_holding=True)
    result = fleet_pool.apply_async(URLS[0])
    pages = fleet_pool.imap(URLS[:1])
    for wait in (lambda: result.get(0.01), lambda: pages.next(0.01), lambda: pages.next(timeout=0)):
        with pytest.raises(PoolTimeout) as raised:
            wait()
        assert isinstance(raised.value, multiprocessing.TimeoutError)
        assert isinstance(raised.value, TimeoutError)
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    result.wait(0.01)
    coordinator.let_go()
    assert result.get(SOON_S) == pages.next(SOON_S) == ROWS[0]


def test_a_page_comes_with_where_it_is_from(fleet_pool: Pool) -> None:
    rows = fleet_pool.apply(URLS[0])
    assert (rows.url, rows.final_url, rows.status) == (URLS[0], URLS[0] + "/", 200)


def test_options_reach_the_coordinator(coordinator: FakeCoordinator) -> None:
    with pool_of(coordinator, follow=True) as made:
        made.apply("a")
        made.apply("b", priority=3, follow=False)
        made.starmap([("c",), ("d", {"priority": -5}), ["e", {"follow": False}]])
        made.map(["f"])
        list(made.imap(["g"]))
    asks = {ask.url: (ask.priority, ask.follow) for request in coordinator.requests for ask in request.asks}
    assert asks == {
        "a": (None, True),
        "b": (3, False),
        "c": (None, True),
        "d": (-5, True),
        "e": (None, False),
        "f": (None, True),
        "g": (None, True),
    }


@pytest.mark.parametrize(
    "item",
    ["http://a/", (), ("a", {}, 1), ("a", 5), ("a", {"depth": 1}), (b"a",), ("a", {"priority": "high"}), ("a", None)],
)
def test_a_wrong_item_of_starmap_is_refused_at_once(
    coordinator: FakeCoordinator, fleet_pool: Pool, item: object
) -> None:
    with pytest.raises(TypeError):
        fleet_pool.starmap([("good",), item])
    assert coordinator.asked_urls() == []


def test_what_is_no_url_is_refused_at_the_call_or_at_its_place(fleet_pool: Pool) -> None:
    not_a_url: Any = 5
    for call in (fleet_pool.apply, fleet_pool.apply_async, lambda url: fleet_pool.map(["a", url])):
        with pytest.raises(TypeError, match="a URL is a str, not int: 5"):
            call(not_a_url)
    for verb in (fleet_pool.map, fleet_pool.imap):
        with pytest.raises(TypeError, match="one URL instead of many"):
            verb("http://a/")
    with pytest.raises(TypeError, match="`follow` of a"):
        fleet_pool.apply("a", follow="yes")  # type: ignore[arg-type]  # what a program may do
    with pytest.raises(TypeError, match="not iterable"):
        fleet_pool.imap(not_a_url)
    pages = fleet_pool.imap([URLS[0], not_a_url, URLS[1]])
    assert next(pages) == ROWS[0]
    with pytest.raises(TypeError, match="a URL is a str"):
        next(pages)
    assert list(pages) == [ROWS[1]]
    unordered = fleet_pool.imap_unordered(iter([not_a_url]))
    with pytest.raises(TypeError, match="a URL is a str"):
        next(unordered)
    assert list(unordered) == []


def test_map_raises_the_first_failure_in_order(coordinator: FakeCoordinator, fleet_pool: Pool) -> None:
    coordinator.change(is_holding=True)
    result = fleet_pool.map_async(["fails/1", "a", "fails/2"])
    coordinator.until(lambda: len(coordinator.asks) == 3)
    coordinator.let_go("fails/2")
    result.wait(0.05)
    assert not result.ready()
    coordinator.let_go()
    with pytest.raises(PageFailed) as raised:
        result.get(SOON_S)
    assert raised.value.url == "fails/1"


def test_errors_may_be_returned_in_place_of_rows(coordinator: FakeCoordinator) -> None:
    not_a_url: Any = 5
    with pool_of(coordinator, return_exceptions=True) as made:
        expected = [list, PageFailed, PageRefused]
        urls = ["a", "fails", "refused"]
        for pages in (made.map(urls), made.starmap([(url,) for url in urls]), list(made.imap(urls))):
            assert [isinstance(page, kind) for page, kind in zip(pages, expected, strict=True)] == [True] * 3
        assert len(list(made.imap_unordered(urls))) == 3
        assert [type(page) for page in made.imap([not_a_url])] == [TypeError]
        with pytest.raises(PageFailed):
            made.apply("fails")


def test_imap_unordered_gives_pages_as_they_are_recorded(coordinator: FakeCoordinator, fleet_pool: Pool) -> None:
    coordinator.change(is_holding=True)
    pages = fleet_pool.imap_unordered(["a", "b", "c"])
    coordinator.until(lambda: len(coordinator.asks) == 3)
    for url in ("b", "c", "a"):
        coordinator.let_go(url)
        assert pages.next(SOON_S).url == url


def test_a_long_list_is_asked_for_a_window_at_a_time(coordinator: FakeCoordinator, fleet_pool: Pool) -> None:
    coordinator.change(is_holding=True)
    urls = [str(number) for number in range(25_000)]
    result = fleet_pool.map_async(urls)
    coordinator.until(lambda: len(coordinator.asks) == 10_000)
    assert not result.ready()
    coordinator.let_go(*urls[5_000:6_000])
    coordinator.until(lambda: len(coordinator.asks) == 10_000)
    assert len(coordinator.asked_urls()) == 11_000
    coordinator.let_go()
    assert [rows.url for rows in result.get(SOON_S)] == urls


def test_an_empty_map_is_ready_and_calls_back(fleet_pool: Pool) -> None:
    values: list[Any] = []
    assert fleet_pool.map_async([], callback=values.append).get(0) == []
    assert values == [[]]


class LetsOthersGoFirst:
    """A lock whose holder goes on only when something is so."""

    def __init__(self, is_so: Callable[[], bool]) -> None:
        self._lock = threading.RLock()
        self._is_so = is_so

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()
        if threading.current_thread() is threading.main_thread():
            until(self._is_so)


def test_a_map_that_is_complete_before_its_call_returns_has_its_rows(coordinator: FakeCoordinator) -> None:
    asker = asker_of(coordinator)
    values: list[Any] = []
    result = MapResult(asker, asker.open_pool(), [(url, None, False) for url in URLS], Callbacks(values.append))
    result._lock = LetsOthersGoFirst(result.ready)
    result.start()
    assert result.get(SOON_S) == ROWS
    assert values == [ROWS]


def test_a_map_whose_call_is_interrupted_is_taken_back(coordinator: FakeCoordinator) -> None:
    def interrupt() -> bool:
        lock._is_so = lambda: True
        coordinator.until(lambda: len(coordinator.asks) == 40)
        raise KeyboardInterrupt

    coordinator.change(is_holding=True)
    asker = asker_of(coordinator)
    pool = asker.open_pool()
    result = MapResult(asker, pool, [(url, None, False) for url in URLS], window=40)
    lock = result._lock = LetsOthersGoFirst(interrupt)
    with pytest.raises(KeyboardInterrupt):
        result.start()
    coordinator.until(lambda: not coordinator.asks)
    assert pool.is_answered


def test_a_callback_that_fails_disturbs_nobody(fleet_pool: Pool) -> None:
    def fail(_value: object) -> None:
        raise SystemExit("of the callback")

    results = [fleet_pool.apply_async(url, callback=fail) for url in URLS[:3]]
    assert [result.get(SOON_S) for result in results] == ROWS[:3]
    assert fleet_pool.apply(URLS[0]) == ROWS[0]


def test_a_callback_must_not_wait_for_pages(coordinator: FakeCoordinator, fleet_pool: Pool) -> None:
    errors: list[BaseException] = []
    coordinator.change(is_holding=True)
    held = fleet_pool.imap(["held"])
    coordinator.until(lambda: len(coordinator.asks) == 1)

    def wait(_value: object) -> None:
        future = fleet_pool.submit("x", None, False)
        calls: list[Callable[[], object]] = [
            lambda: fleet_pool.apply("x"),
            lambda: fleet_pool.map(["x"]),
            lambda: next(held),
            future.result,
            fleet_pool.join,
        ]
        for call in calls:
            if call == fleet_pool.join:
                fleet_pool.close()
            with pytest.raises(RuntimeError, match="a callback of a pool cannot wait for a page") as raised:
                call()
            errors.append(raised.value)

    result = fleet_pool.apply_async("a", callback=wait)
    coordinator.until(lambda: "a" in coordinator.asked_urls())
    coordinator.let_go("a")
    result.wait(SOON_S)
    assert len(errors) == 5
    coordinator.let_go()
    until(lambda: coordinator.closed == [1])
