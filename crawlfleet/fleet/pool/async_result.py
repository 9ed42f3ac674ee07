"""The results of `apply_async`, `map_async` and `starmap_async`, as those of `multiprocessing.pool`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

import structlog

from crawlfleet.fleet.pool.asker import Asker
from crawlfleet.fleet.pool.entries import Entry, OpenPool
from crawlfleet.fleet.pool.options import Wish
from crawlfleet.fleet.pool.results import Outcome, Rows, cancelled
from crawlfleet.fleet.pool.waiters import Waiters, interrupts

#: How many asks of one call are open at once.
WINDOW = 10_000

T = TypeVar("T")

_logger = structlog.get_logger(__name__)


class PoolTimeout(multiprocessing.TimeoutError, TimeoutError):
    """The time to wait is over; the page may still come."""


class Callbacks(NamedTuple):
    """What is called with a value, or with an error."""

    on_value: Callable[[Any], object] | None = None
    on_error: Callable[[BaseException], object] | None = None


NO_CALLBACKS = Callbacks()


class AsyncResult(Generic[T]):
    """What a call gives as soon as that is known. Any thread may wait for it."""

    def __init__(self, asker: Asker, callbacks: Callbacks = NO_CALLBACKS) -> None:
        """One of the callbacks is called with the value or the error, in a thread that must not wait for pages."""
        self._asker = asker
        self._callbacks = callbacks
        self._waiters = Waiters(asker.threads)
        self._is_ready = False
        self._value: T | None = None
        self._error: BaseException | None = None

    def get(self, timeout: float | None = None) -> T:
        """Wait for the value and return it, or raise the error; raise `PoolTimeout` after `timeout` seconds."""
        if not self._is_ready and not self._wait(timeout):
            raise PoolTimeout(f"no answer for {timeout:g} s" if timeout is not None else "no answer")
        try:
            if self._error is not None:
                raise self._error.with_traceback(None)
            return cast(T, self._value)
        finally:
            del self  # the error refers to this frame

    def wait(self, timeout: float | None = None) -> None:
        """Wait until there is a value or an error, or until `timeout` seconds are over."""
        self._wait(timeout)

    def ready(self) -> bool:
        """Return whether there is a value or an error."""
        return self._is_ready

    def successful(self) -> bool:
        """Return whether there is a value; raise `ValueError` if it is not ready."""
        if not self._is_ready:
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def withdraw(self) -> None:
        """Take back what is open, as nobody waits for it any more: it is answered as cancelled."""
        raise NotImplementedError

    def _wait(self, timeout: float | None) -> bool:
        return self._asker.wait(self._waiters, lambda: self._is_ready, timeout)

    def _finish(self, value: T | None, error: BaseException | None) -> None:
        """Call the callback, then let all who wait have it."""
        self._value, self._error = value, error
        try:
            if error is None and self._callbacks.on_value is not None:
                self._callbacks.on_value(value)
            elif error is not None and self._callbacks.on_error is not None:
                self._callbacks.on_error(error)
        except BaseException as failure:  # of the user's code: the thread goes on
            if interrupts(failure):
                raise
            _logger.warning("a callback of a pool failed", exc_info=failure)
        finally:
            self._callbacks = NO_CALLBACKS
            self._is_ready = True
            self._waiters.ring()


class PageResult(AsyncResult[Rows]):
    """The rows of one page."""

    def take(self, answers: Sequence[tuple[Entry, Outcome]]) -> None:
        """Get the answer."""
        ((_, outcome),) = answers
        if self._is_ready:
            self._waiters.ring()  # an interrupted thread may not have done it
        elif isinstance(outcome, BaseException):
            self._finish(None, outcome)
        else:
            self._finish(outcome, None)

    def withdraw(self) -> None:
        self._asker.take_back(self)


class MapResult(AsyncResult[list[Any]]):
    """The rows of many pages, in their order. A window of them is open at a time."""

    def __init__(
        self,
        asker: Asker,
        pool: OpenPool,
        wishes: Sequence[Wish],
        callbacks: Callbacks = NO_CALLBACKS,
        *,
        return_exceptions: bool = False,
        window: int = WINDOW,
    ) -> None:
        super().__init__(asker, callbacks)
        self._pool = pool
        self._wishes = wishes
        self._returns_exceptions = return_exceptions
        self._window = window
        self._lock = asker.threads.lock()
        self._asked = 0
        self._answered = 0
        self._outcomes: list[Outcome | None] = [None] * len(wishes)

    def start(self) -> None:
        """Ask for the first pages."""
        is_empty = not self._wishes  # otherwise another thread may complete it before this one is done here
        try:
            self._asker.begin(self._pool, self)
            with self._lock:
                self._feed()
        except BaseException:  # interrupted: nobody gets this result
            self._callbacks = NO_CALLBACKS
            self.withdraw()
            raise
        if is_empty:
            self._complete()

    def take(self, answers: Sequence[tuple[Entry, Outcome]]) -> None:
        """Get some answers, and ask for as many pages more."""
        with self._lock:
            for entry, outcome in answers:
                if not entry.is_told:
                    entry.is_told = True
                    self._outcomes[entry.place] = outcome
                    self._answered += 1
            self._feed()
            is_complete = self._answered == len(self._wishes)
        if self._is_ready:
            self._waiters.ring()  # an interrupted thread may not have done it
        elif is_complete:
            self._complete()

    def abort(self, error_of: Callable[[str], BaseException]) -> None:
        """Ask for no more: the rest is answered with an error."""
        with self._lock:
            rest = range(self._asked, len(self._wishes))
            for place in rest:
                self._outcomes[place] = error_of(self._wishes[place][0])
            self._asked += len(rest)
            self._answered += len(rest)
            is_complete = bool(rest) and self._answered == len(self._wishes)
        self._asker.end(self._pool, self)
        if is_complete:
            self._complete()

    def withdraw(self) -> None:
        self.abort(cancelled)
        self._asker.take_back(self)

    def _feed(self) -> None:
        """Ask for the next pages, as far as the window allows."""
        until = min(len(self._wishes), self._answered + self._window)
        if self._asked >= until:
            return
        entries = [Entry(self, place, *self._wishes[place]) for place in range(self._asked, until)]
        try:
            self._asker.ask(self._pool, entries)
        except ValueError:
            return  # terminated or closed meanwhile: it is aborted now
        self._asked = until
        if until == len(self._wishes):
            self._asker.end(self._pool, self)

    def _complete(self) -> None:
        self._asker.end(self._pool, self)
        outcomes = self._outcomes
        error = None
        if not self._returns_exceptions:
            error = next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)
        self._finish(outcomes if error is None else None, error)
        self._outcomes, self._wishes = [], ()
