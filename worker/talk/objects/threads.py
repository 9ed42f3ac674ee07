"""What a client of objects needs of threads: locks, inboxes, time, a thread of its own. A simulator has others."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol


class Inbox(Protocol):
    """Where a thread waits for an answer: as `queue.SimpleQueue`."""

    def put(self, item: Any) -> None: ...
    def get(self, *, timeout: float | None = None) -> Any: ...
    def empty(self) -> bool: ...


#: The main thread waits for so long at a time.
LOOK_UP_EVERY_S = 0.5


class _Inbox:
    """A `queue.SimpleQueue` whose wait Ctrl-C ends in any case.

    A signal that comes just before the main thread falls asleep does not wake it: the interpreter has noted the signal,
    and runs its handler when that thread wakes.
    """

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.put = self._items.put
        self.empty = self._items.empty

    def get(self, *, timeout: float | None = None) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return self._items.get(timeout=timeout)
        until = math.inf if timeout is None else time.monotonic() + timeout
        while (left_s := until - time.monotonic()) > LOOK_UP_EVERY_S:
            with suppress(queue.Empty):
                return self._items.get(timeout=LOOK_UP_EVERY_S)
        return self._items.get(timeout=max(0.0, left_s))


class Threads:
    """Those of the interpreter."""

    def clock(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let the calling thread sleep."""
        time.sleep(seconds)

    def lock(self) -> AbstractContextManager[Any]:
        """Return a lock; a signal handler that closes the client may interrupt the thread that holds it."""
        return threading.RLock()

    def inbox(self) -> Inbox:
        """Return an empty inbox."""
        return _Inbox()

    def local(self) -> Any:
        """Return an object whose attributes are those of the calling thread."""
        return threading.local()

    def start(self, work: Callable[[], None]) -> None:
        """Run work in a thread that does not keep the process alive."""
        threading.Thread(target=work, name="crawlfleet-objects", daemon=True).start()
