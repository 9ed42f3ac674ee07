"""Threads that wait until something changes. Ctrl-C ends the wait of the main thread in any case."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from crawlfleet.worker.talk.objects.threads import Inbox, Threads


def interrupts(error: BaseException) -> bool:
    """Say whether an error may be that of a signal, as Ctrl-C, and not of the code that the main thread runs."""
    return not isinstance(error, Exception) and threading.current_thread() is threading.main_thread()


class PoolThreads(Threads):
    """The threads of pools: those of the interpreter."""

    def start(self, work: Callable[[], None]) -> None:
        """Run work in a thread that does not keep the process alive."""
        threading.Thread(target=work, name="crawlfleet-pool", daemon=True).start()


class Waiters:
    """The threads that wait for one thing. It costs nothing while nobody waits.

    Whoever changes the thing does so first, and rings then.
    """

    __slots__ = ("_inboxes", "_threads")

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._inboxes: list[Inbox] = []

    def ring(self) -> None:
        """Let all who wait look again."""
        if self._inboxes:
            for inbox in list(self._inboxes):
                inbox.put(None)

    def wait(self, is_done: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until `is_done`, for `timeout_s` at most (None: without limit); say whether it is."""
        if is_done():
            return True
        give_up_at = None if timeout_s is None else self._threads.clock() + timeout_s
        inbox = self._threads.inbox()
        self._inboxes.append(inbox)
        try:
            while not is_done():
                left_s = None if give_up_at is None else give_up_at - self._threads.clock()
                if left_s is not None and left_s <= 0:
                    return False
                try:
                    inbox.get(timeout=left_s)
                except queue.Empty:
                    return is_done()
            return True
        finally:
            self._inboxes.remove(inbox)
