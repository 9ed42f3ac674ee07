"""What `imap` and `imap_unordered` return: iterators that a program may drop half way."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

from crawlfleet.fleet.pool.asker import Asker
from crawlfleet.fleet.pool.stream import Stream


class PageIterator(Iterator[Any]):
    """The pages of one call, each its rows. After one that raised an error, the next call goes on.

    Once it is closed or dropped, what it has asked for is taken back, unless it is answered.
    """

    def __init__(self, asker: Asker, stream: Stream, *, return_exceptions: bool = False) -> None:
        self._asker = asker
        self._stream = stream
        self._returns_exceptions = return_exceptions
        finalizer = weakref.finalize(self, asker.later, stream.stop)
        finalizer.atexit = False

    def next(self, timeout: float | None = None) -> Any:
        """Return the next page; raise `PoolTimeout` after `timeout` seconds, `StopIteration` at the end."""
        outcome = self._stream.take_next(timeout)
        if isinstance(outcome, BaseException) and not self._returns_exceptions:
            raise outcome.with_traceback(None)
        return outcome

    def __next__(self) -> Any:
        return self.next()

    def close(self) -> None:
        """Stop asking, and take back what is open. A forked process leaves that to its parent."""
        if self._asker.is_at_home:
            self._stream.stop()


def within(iterator: PageIterator, until: float | None, clock: Callable[[], float]) -> Iterator[Any]:
    """Yield the pages of an iterator until a time, as `Executor.map` does, and close it at the end."""
    try:
        while True:
            try:
                page = iterator.next(None if until is None else until - clock())
            except StopIteration:
                return
            yield page
    finally:
        iterator.close()
