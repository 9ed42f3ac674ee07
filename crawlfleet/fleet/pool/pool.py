"""A pool of pages: the verbs of `multiprocessing.pool.Pool`, whose function is what the job does with a URL."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from crawlfleet.fleet.pool.asker import Asker
from crawlfleet.fleet.pool.async_result import AsyncResult, Callbacks, MapResult, PageResult
from crawlfleet.fleet.pool.entries import Entry
from crawlfleet.fleet.pool.futures import PageFuture
from crawlfleet.fleet.pool.iterators import PageIterator, within
from crawlfleet.fleet.pool.open_asks import not_running
from crawlfleet.fleet.pool.options import Wish, check_chunksize, wish_of, wish_with_options, wishes_of
from crawlfleet.fleet.pool.results import Rows
from crawlfleet.fleet.pool.stream import Stream

T = TypeVar("T")

Pages = Iterable[str]
Callback = Callable[[Any], object]
ErrorCallback = Callable[[BaseException], object]


class Pool:
    """Asks the crawl for pages. Any thread may use it. While it is open, the crawl does not end.

    The verbs are those of `multiprocessing.pool.Pool`, without the function: each URL is fetched by a worker, once for
    the whole crawl, and gives the `Rows` of its page. A page without rows to give raises `PageFailed`, one that a rule
    refuses `PageRefused`. All verbs raise `ValueError` if the pool is closed.

    As a context manager it is terminated at the end.
    """

    def __init__(self, asker: Asker, *, follow: bool = False, return_exceptions: bool = False) -> None:
        """Open the pool; raise `JobFinished` if the crawl is over, `Unreachable` if nobody answers.

        With `follow`, pages lead on as seeds do. With `return_exceptions`, the verbs for many URLs return errors in
        place of rows.
        """
        self._asker = asker
        self._follow = follow
        self._returns_exceptions = return_exceptions
        self._open = asker.open_pool()
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        finalizer = weakref.finalize(self, _let_go, asker, self._open)
        finalizer.atexit = False

    def __reduce__(self) -> NoReturn:
        raise TypeError("a pool belongs to its process: connect() in each process, and make a pool there")

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()

    def apply(self, url: str, *, priority: int | None = None, follow: bool | None = None) -> Rows:
        """Return the rows of a page, as soon as it is recorded."""
        return _awaited(self.apply_async(url, priority=priority, follow=follow))

    def apply_async(
        self,
        url: str,
        callback: Callback | None = None,
        error_callback: ErrorCallback | None = None,
        *,
        priority: int | None = None,
        follow: bool | None = None,
    ) -> AsyncResult[Rows]:
        """Ask for a page, and return its result to be."""
        self._check_running()
        wish = wish_of(url, priority, self._follow if follow is None else follow)
        result = PageResult(self._asker, Callbacks(callback, error_callback))
        self._asker.ask(self._open, [Entry(result, 0, *wish)])
        return result

    def map(self, urls: Pages, chunksize: int | None = None) -> list[Any]:
        """Return the rows of pages, in the order of their URLs, when all are answered.

        Raise the error of the first of them that has one. `chunksize` is a hint.
        """
        return _awaited(self.map_async(urls, chunksize))

    def map_async(
        self,
        urls: Pages,
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: ErrorCallback | None = None,
    ) -> AsyncResult[list[Any]]:
        """Ask for pages, and return the result to be of `map`."""
        self._check_running()
        check_chunksize(chunksize)
        return self._map(wishes_of(urls, self._follow), Callbacks(callback, error_callback))

    def starmap(self, items: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """Do as `map`, with options: an item is `(url,)` or `(url, {"priority": 5, "follow": True})`."""
        return _awaited(self.starmap_async(items, chunksize))

    def starmap_async(
        self,
        items: Iterable[Any],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: ErrorCallback | None = None,
    ) -> AsyncResult[list[Any]]:
        """Ask for pages, and return the result to be of `starmap`."""
        self._check_running()
        check_chunksize(chunksize)
        wishes = [wish_with_options(item, self._follow) for item in items]
        return self._map(wishes, Callbacks(callback, error_callback))

    def imap(self, urls: Pages, chunksize: int = 1) -> PageIterator:
        """Return an iterator over the rows of pages, in the order of their URLs.

        A thread consumes `urls`, `chunksize` at a time, only so far ahead of the iterator as a window of 10,000 pages
        allows.
        """
        return self._imap(urls, chunksize, is_ordered=True)

    def imap_unordered(self, urls: Pages, chunksize: int = 1) -> PageIterator:
        """Do as `imap`, in the order in which the pages are recorded."""
        return self._imap(urls, chunksize, is_ordered=False)

    def close(self) -> None:
        """Ask for no more. What was asked for is still answered."""
        self._asker.check_process()
        self._asker.close_pool(self._open)

    def terminate(self) -> None:
        """Ask for no more, and take back what is open: whoever waits for it gets `PageRefused`, as cancelled."""
        self._asker.check_process()
        self._asker.terminate(self._open)

    def join(self) -> None:
        """Wait until everything is answered; raise `ValueError` if the pool is still open."""
        self._asker.check_process()
        if not self._open.is_closed:
            raise ValueError("Pool is still running")
        for stream in list(self._streams):
            stream.unbind()
        self._asker.wait(self._open.joiners, lambda: self._open.is_answered, None)

    def submit(self, url: str, priority: int | None, follow: bool) -> PageFuture:
        """Ask for a page, and return its future."""
        self._check_running()
        return PageFuture(self._asker, self._open, wish_of(url, priority, follow))

    def map_within(self, urls: Pages, timeout_s: float | None) -> Iterator[Any]:
        """Return an iterator over the rows of pages that raises `TimeoutError` when the time is over."""
        clock = self._asker.threads.clock
        until = None if timeout_s is None else clock() + timeout_s
        return within(self._imap(urls, 1, is_ordered=True), until, clock)

    def _check_running(self) -> None:
        self._asker.check_process()
        if self._open.is_closed:
            raise not_running()

    def _map(self, wishes: list[Wish], callbacks: Callbacks) -> AsyncResult[list[Any]]:
        result = MapResult(self._asker, self._open, wishes, callbacks, return_exceptions=self._returns_exceptions)
        result.start()
        return result

    def _imap(self, urls: Pages, chunksize: int, *, is_ordered: bool) -> PageIterator:
        self._check_running()
        check_chunksize(chunksize)
        if isinstance(urls, str):
            raise TypeError(f"one URL instead of many: [{urls!r}]")
        follow = self._follow
        stream = Stream(self._asker, self._open, is_ordered=is_ordered)
        try:
            self._streams.add(stream)
            pages = PageIterator(self._asker, stream, return_exceptions=self._returns_exceptions)
            stream.start(urls, lambda url: wish_of(url, None, follow), chunksize)
        except BaseException:  # interrupted: nobody gets it
            stream.stop()
            raise
        return pages


def _let_go(asker: Asker, open_pool: Any) -> None:
    """Close a pool that nobody refers to any more: later, and in another thread."""
    asker.later(lambda: asker.close_pool(open_pool))


def _awaited(result: AsyncResult[T]) -> T:
    """Wait for a result. If that is interrupted, take back what is open."""
    try:
        return result.get()
    except BaseException:
        if not result.ready():
            result.withdraw()
        raise
