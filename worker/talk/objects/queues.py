"""Queue and JoinableQueue: items that the whole fleet puts and gets."""

from __future__ import annotations

from typing import Any

from crawlfleet.shared.wire.values import decode, encode
from crawlfleet.worker.talk.objects.base import SharedObject, limit_s


class Queue(SharedObject):
    """A queue of the whole fleet, as a manager's `Queue`. An item that was got is gone with whoever got it."""

    kind = "Queue"

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item; raise `queue.Full` if the queue has no room for it in time."""
        self._call("put", encode(item), timeout_s=_patience_s(block, timeout))

    def put_nowait(self, item: Any) -> None:
        """Put an item, or raise `queue.Full`."""
        self.put(item, block=False)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Remove the first item and return it; raise `queue.Empty` if there is none in time."""
        _taken, value = self._call("get", timeout_s=_patience_s(block, timeout))
        return decode(value)

    def get_nowait(self) -> Any:
        """Remove the first item and return it, or raise `queue.Empty`."""
        return self.get(block=False)

    def qsize(self) -> int:
        """Return how many items can be got."""
        size: int = self._read("qsize")
        return size

    def empty(self) -> bool:
        """Return whether there is no item."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Return whether there is no room."""
        is_full: bool = self._read("full")
        return is_full

    def task_done(self) -> None:
        """Say that an item which somebody got is done; raise `ValueError` if all are."""
        self._call("task_done")

    def join(self) -> None:
        """Wait until as many items are done as were put."""
        self._call("join", timeout_s=None)


class JoinableQueue(Queue):
    """A queue that knows who got its items: what a thread got comes back if it is lost before `task_done`."""

    kind = "JoinableQueue"

    def task_done(self) -> None:
        """Say that the oldest item is done that this thread got; raise `ValueError` if it has none (any more)."""
        self._call("task_done")


def _patience_s(block: bool, timeout: float | None) -> float | None:
    """Return how long `get` or `put` waits; raise the error of `queue.Queue`."""
    if not block:
        return 0.0
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return limit_s(timeout)
