"""The fetching half of a worker: it takes tasks from the agenda, fetches them, and passes pages to the parse threads.

There is one way for each kind of engine: many threads with one exchange each (`FetchThreads`), or one thread with many
exchanges (`FetchLoop`). For each thread that is held up by its exchange there is one more, up to a limit. The agenda
starts nothing more of a host of which too many pages wait for the parse threads. An attempt for which no file
descriptor was left goes back to the coordinator, as if it had not been granted, and no other begins for a moment. So
does one whose body was broken off since the bodies here are too large together (`worker.bodies`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from crawlfleet.shared.messages import Task, TaskKey
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.agenda import Agenda
from crawlfleet.worker.fetch.port import Fetched, Fetcher, ManyFetcher, Wanted, unresolved
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.page_queue import FetchedPage, PageQueue
from crawlfleet.worker.pipeline import wanted_of

EXHAUSTED_PAUSE_S = 0.25
# A fetch thread that has been at one exchange for longer is held up.
HELD_UP_S = 0.5
# What the stack of a thread takes that is started because others are held up: it counts as the process's memory.
STACK_BYTES = 512 * 1024

OnBug = Callable[[Attempt, Exception], None]
# Receives the error that ended a thread early. Nothing else would notice, and leases would be renewed for ever.
OnDeath = Callable[[Exception], None]


class Fetching:
    """Threads that fetch, and the queue that they put pages into.

    `wanted_of`, which may be set before `start`, says how much of a task's body is wanted.
    """

    def __init__(self, agenda: Agenda, threads: int, run: Callable[[], None], on_bug: OnBug, on_death: OnDeath) -> None:
        self._agenda = agenda
        self._bodies = agenda.bodies
        self._on_bug = on_bug
        self._on_death = on_death
        self.wanted_of: Callable[[Task], Wanted] = wanted_of
        self.pages = PageQueue(lambda page: agenda.page_taken(page.attempt, len(page.fetched.body)))
        self._threads = start_later("fetch", range(threads), lambda _: run(), on_death)

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def look(self) -> None:
        """Start more threads if some are held up, and there may be more. Only one thread may call this."""

    def join(self, give_up_at: float) -> bool:
        """Wait for every thread to end, once the agenda is closed; False if one still runs at `give_up_at`."""
        return join_all(self._threads, give_up_at)

    def _begin(self, attempt: Attempt) -> Wanted:
        """Begin to count the body of an attempt; return what is wanted of it."""
        return self.wanted_of(attempt.task)._replace(body=self._bodies.begin(attempt.key))

    def _pass_on(self, *pages: FetchedPage) -> None:
        """Free the slots of pages that were fetched, and put them into the queue; those broken off go back."""
        whole = []
        for page in pages:
            broken_off_at = self._bodies.keep(page.attempt.key, len(page.fetched.body))
            if broken_off_at:
                self._agenda.give_back(page.attempt, broken_off_at)
            else:
                whole.append(page)
        self._agenda.landed(*whole)
        self.pages.put(*whole)

    def _give_back(self, attempt: Attempt) -> None:
        """Return an attempt for which no descriptor was left."""
        self._bodies.end(attempt.key)
        self._agenda.give_back(attempt)

    def _break(self, attempt: Attempt, error: Exception) -> None:
        """Report an attempt that a bug has ended."""
        self._bodies.end(attempt.key)
        self._agenda.done(attempt)
        self._on_bug(attempt, error)


class FetchThreads(Fetching):
    """Threads that wait in sockets: `usual` ones, and one more for each that is held up, `most` at most.

    A thread ends after its exchange once there are more than the usual ones that are not held up. The agenda is told
    how many there are. Fetchers are kept for later threads.
    """

    def __init__(
        self,
        agenda: Agenda,
        open_fetcher: Callable[[], Fetcher],
        threads: tuple[int, int],
        on_bug: OnBug,
        on_death: OnDeath,
    ) -> None:
        """`threads` are the usual number and the most."""
        usual, most = threads
        super().__init__(agenda, usual, self._run, on_bug, on_death)
        self._open_fetcher = open_fetcher
        self._usual, self._most = usual, max(usual, most)
        self._changing = threading.Lock()
        self._running = usual
        # Since when each exchange has been under way.
        self._begun: dict[TaskKey, float] = {}
        self._idle: list[Fetcher] = []

    def look(self) -> None:
        """Start one more thread for each that is held up."""
        with self._changing:
            wanted = min(self._most, self._usual + self._held_up())
            numbers = range(self._running, wanted)
            self._running += len(numbers)
        if not numbers:
            return
        alive = tuple(thread for thread in self._threads if thread.is_alive())
        started = self._start(start_later("fetch", numbers, lambda _: self._run(), self._on_death))
        self._threads = (*alive, *started)
        if len(started) < len(numbers):
            with self._changing:
                self._running -= len(numbers) - len(started)
                self._most = max(self._usual, self._running)
        self._agenda.share_slots(self._running)

    def join(self, give_up_at: float) -> bool:
        """Wait as any other, then close the fetchers that were kept."""
        have_ended = super().join(give_up_at)
        while self._idle:
            self._idle.pop().close()
        return have_ended

    def _start(self, threads: tuple[threading.Thread, ...]) -> tuple[threading.Thread, ...]:
        """Start threads with a small stack; return those for which the system had room."""
        usual = threading.stack_size(STACK_BYTES)
        try:
            for number, thread in enumerate(threads):
                try:
                    thread.start()
                except RuntimeError:
                    return threads[:number]
        finally:
            threading.stack_size(usual)
        return threads

    def _held_up(self) -> int:
        since = time.monotonic() - HELD_UP_S
        return sum(begun_at < since for begun_at in list(self._begun.values()))

    def _run(self) -> None:
        fetcher = self._idle.pop() if self._idle else self._open_fetcher()
        try:
            while (attempt := self._agenda.take()) is not None:
                self._begun[attempt.key] = time.monotonic()
                try:
                    self._fetch(fetcher, attempt)
                finally:
                    del self._begun[attempt.key]
                if self._is_spare():
                    break
        except BaseException:
            fetcher.close()
            raise
        self._put_away(fetcher)

    def _is_spare(self) -> bool:
        """Say whether the calling thread has to end: there are enough without it."""
        with self._changing:
            is_spare = self._running > self._usual + self._held_up()
            self._running -= is_spare
        if is_spare:
            self._agenda.share_slots(self._running)
        return is_spare

    def _put_away(self, fetcher: Fetcher) -> None:
        """Close a fetcher, or keep it for a thread that is started later."""
        if self._agenda.closed or self._most == self._usual:
            fetcher.close()
        else:
            self._idle.append(fetcher)

    def _fetch(self, fetcher: Fetcher, attempt: Attempt) -> None:
        try:
            fetched = without_address(attempt) or fetcher.fetch(attempt.task.url, self._begin(attempt))
        except Exception as error:  # noqa: BLE001  top of a thread: a bug costs one attempt
            self._break(attempt, error)
            return
        if fetched.reason == Reason.DESCRIPTORS:
            self._give_back(attempt)
            time.sleep(EXHAUSTED_PAUSE_S)
            return
        self._pass_on(FetchedPage(attempt, fetched))


class FetchLoop(Fetching):
    """One thread that keeps up to `most` exchanges under way.

    It sleeps in the engine; new tasks, and room for more pages, wake it there. For want of descriptors it
    goes down to as many exchanges as it still has, and up again step by step.
    """

    def __init__(self, agenda: Agenda, fetcher: ManyFetcher, most: int, on_bug: OnBug, on_death: OnDeath) -> None:
        super().__init__(agenda, 1, self._run, on_bug, on_death)
        self._fetcher = fetcher
        self._wanted = self._most = most
        self._running = 0
        self._paused_until = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._agenda.listen(self._fetcher.wake)
        super().start()

    def _run(self) -> None:
        try:
            while True:
                pause_s = self._paused_until - time.monotonic()
                attempts, next_in_s = self._agenda.start_ready(self._most - self._running if pause_s <= 0 else 0)
                nowhere = []
                for attempt in attempts:
                    failed = without_address(attempt)
                    if failed is None:
                        self._ask(attempt)
                    else:
                        nowhere.append((attempt, failed))
                if self._agenda.closed and not (self._running or nowhere):
                    return
                self._hand_on(nowhere)
                timeout_s = 0.0 if nowhere else next_in_s
                ended = self._fetcher.wait(timeout_s if pause_s <= 0 else pause_s)
                self._running -= len(ended)
                self._hand_on(ended)
        finally:
            self._fetcher.close()

    def _ask(self, attempt: Attempt) -> None:
        try:
            self._fetcher.start(attempt.task.url, self._begin(attempt), attempt)
        except Exception as error:  # noqa: BLE001  top of a thread: a bug costs one attempt
            self._break(attempt, error)
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
                    self._give_back(attempt)
        self._pass_on(*(FetchedPage(attempt, fetched) for attempt, fetched in made))


def without_address(attempt: Attempt) -> Fetched | None:
    """Return how an attempt ends whose host's name has no address; None if it can be made."""
    if attempt.name is None or not attempt.name.reason:
        return None
    return unresolved(attempt.task.url, attempt.name)


def start_later(
    role: str, numbers: range, work: Callable[[int], None], on_death: OnDeath
) -> tuple[threading.Thread, ...]:
    """Create daemon threads, one of each number: a process that must end at once does not wait for a slow server."""

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001  top of a thread: it is raised again on the control thread
            on_death(error if isinstance(error, Exception) else RuntimeError(f"a thread ended by {error!r}"))

    return tuple(
        threading.Thread(target=guarded, args=(index,), name=f"{role}-{index}", daemon=True) for index in numbers
    )


def join_all(threads: tuple[threading.Thread, ...], give_up_at: float) -> bool:
    """Wait for threads to end; False if one still runs at `give_up_at`."""
    for thread in threads:
        thread.join(max(0.0, give_up_at - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
