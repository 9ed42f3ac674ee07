"""A thread of a worker in virtual time: it sleeps in the timeline, and only one runs at a time.

It is a greenlet, so that code which blocks can be driven as it is: `wait` gives the timeline its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from tests.simulation.timeline import Timeline


class SimThread:
    """Runs `work`, which may block in `wait`. All else is called from the timeline."""

    def __init__(self, timeline: Timeline, work: Callable[[], None]) -> None:
        self._timeline = timeline
        self._greenlet = greenlet(lambda _: work(), _root())
        self._sleeps = 0
        self._resumes_at = 0.0
        timeline.after(0.0, lambda: self._resume(0, None))

    @property
    def is_over(self) -> bool:
        """Whether the work is done, or was ended."""
        return bool(self._greenlet.dead)

    @property
    def is_current(self) -> bool:
        """Whether it is this thread that runs."""
        return getcurrent() is self._greenlet

    def wait(self, begin: Callable[[Callable[[Any], None]], None]) -> Any:
        """Block until what `begin` gets is called, from the timeline, and return what that is called with."""
        assert getcurrent() is self._greenlet, "only the thread itself can wait"
        self._sleeps += 1
        sleep = self._sleeps
        begin(lambda value: self._resume(sleep, value))
        return self._greenlet.parent.switch()

    def stop_until(self, time: float) -> None:
        """Do not go on before that time, as after SIGSTOP; what it waits for then comes later."""
        self._resumes_at = time

    def interrupt(self) -> None:
        """Raise `KeyboardInterrupt` where it waits."""
        self._sleeps += 1
        self._greenlet.throw(KeyboardInterrupt)

    def end(self) -> None:
        """Be gone, wherever it waits. What is not ended stays in memory: no collector looks into a greenlet."""
        self._greenlet.throw()

    def _resume(self, sleep: int, value: Any) -> None:
        if self.is_over or sleep != self._sleeps:
            return
        pause_s = self._resumes_at - self._timeline.now
        if pause_s > 0:
            self._timeline.after(pause_s, lambda: self._resume(sleep, value))
        else:
            self._greenlet.switch(value)


def _root() -> greenlet:
    """Return the greenlet of the timeline, also if one of its threads asks."""
    root = getcurrent()
    while root.parent is not None:
        root = root.parent
    return root


class SimBell:
    """What the control thread sleeps in: a `threading.Event` in virtual time. Who sleeps wakes late, by `lag_s`."""

    def __init__(self, timeline: Timeline, lag_s: Callable[[], float]) -> None:
        self._timeline = timeline
        self._lag_s = lag_s
        self._is_set = False
        self._wake: Callable[[Any], None] | None = None
        self.thread: SimThread

    def wait(self, timeout: float | None = None) -> None:
        """Sleep until it is set or the time is over."""
        assert timeout is not None
        if not self._is_set:
            self.thread.wait(lambda wake: self._sleep(timeout, wake))
        self._wake = None

    def set(self) -> None:
        """Wake who sleeps."""
        self._is_set = True
        self._wake_after(0.0)

    def clear(self) -> None:
        """Let the next one sleep."""
        self._is_set = False

    def _sleep(self, seconds: float, wake: Callable[[Any], None]) -> None:
        self._wake = wake
        self._wake_after(seconds)

    def _wake_after(self, seconds: float) -> None:
        if self._wake is not None:
            wake = self._wake
            self._timeline.after(seconds + self._lag_s(), lambda: wake(None))
