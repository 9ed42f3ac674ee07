"""When pages of costly hosts wait although a parse thread is free, so that other hosts' pages find one that is.

Turns (`worker.turns`) do not suffice: a host has only so many fetches at once. When all its pages have been read, a
costly page of another host is begun, those that come meanwhile wait, and nothing more of theirs is fetched until it
ends. So the pages of costly hosts pause after one that took long, in proportion to what it took: while there are up to
eight of them for each other host they have a third of the time; if there are more, more.

Costly is a host only compared to another one that had pages lately; hosts whose pages cost about the same never pause.
There is no pause either if all others are spaced, or have too few pages to make use of it: their next fetch does not
wait for a thread. Not thread-safe: the queue of pages has a lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

# Hosts with one of the last pages, not older than this, are here.
LATELY_S = 5.0
LAST_PAGES = 256
# A page that costs less is never followed by a pause; a host is costly if its pages cost so many times what others' do.
LONG_S = 0.02
TIMES = 4
# On a busy machine a page takes longer than it costs. What takes still longer waits for something, and disturbs nobody.
BUSY_TIMES = 3
# A pause is so many times as long as what came before it, while there are no more than so many costly hosts for each
# other one. It takes no longer than this, whatever a page costs: there are limits for pages that take seconds.
TIMES_LONGER = 2
COSTLY_HOSTS = 8
MOST_S = 1.0
# Pauses are worth it if others have so many pages a second.
WORTH = 2


class _Page(NamedTuple):
    at: float
    host: str
    is_spaced: bool


class Pauses:
    """What the last pages cost, and until when costly hosts wait.

    `typical_s` tells what a page of a host typically costs.
    """

    def __init__(self, typical_s: Callable[[str], float], clock: Callable[[], float]) -> None:
        self._typical_s = typical_s
        self._clock = clock
        self._last: deque[_Page] = deque(maxlen=LAST_PAGES)
        self._until = 0.0
        self._costly_from_s = 0.0

    def note(self, host: str, cost_s: float, took_s: float, is_spaced: bool) -> None:
        """Note what a page cost that has been read, how long that took by the clock, and whether its host is spaced."""
        now = self._clock()
        self._last.append(_Page(now, host, is_spaced))
        if cost_s > LONG_S:
            took_s = max(cost_s, min(took_s, BUSY_TIMES * cost_s))
            self._pause(max(LONG_S, cost_s / TIMES), took_s, now)

    @property
    def are_on(self) -> bool:
        """Whether pages of any host wait now."""
        return self._until > 0 and self._until > self._clock()

    def left_s(self, host: str) -> float:
        """Return how long pages of a host wait from now on; 0 if they don't."""
        left_s = self._until - self._clock()
        return left_s if left_s > 0 and self._typical_s(host) >= self._costly_from_s else 0.0

    def _pause(self, costly_from_s: float, took_s: float, now: float) -> None:
        while self._last[0].at < now - LATELY_S:
            self._last.popleft()
        costly = {page.host for page in self._last if self._typical_s(page.host) >= costly_from_s}
        others = [page for page in self._last if not page.is_spaced and page.host not in costly]
        if not others or len(others) < WORTH * (now - self._last[0].at):
            return
        share = COSTLY_HOSTS * len({page.host for page in others}) / max(1, len(costly))
        self._costly_from_s = costly_from_s
        self._until = max(self._until, now) + min(MOST_S, TIMES_LONGER * took_s * min(1.0, share))
