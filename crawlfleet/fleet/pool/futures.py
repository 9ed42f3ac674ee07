"""Pages as `concurrent.futures`: what `fleet.submit` returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress

from crawlfleet.fleet.pool.asker import Asker
from crawlfleet.fleet.pool.entries import Entry, OpenPool
from crawlfleet.fleet.pool.options import Wish
from crawlfleet.fleet.pool.results import Outcome, Rows
from crawlfleet.worker.talk.objects.threads import LOOK_UP_EVERY_S


class PageFuture(Future[Rows]):
    """A page that was asked for. Its callbacks are called in a thread that must not wait for pages."""

    def __init__(self, asker: Asker, pool: OpenPool, wish: Wish) -> None:
        super().__init__()
        self._asker = asker
        self._entry = Entry(self, 0, *wish)
        asker.ask(pool, [self._entry])

    def take(self, answers: Sequence[tuple[Entry, Outcome]]) -> None:
        """Get the answer."""
        ((_, outcome),) = answers
        if isinstance(outcome, CancelledError):
            super().cancel()
            with suppress(RuntimeError):  # they know already
                self.set_running_or_notify_cancel()  # for those who wait with `as_completed` or `wait`
        elif self.done():
            return  # an interrupted thread has told it
        elif isinstance(outcome, BaseException):
            self.set_exception(outcome)
        else:
            self.set_result(outcome)

    def cancel(self) -> bool:
        """Take the ask back; return whether that was possible: not if its page has started.

        It is not possible, either, while the coordinator is away.
        """
        if not self.done():
            self._asker.cancel(self._entry)
        return self.cancelled()

    def result(self, timeout: float | None = None) -> Rows:
        """Return the rows; raise `TimeoutError` after `timeout` seconds, `CancelledError`, or why there are none."""
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return why there are no rows, None if there are; raise `TimeoutError` after `timeout` seconds."""
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        """Wait until it is done; the main thread looks up now and then, so that Ctrl-C ends its wait in any case."""
        if self.done():
            return
        self._asker.check_may_wait()
        give_up_at = None if timeout is None else time.monotonic() + timeout
        is_main = threading.current_thread() is threading.main_thread()
        while not self.done():
            left_s = None if give_up_at is None else give_up_at - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            if is_main:
                left_s = LOOK_UP_EVERY_S if left_s is None else min(left_s, LOOK_UP_EVERY_S)
            with self._condition:
                if not self.done():
                    self._condition.wait(left_s)
