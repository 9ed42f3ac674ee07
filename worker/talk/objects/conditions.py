"""Condition: threads of the whole fleet wait until another notifies them."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.worker.talk.finished import JobFinished
from crawlfleet.worker.talk.objects.base import SharedObject, Source, limit_s, release_after
from crawlfleet.worker.talk.objects.locks import ConditionLock, Lock

T = TypeVar("T")


class Condition(SharedObject):
    """A condition of the whole fleet, as a manager's `Condition`, with a lock of its own or the one it is opened with.

    If a thread that was notified is lost before its `wait` has returned, another that waited then is notified instead.
    """

    kind = "Condition"

    def __init__(self, source: Source, name: str, lock: Lock | None = None) -> None:
        if not isinstance(lock, Lock | None):
            raise TypeError("the lock of a condition is a Lock or an RLock of the fleet")
        self._lock = ConditionLock(source, name) if lock is None else lock
        super().__init__(source, name, self._lock.kind, self._lock.name)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> int:
        """Hold the lock: see `Lock.acquire`."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Free the lock: see `Lock.release` and `RLock.release`."""
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Free the lock, wait to be notified, and hold the lock again, as often as before.

        Return False if the time was over first: then too the lock is held again, which may take longer. It is also
        held when an interruption (Ctrl-C) leaves this. Raise `RuntimeError` if the lock is not held.
        """
        timeout_s = limit_s(timeout)
        try:
            notified: bool = self._call("wait", timeout_s=timeout_s)
        except (CrawlfleetError, JobFinished, ValueError):
            raise  # there is nobody who could give the lock back
        except BaseException:  # also an error of a signal handler, of whatever kind
            self._call("resume", timeout_s=None)
            raise
        return notified

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until the predicate is true, or the time over; return its last value. The lock must be held."""
        give_up_at = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left_s = None if give_up_at is None else give_up_at - time.monotonic()
            if left_s is not None and left_s <= 0:
                break
            self.wait(left_s)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Let up to `n` threads go on, those that have waited longest. Raise `RuntimeError` if the lock is not held."""
        self._call("notify", n)

    def notify_all(self) -> None:
        """Let all threads go on that wait. Raise `RuntimeError` if the lock is not held."""
        self._call("notify_all")

    def __enter__(self) -> int:
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        release_after(error, self.release)
