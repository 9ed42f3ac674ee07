"""Semaphore and BoundedSemaphore: units that the whole fleet takes and gives back."""

from __future__ import annotations

from types import TracebackType

from crawlfleet.worker.talk.objects.base import SharedObject, Source, limit_s, release_after


class Semaphore(SharedObject):
    """A semaphore of the whole fleet, as a manager's `Semaphore`. The units of a session that is lost come back."""

    kind = "Semaphore"

    def __init__(self, source: Source, name: str, value: int | None = None) -> None:
        super().__init__(source, name, value)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a unit; return True, or False if none is free in time. Raise `ValueError` as `threading` does."""
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        taken: bool = self._call("acquire", timeout_s=limit_s(timeout) if blocking else 0.0)
        return taken

    def release(self) -> None:
        """Give back a unit that this program took, or else any other; if nobody has any, add one.

        Raise `ValueError` if the unit has come back already, because this session was gone for too long.
        """
        self._call("release")

    def get_value(self) -> int:
        """Return how many units are free."""
        value: int = self._read("get_value")
        return value

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        release_after(error, self.release)


class BoundedSemaphore(Semaphore):
    """A semaphore whose value never exceeds the initial one: `release` raises `ValueError` instead."""

    kind = "BoundedSemaphore"
