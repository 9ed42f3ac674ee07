"""What a coordinator says while it serves: a line when somebody comes or goes, and one every ten seconds of work."""

from __future__ import annotations

import time
from collections.abc import Callable

from crawlfleet.screen.progress import Rate, words
from crawlfleet.shared.status import Status

EVERY_S = 10.0


class Narration:
    """Says lines; give it the status and the news of every second. It says nothing while nothing happens."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._rate = Rate()
        self._next_at = clock() + EVERY_S
        self._said: tuple[object, ...] = ()

    def __call__(self, status: Status, news: tuple[str, ...]) -> None:
        for line in news:
            self._say(line)
        rate = self._rate.of(status)
        if self._clock() < self._next_at:
            return
        self._next_at = self._clock() + EVERY_S
        pages = (status.fetched, status.unfinished, status.failed, status.dropped)
        state = (*pages, status.external_checked, status.external_waiting, status.workers)
        if state != self._said:
            self._said = state
            self._say(words(status, rate) if status.workers else f"{words(status, rate)}: waiting for workers")
