"""The queue of fetched pages between fetching and the parse threads: hosts take turns (`worker.turns`).

A host whose pages take long to parse, or come in large numbers, waits behind its own pages, and no other host does. The
queue itself has no bound: the agenda starts nothing more of a host that has too much here (see `worker.flight`).
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

    def __init__(self, on_take: Callable[[FetchedPage], None] = lambda _: None) -> None:
        """Call `on_take`, without the lock, for each page that a thread takes, in that thread."""
        self._on_take = on_take
        self._changed = threading.Condition()
        self._turns = Turns()
        self.typical_s = self._turns.typical_s
        # The hosts with pages. Of those whose turn it is, the first is next.
        self._hosts: dict[str, deque[FetchedPage]] = {}
        self._end_marks = 0

    def put(self, page: FetchedPage | None) -> None:
        """Add a page behind those of its host, or an end mark behind all."""
        with self._changed:
            if page is None:
                self._end_marks += 1
            else:
                if page.attempt.host not in self._hosts:
                    self._hosts[page.attempt.host] = deque()
                    self._turns.come(page.attempt.host)
                self._hosts[page.attempt.host].append(page)
            # Each of those who wait takes pages of other hosts.
            self._changed.notify_all()

    def get(self, timeout: float | None = None, may_take: MayTake = take_any) -> FetchedPage | None:
        """Wait for a page of the first host in turn of which one may be taken, or for an end mark.

        Raise `queue.Empty` if there is neither within `timeout` seconds.
        """
        give_up_at = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while (host := self._next_host(may_take)) is None and (self._hosts or not self._end_marks):
                left_s = None if give_up_at is None else give_up_at - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise queue.Empty
                asked_s = ASKED_EVERY_S if self._hosts else None
                self._changed.wait(min((each for each in (left_s, asked_s) if each is not None), default=None))
            if host is None:
                self._end_marks -= 1
                return None
            page = self._take_turn(host)
        self._on_take(page)
        return page

    def note_cost(self, host: str, cpu_s: float) -> None:
        """Note how much CPU time a page took that was taken from here."""
        with self._changed:
            self._turns.note(host, cpu_s)

    def has_any(self, may_take: MayTake) -> bool:
        """Say whether a page waits that may be taken."""
        with self._changed:
            return self._next_host(may_take) is not None

    def qsize(self) -> int:
        """Return how many pages wait."""
        with self._changed:
            return sum(map(len, self._hosts.values()))

    def empty(self) -> bool:
        """Say whether no page waits."""
        return not self._hosts

    def waiting(self, host: str) -> tuple[int, int]:
        """Return how many pages of a host wait, and the bytes of their bodies."""
        with self._changed:
            pages = self._hosts.get(host, ())
            return len(pages), sum(len(page.fetched.body) for page in pages)

    def _next_host(self, may_take: MayTake) -> str | None:
        if not self._hosts:
            return None
        others_wait = len(self._hosts) > 1
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
