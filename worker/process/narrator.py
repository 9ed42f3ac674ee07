"""What a node says on the screen: that it works for a crawl, every ten seconds how much, and how that ended."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 10.0


class Narrator:
    """Says lines about the workers of one node. It says nothing while nothing happens."""

    def __init__(self, say: Callable[[str], None], processes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._processes = "1 process" if processes == 1 else f"{processes} processes"
        self._job = ""
        self._reports = self._said = 0
        self._began_at = self._said_at = 0.0

    def joined(self, job: str) -> None:
        """A worker has joined the crawl of a job."""
        if job != self._job:
            self._job = job
            self._began_at = self._said_at = self._clock()
            self._say(f"{job}: joined with {self._processes}")

    def worked(self, reports: int) -> None:
        """The coordinator has taken more reports."""
        self._reports += reports

    def look(self) -> None:
        """Say how much was done, if it is time for that. Called again and again."""
        now = self._clock()
        if self._job and now >= self._said_at + EVERY_S and self._reports > self._said:
            rate = (self._reports - self._said) / (now - self._said_at)
            self._said, self._said_at = self._reports, now
            self._say(f"{self._job}: {self._reports:,} URLs done here · {rate:,.0f}/s")

    def ended(self, *, drained: bool) -> None:
        """All workers have ended."""
        if self._job:
            how = "stopped" if drained else "the crawl is finished"
            took_s = self._clock() - self._began_at
            self._say(f"{self._job}: {how} · {self._reports:,} URLs done here · {took_s:,.0f} s")
