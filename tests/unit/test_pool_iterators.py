"""Iterators of pages: how far they consume URLs, how much they keep, and what becomes of those that are dropped."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from crawlfleet.errors import PageFailed, PageRefused
from crawlfleet.fleet.pool import stream as streams
from crawlfleet.fleet.pool.async_result import PoolTimeout
from crawlfleet.fleet.pool.iterators import PageIterator
from crawlfleet.fleet.pool.options import Wish
from crawlfleet.fleet.pool.stream import Stream
from tests.unit.pool_coordinator import SOON_S, FakeCoordinator, asker_of, pool_of, until


class Counted:
    """URLs without end that count how many were consumed."""

    def __init__(self) -> None:
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        while True:
            self.count += 1
            yield f"http://site.test/{self.count - 1}"


@pytest.fixture
def coordinator() -> FakeCoordinator:
    return FakeCoordinator()


def _wish(url: Any) -> Wish:
    return url, None, False


def _pages(coordinator: FakeCoordinator, urls: Any, **options: Any) -> PageIterator:
    asker = asker_of(coordinator)
    stream = Stream(asker, asker.open_pool(), **({"is_ordered": True} | options))
    stream.start(urls, _wish)
    return PageIterator(asker, stream)


def _settled(counted: Counted, count: int) -> None:
    """Wait until so many URLs are consumed, and see that no more are."""
    until(lambda: counted.count == count)
    threading.Event().wait(0.05)
    assert counted.count == count


@pytest.mark.parametrize("verb", ["imap", "imap_unordered"])
def test_urls_are_consumed_a_window_ahead(coordinator: FakeCoordinator, verb: str) -> None:
    counted = Counted()
    with pool_of(coordinator) as pool:
        pages = getattr(pool, verb)(counted)
        _settled(counted, 10_000)
        assert [next(pages).url for _ in range(4_999)][-1] == "http://site.test/4998"
        _settled(counted, 10_000)
        next(pages)
        _settled(counted, 15_000)


@pytest.mark.parametrize("is_ordered", [True, False])
def test_a_small_window_moves_with_each_page(coordinator: FakeCoordinator, is_ordered: bool) -> None:
    counted = Counted()
    pages = _pages(coordinator, counted, window=3, is_ordered=is_ordered)
    for number in range(20):
        _settled(counted, number + 3) if number < 3 else None
        assert next(pages).url == f"http://site.test/{number}"
    assert counted.count <= 23


def test_urls_that_are_not_answered_fill_the_window_as_well(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    counted = Counted()
    pages = _pages(coordinator, counted, window=5)
    _settled(counted, 5)
    coordinator.until(lambda: len(coordinator.asks) == 5)
    coordinator.let_go("http://site.test/4")
    with pytest.raises(PoolTimeout):
        pages.next(timeout=0.05)
    assert counted.count == 5
    coordinator.let_go("http://site.test/0")
    assert pages.next(SOON_S).url == "http://site.test/0"
    _settled(counted, 6)


def test_a_list_is_consumed_no_further_than_the_window(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    urls = [str(number) for number in range(3_000)]
    pages = _pages(coordinator, urls, window=1_200)
    coordinator.until(lambda: len(coordinator.asks) == 1_200)
    threading.Event().wait(0.05)
    assert len(coordinator.asks) == 1_200
    coordinator.let_go()
    assert [rows.url for rows in pages] == urls


def _large(url: str) -> list[Any]:
    if "fails" in url:
        raise PageFailed(url, "dns_failed")
    return [{"text": url * 500}]  # some 1,500 bytes in the messages of these tests


@pytest.mark.parametrize("is_ordered", [True, False])
@pytest.mark.parametrize("max_bytes", [0, 20_000])
def test_rows_beyond_the_bound_are_thrown_away_and_asked_for_again(is_ordered: bool, max_bytes: int) -> None:
    coordinator = FakeCoordinator(_large)
    urls = [str(number) for number in range(100, 300)]
    pages = _pages(coordinator, urls, is_ordered=is_ordered, max_bytes=max_bytes)
    stream = pages._stream
    until(lambda: stream._arrived == 200 or len(stream._buffer) == 200)
    assert stream._bytes <= max(max_bytes, 6_000)
    kept = 200 - stream._spilled
    assert 1 <= kept <= max(1, max_bytes // 4_500)
    read = []
    for rows in pages:
        assert stream._bytes <= max(max_bytes, 6_000)
        assert rows == _large(rows.url)
        read.append(rows.url)
    assert read == urls
    assert len(coordinator.asked_urls()) >= 200 + 200 - kept
    assert (stream._bytes, stream._spilled) == (0, 0)


def test_failures_are_kept_beyond_the_bound() -> None:
    coordinator = FakeCoordinator(_large)
    pages = _pages(coordinator, ["1", "fails", "2", "fails", "3"], max_bytes=0)
    kinds = []
    for _ in range(5):
        try:
            kinds.append(next(pages).url)
        except PageFailed as failure:
            kinds.append(failure.reason)
    assert kinds == ["1", "dns_failed", "2", "dns_failed", "3"]
    assert coordinator.asked_urls().count("fails") == 2


def test_two_iterators_of_a_pool_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.Stream.__init__, "__kwdefaults__", {"window": 50, "max_bytes": 30_000})
    coordinator = FakeCoordinator(_large)
    coordinator.change(capacity=60)
    urls = [str(number) for number in range(100, 400)]
    with pool_of(coordinator) as pool:
        first, second = pool.imap(iter(urls)), pool.imap(urls)
        assert [rows.url for rows in itertools.islice(second, 200)] == urls[:200]
        pairs = [(one.url, other.url) for one, other in zip(first, second, strict=False)]
        assert pairs == list(zip(urls, urls[200:], strict=False))
        # `zip` has taken one more of the first, to see that the second is at its end.
        assert [rows.url for rows in first] == urls[101:]


def test_a_spilled_page_of_a_closed_pool_keeps_it_open_until_it_is_read() -> None:
    coordinator = FakeCoordinator(_large)
    asker = asker_of(coordinator)
    pool = asker.open_pool()
    stream = Stream(asker, pool, is_ordered=True, max_bytes=0)
    stream.start(["1", "2"], _wish)
    asker.close_pool(pool)
    until(lambda: pool.is_answered)
    assert (coordinator.closed, pool.spilled) == ([], 1)
    pages = PageIterator(asker, stream)
    assert [rows.url for rows in pages] == ["1", "2"]
    until(lambda: coordinator.closed == [pool.number])


def test_a_spilled_page_of_a_terminated_pool_is_not_waited_for() -> None:
    coordinator = FakeCoordinator(_large)
    asker = asker_of(coordinator)
    pool = asker.open_pool()
    stream = Stream(asker, pool, is_ordered=True, max_bytes=0)
    stream.start(["1", "2"], _wish)
    until(lambda: pool.spilled == 1)
    asker.terminate(pool)
    until(lambda: coordinator.closed == [pool.number])
    pages = PageIterator(asker, stream)
    assert next(pages).url == "1"
    with pytest.raises(ValueError, match="Pool not running"):
        pages.next(SOON_S)
    with pytest.raises(StopIteration):
        pages.next(SOON_S)
    assert coordinator.closed == [pool.number]


@pytest.mark.parametrize("is_closed", [True, False])
def test_an_iterator_that_is_dropped_takes_its_asks_back(coordinator: FakeCoordinator, is_closed: bool) -> None:
    coordinator.change(is_holding=True)
    counted = Counted()
    with pool_of(coordinator) as pool:
        pages = pool.imap(counted)
        other = pool.apply_async("other")
        coordinator.until(lambda: len(coordinator.asks) == 10_001)
        coordinator.let_go("http://site.test/0")
        assert pages.next(SOON_S).url == "http://site.test/0"
        if is_closed:
            pages.close()
            with pytest.raises(StopIteration):
                next(pages)
        else:
            del pages
            gc.collect()
        coordinator.until(lambda: [ask.url for ask in coordinator.asks.values()] == ["other"])
        assert all(request.started_too and len(request.tickets) <= 2_000 for request in coordinator.cancels)
        assert counted.count == 10_000
        coordinator.let_go()
        assert other.get(SOON_S).url == "other"
        pool.close()
        pool.join()


def test_a_dropped_iterator_whose_urls_never_come_does_not_keep_its_pool_open(coordinator: FakeCoordinator) -> None:
    never = threading.Event()

    def urls() -> Iterator[str]:
        yield "a"
        never.wait()

    pool = pool_of(coordinator)
    pages = pool.imap(urls())
    assert next(pages).url == "a"
    pool.close()
    assert coordinator.closed == []
    del pages
    pool.join()
    until(lambda: coordinator.closed == [1])
    never.set()


def test_a_join_lifts_the_window(coordinator: FakeCoordinator) -> None:
    urls = [str(number) for number in range(12_000)]
    pool = pool_of(coordinator)
    pages = pool.imap(iter(urls))
    pool.close()
    pool.join()
    assert [rows.url for rows in pages] == urls


def test_a_terminated_pool_ends_its_iterators(coordinator: FakeCoordinator) -> None:
    coordinator.change(is_holding=True)
    never = threading.Event()

    def urls() -> Iterator[str]:
        yield "a"
        yield "b"
        never.wait()

    pool = pool_of(coordinator)
    pages = pool.imap(urls())
    coordinator.until(lambda: len(coordinator.asks) == 2)
    coordinator.let_go("a")
    assert pages.next(SOON_S).url == "a"
    pool.terminate()
    for url in ("b", ""):  # the page that was asked for, and those that were not
        with pytest.raises(PageRefused, match="cancelled") as raised:
            pages.next(SOON_S)
        assert raised.value.url == url
    with pytest.raises(StopIteration):
        pages.next(SOON_S)
    pool.join()
    coordinator.until(lambda: not coordinator.asks)
    never.set()


def test_a_stream_that_gets_no_thread_does_not_keep_its_pool_open(
    coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_work: object) -> None:
        raise RuntimeError("can't start new thread")

    pool = pool_of(coordinator)
    monkeypatch.setattr(pool._asker.threads, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        pool.imap(["a"])
    pool.close()
    pool.join()


def test_an_iterator_of_a_pool_that_nobody_refers_to_goes_on(coordinator: FakeCoordinator) -> None:
    urls = [str(number) for number in range(500)]
    pages = pool_of(coordinator).imap(iter(urls))
    gc.collect()
    assert [rows.url for rows in pages] == urls
    until(lambda: coordinator.closed == [1])


def test_several_threads_may_share_an_iterator(coordinator: FakeCoordinator) -> None:
    read: list[str] = []
    with pool_of(coordinator) as pool:
        pages = pool.imap(str(number) for number in range(2_000))
        threads = [threading.Thread(target=lambda: read.extend(rows.url for rows in pages)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON_S)
    assert sorted(read, key=int) == [str(number) for number in range(2_000)]


def test_an_iterable_is_consumed_in_chunks_if_that_is_asked_for(coordinator: FakeCoordinator) -> None:
    given: list[int] = []
    go_on = threading.Event()

    def urls() -> Iterator[str]:
        for number in range(6):
            if number == 4:
                go_on.wait(SOON_S)
            given.append(number)
            yield str(number)

    with pool_of(coordinator) as pool:
        pages = pool.imap(urls(), chunksize=3)
        assert [next(pages).url for _ in range(3)] == ["0", "1", "2"]
        with pytest.raises(TimeoutError):
            pages.next(0.2)  # of the second chunk one URL is there
        go_on.set()
        assert [rows.url for rows in pages] == ["3", "4", "5"]
