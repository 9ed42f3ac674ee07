"""What a client of objects needs of threads: locks, inboxes, time, a thread of its own. A simulator has others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Inbox(Protocol):
    """Where a thread waits for an answer: as `queue.SimpleQueue`."""

    def put(self, item: Any) -> None: ...
    def get(self, *, timeout: float | None = None) -> Any: ...
    def empty(self) -> bool: ...


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
        return queue.SimpleQueue()

    def local(self) -> Any:
        """Return an object whose attributes are those of the calling thread."""
        return threading.local()

    def start(self, work: Callable[[], None]) -> None:
        """Run work in a thread that does not keep the process alive."""
        threading.Thread(target=work, name="crawlfleet-objects", daemon=True).start()
