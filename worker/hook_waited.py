"""What ends a hook whose call has waited too long for an object that the fleet shares; how long calls have waited."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident


class HookWaited(BaseException):
    """A call of a hook waited longer than the job's `limits.hook_wait`. The text goes on from `the hook`, as in
    `waited 60 s for the lock 'login'`.

    It is no `Exception`: a hook that catches those, for the sake of its own errors, would swallow it and go on without
    what it waited for, and its page would be recorded as if all were well. `finally` and `with` work as usual.
    """


# No call has waited.
NONE = (0.0, 0.0)


class HookWaits:
    """How long the calls of some threads have waited: what `limits.parse_time` leaves out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By thread: how long its calls took that have ended, and since when one is under way (0: none).
        self._threads: dict[int, tuple[float, float]] = {}

    def watch(self) -> None:
        """Count the waits of this thread from now on."""
        self._threads[get_ident()] = NONE

    def begin(self, thread: int) -> None:
        """Count the waits of a watched thread from now on, without those that it had."""
        if self._threads[thread] is not NONE:
            self._threads[thread] = NONE

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time in which this is entered, if this thread is watched."""
        thread = get_ident()
        if thread not in self._threads:
            yield
            return
        since = self._clock()
        waited_s, _ = self._threads[thread]
        self._threads[thread] = (waited_s, since)
        try:
            yield
        finally:
            self._threads[thread] = (waited_s + self._clock() - since, 0.0)

    def seconds(self, thread: int) -> float:
        """Return how long the calls of a watched thread have waited since its `begin`."""
        waited_s, since = self._threads[thread]
        return waited_s + (self._clock() - since if since else 0.0)


# Those of this process.
WAITS = HookWaits()
