"""Lock and RLock: one owner at a time in the whole fleet."""

from __future__ import annotations

from types import TracebackType

from crawlfleet.worker.talk.objects.base import SharedObject, limit_s, release_after


class Lock(SharedObject):
    """A lock of the whole fleet, as a manager's `Lock`. Its owner is a thread; it passes on if that is lost."""

    kind = "Lock"

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> int:
        """Hold the lock; return its fencing number, which is true and only grows, or False (0) if it is not in time.

        As in `threading`, a timeout of -1 is none, any other negative one raises `ValueError`, and so does a timeout
        of a call that is not blocking.
        """
        fence: int = self._call("acquire", timeout_s=_acquire_s(blocking, timeout))
        return fence

    def release(self) -> None:
        """Free the lock; raise `ValueError` if this thread does not hold it (any more)."""
        self._call("release")

    def __enter__(self) -> int:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        release_after(error, self.release)


class RLock(Lock):
    """A lock that the thread that holds it may acquire again: it has to release it as often.

    While it is held, `acquire` returns the same fencing number. `release` raises `AssertionError`, as in
    `multiprocessing`, if this thread does not hold the lock (any more).
    """

    kind = "RLock"


class ConditionLock(RLock):
    """The lock of a condition that shares no other."""

    kind = "ConditionLock"


def _acquire_s(blocking: bool, timeout: float | None) -> float | None:
    """Return how long `acquire` waits; raise the errors of `threading.Lock`."""
    if timeout is None or timeout == -1:
        return None if blocking else 0.0
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    return limit_s(timeout)
