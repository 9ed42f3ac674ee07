"""The queue of fetched pages between fetching and the parse threads: hosts take turns (`worker.turns`).

A host whose pages take long to parse, or come in large numbers, waits behind its own pages, and no other host does;
costly hosts pause (`worker.pauses`). The queue itself has no bound: the agenda starts nothing more of a host that has
too much here (see `worker.shares`).
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.pauses import Pauses
from crawlfleet.worker.turns import Turns


class FetchedPage(NamedTuple):
    """A fetched page on its way to a parse thread."""

    attempt: Attempt
    fetched: Fetched


# Says whether the caller may take a page of a host now; the flag says whether pages of other hosts wait, too.
MayTake = Callable[[str, bool], bool]
# How long a refused page waits for the next question. Time changes the answer, and nobody tells the queue.
ASKED_EVERY_S = 0.25


def take_any(_host: str, _others_wait: bool) -> bool:
    """Take a page of any host."""
    return True


class PageQueue:
    """Fetched pages by host. `None` is an end mark: it ends one parse thread once no page waits."""

    def __init__(
        self,
        on_take: Callable[[FetchedPage], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Call `on_take`, without the lock, for each page that a thread takes, in that thread."""
        self._on_take = on_take
        self._clock = clock
        # Entered without the condition, whose own methods are no C.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._turns = Turns()
        self.typical_s = self._turns.typical_s
        self._pauses = Pauses(self.typical_s, clock)
        # The hosts with pages. Of those whose turn it is, the first is next.
        self._hosts: dict[str, deque[FetchedPage]] = {}
        self._end_marks = 0

    def put(self, *pages: FetchedPage | None) -> None:
        """Add pages, each behind those of its host, or end marks behind all."""
        with self._lock:
            for page in pages:
                if page is None:
                    self._end_marks += 1
                    continue
                host = page.attempt.host
                waiting = self._hosts.get(host)
                if waiting is None:
                    waiting = self._hosts[host] = deque()
                    self._turns.come(host, page.attempt.page_cost_s)
                waiting.append(page)
            # Each of those who wait takes pages of other hosts.
            self._changed.notify_all()

    def get(self, timeout: float | None = None, may_take: MayTake = take_any) -> FetchedPage | None:
        """Wait for a page of the first host in turn of which one may be taken, or for an end mark.

        Raise `queue.Empty` if there is neither within `timeout` seconds.
        """
        give_up_at = None if timeout is None else self._clock() + timeout
        with self._lock:
            while (host := self._next_host(may_take, heeds_pauses=not self._end_marks)) is None and (
                self._hosts or not self._end_marks
            ):
                left_s = None if give_up_at is None else give_up_at - self._clock()
                if left_s is not None and left_s <= 0:
                    raise queue.Empty
                asked_s = self._asked_s() if self._hosts else None
                self._changed.wait(min((each for each in (left_s, asked_s) if each is not None), default=None))
            if host is None:
                self._end_marks -= 1
                return None
            page = self._take_turn(host)
        self._on_take(page)
        return page

    def note_cost(self, attempt: Attempt, cost_s: float, took_s: float) -> None:
        """Note what a page cost that was taken from here (see `shared.page_cost`), and how long it took to read."""
        with self._lock:
            self._turns.note(attempt.host, cost_s)
            self._pauses.note(attempt.host, cost_s, took_s, attempt.is_spaced)

    def has_any(self, may_take: MayTake) -> bool:
        """Say whether a page waits that may be taken."""
        with self._lock:
            return self._next_host(may_take, heeds_pauses=False) is not None

    def qsize(self) -> int:
        """Return how many pages wait."""
        with self._lock:
            return sum(map(len, self._hosts.values()))

    def empty(self) -> bool:
        """Say whether no page waits."""
        return not self._hosts

    def waiting(self, host: str) -> tuple[int, int]:
        """Return how many pages of a host wait, and the bytes of their bodies."""
        with self._lock:
            pages = self._hosts.get(host, ())
            return len(pages), sum(len(page.fetched.body) for page in pages)

    def _unless_paused(self, may_take: MayTake) -> MayTake:
        """Return `may_take`, but for hosts that pause."""
        return lambda host, others_wait: not self._pauses.left_s(host) and may_take(host, others_wait)

    def _asked_s(self) -> float:
        """Return how long to wait until the first of the hosts with pages has paused, or the next question."""
        pauses = filter(None, map(self._pauses.left_s, self._hosts))
        return min((ASKED_EVERY_S, *pauses))

    def _next_host(self, may_take: MayTake, heeds_pauses: bool) -> str | None:
        others_wait = len(self._hosts) > 1
        if heeds_pauses and self._pauses.are_on:
            may_take = self._unless_paused(may_take)
        if not others_wait:
            return next((host for host in self._hosts if may_take(host, False)), None)
        first = min(self._hosts, key=self._turns.clock)
        if may_take(first, others_wait):
            return first
        hosts = sorted(self._hosts, key=self._turns.clock)
        return next((host for host in hosts if host != first and may_take(host, others_wait)), None)

    def _take_turn(self, host: str) -> FetchedPage:
        self._turns.take(host)
        pages = self._hosts.pop(host)
        page = pages.popleft()
        if pages:
            self._hosts[host] = pages
        return page
