"""Lock: one owner at a time in the whole fleet."""

from __future__ import annotations

from types import TracebackType

from crawlfleet.worker.talk.objects.base import SharedObject, wait_s


class Lock(SharedObject):
    """A lock of the whole fleet, as a manager's `Lock`. Its owner is a thread; it passes on if that is lost."""

    kind = "Lock"

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> int:
        """Hold the lock; return its fencing number, which is true and only grows, or False (0) if it is not in time."""
        fence: int = self._call("acquire", timeout_s=wait_s(blocking, timeout))
        return fence

    def release(self) -> None:
        """Free the lock; raise `ValueError` if this thread does not hold it (any more)."""
        self._call("release")

    def __enter__(self) -> int:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
