"""The fetching half of a worker: it takes tasks from the agenda, fetches them, and passes pages to the parse threads.

There is one way for each kind of engine: many threads with one exchange each (`FetchThreads`), or one thread with many
exchanges (`FetchLoop`). Both take no new task while too many pages wait for the parse threads. An attempt for which no
file descriptor was left goes back to the coordinator, as if it had not been granted, and no other begins for a moment.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.agenda import Agenda
from crawlfleet.worker.fetch.port import Fetched, Fetcher, ManyFetcher, unresolved
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.pipeline import enough_bytes

EXHAUSTED_PAUSE_S = 0.25


class FetchedPage(NamedTuple):
    """A fetched page on its way to a parse thread."""

    attempt: Attempt
    fetched: Fetched


# The queue to the parse threads; None ends one of them.
PageQueue: TypeAlias = "queue.Queue[FetchedPage | None] | queue.SimpleQueue[FetchedPage | None]"
OnBug = Callable[[Attempt, Exception], None]
# Receives the error that ended a thread early. Nothing else would notice, and leases would be renewed for ever.
OnDeath = Callable[[Exception], None]


class Fetching:
    """Threads that fetch, and the queue that they put pages into."""

    pages: PageQueue

    def __init__(self, agenda: Agenda, threads: int, run: Callable[[], None], on_bug: OnBug, on_death: OnDeath) -> None:
        self._agenda = agenda
        self._on_bug = on_bug
        self._threads = start_later("fetch", threads, lambda _: run(), on_death)

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def join(self, give_up_at: float) -> bool:
        """Wait for every thread to end, once the agenda is closed; False if one still runs at `give_up_at`."""
        return join_all(self._threads, give_up_at)

    def page_taken(self) -> None:
        """Record that a parse thread has taken a page; that thread calls this."""


class FetchThreads(Fetching):
    """Threads that wait in sockets. One that finds the queue full blocks in `put`."""

    def __init__(
        self,
        agenda: Agenda,
        open_fetcher: Callable[[], Fetcher],
        threads: int,
        pages_between: int,
        on_bug: OnBug,
        on_death: OnDeath,
    ) -> None:
        super().__init__(agenda, threads, self._run, on_bug, on_death)
        self.pages = queue.Queue(pages_between)
        self._open_fetcher = open_fetcher

    def _run(self) -> None:
        fetcher = self._open_fetcher()
        try:
            while (attempt := self._agenda.take()) is not None:
                self._fetch(fetcher, attempt)
        finally:
            fetcher.close()

    def _fetch(self, fetcher: Fetcher, attempt: Attempt) -> None:
        try:
            fetched = without_address(attempt) or fetcher.fetch(attempt.task.url, enough_bytes(attempt.task))
        except Exception as error:  # noqa: BLE001  top of a thread: a bug costs one attempt
            self._agenda.done(attempt)
            self._on_bug(attempt, error)
            return
        if fetched.reason == Reason.DESCRIPTORS:
            self._agenda.give_back(attempt)
            time.sleep(EXHAUSTED_PAUSE_S)
            return
        self._agenda.done(attempt)
        self.pages.put(FetchedPage(attempt, fetched))


class FetchLoop(Fetching):
    """One thread that keeps up to `most` exchanges under way, as long as fewer than `pages_between` pages wait.

    It sleeps in the engine; new tasks, and parse threads that have caught up, wake it there. For want of descriptors it
    goes down to as many exchanges as it still has, and up again step by step.
    """

    def __init__(
        self, agenda: Agenda, fetcher: ManyFetcher, most: int, pages_between: int, on_bug: OnBug, on_death: OnDeath
    ) -> None:
        super().__init__(agenda, 1, self._run, on_bug, on_death)
        self.pages = queue.SimpleQueue()
        self._fetcher = fetcher
        self._wanted = self._most = most
        self._pages_between = pages_between
        self._running = 0
        self._held_back = False
        self._paused_until = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._agenda.listen(self._fetcher.wake)
        super().start()

    def page_taken(self) -> None:
        """Wake the thread if it waits for room, and there is room for several pages now."""
        if self._held_back and self.pages.qsize() <= self._pages_between // 2:
            self._fetcher.wake()

    def _run(self) -> None:
        try:
            while True:
                pause_s = self._paused_until - time.monotonic()
                attempts, next_in_s = self._agenda.start_ready(self._room() if pause_s <= 0 else 0)
                nowhere = [(attempt, failed) for attempt in attempts if (failed := without_address(attempt))]
                for attempt in attempts:
                    if attempt.name is None or not attempt.name.reason:
                        self._begin(attempt)
                if self._agenda.closed and not (self._running or nowhere):
                    return
                self._hand_on(nowhere)
                timeout_s = 0.0 if nowhere else next_in_s
                ended = self._fetcher.wait(timeout_s if pause_s <= 0 else pause_s)
                self._running -= len(ended)
                self._hand_on(ended)
        finally:
            self._fetcher.close()

    def _room(self) -> int:
        # Set before the check, so that a thread that takes a page afterwards sees it.
        self._held_back = True
        if self.pages.qsize() >= self._pages_between:
            return 0
        self._held_back = False
        return self._most - self._running

    def _begin(self, attempt: Attempt) -> None:
        try:
            self._fetcher.start(attempt.task.url, enough_bytes(attempt.task), attempt)
        except Exception as error:  # noqa: BLE001  top of a thread: a bug costs one attempt
            self._agenda.done(attempt)
            self._on_bug(attempt, error)
            return
        self._running += 1

    def _hand_on(self, ended: list[tuple[Attempt, Fetched]]) -> None:
        if not ended:
            return
        made = [(attempt, fetched) for attempt, fetched in ended if fetched.reason != Reason.DESCRIPTORS]
        self._most = min(self._wanted, self._most + 1)
        if len(made) < len(ended):
            self._most = max(1, min(self._most, self._running))
            self._paused_until = time.monotonic() + EXHAUSTED_PAUSE_S
            for attempt, fetched in ended:
                if fetched.reason == Reason.DESCRIPTORS:
                    self._agenda.give_back(attempt)
        self._agenda.done(*(attempt for attempt, _ in made))
        for attempt, fetched in made:
            self.pages.put(FetchedPage(attempt, fetched))


def without_address(attempt: Attempt) -> Fetched | None:
    """Return how an attempt ends whose host's name has no address; None if it can be made."""
    if attempt.name is None or not attempt.name.reason:
        return None
    return unresolved(attempt.task.url, attempt.name)


def start_later(role: str, number: int, work: Callable[[int], None], on_death: OnDeath) -> tuple[threading.Thread, ...]:
    """Create daemon threads: a process that must end at once does not wait for a slow server."""

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001  top of a thread: it is raised again on the control thread
            on_death(error if isinstance(error, Exception) else RuntimeError(f"a thread ended by {error!r}"))

    return tuple(
        threading.Thread(target=guarded, args=(index,), name=f"{role}-{index}", daemon=True) for index in range(number)
    )


def join_all(threads: tuple[threading.Thread, ...], give_up_at: float) -> bool:
    """Wait for threads to end; False if one still runs at `give_up_at`."""
    for thread in threads:
        thread.join(max(0.0, give_up_at - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
