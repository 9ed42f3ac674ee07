"""How a thread bears the absence of the coordinator: pauses that grow, and an end of its patience."""

from __future__ import annotations

from crawlfleet.worker.talk.objects.client import FIRST_PAUSE_S, LAST_PAUSE_S
from crawlfleet.worker.talk.objects.threads import Threads


class Patience:
    """The patience of one thread."""

    def __init__(self, patience_s: float, threads: Threads) -> None:
        self._patience_s = patience_s
        self._threads = threads
        self._lost_at: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def found(self) -> None:
        """Note that the coordinator answers."""
        self._lost_at, self._pause_s = None, FIRST_PAUSE_S

    def given_up(self) -> float | None:
        """Note that it does not answer. Who waits since the returned time or before has waited for too long."""
        now = self._threads.clock()
        if self._lost_at is None:
            self._lost_at = now
        return now - self._patience_s if now > self._lost_at + self._patience_s else None

    def pause(self) -> None:
        """Let the calling thread sleep, longer each time."""
        self._threads.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)
