"""The asks of one session: open pools, what is open of them, and the two threads that talk to the coordinator.

    a program's threads ──► open asks ──► sender ──► coordinator
            ▲                                             │
            └──── owners of asks ◄──── collector ◄────────┘   (a long poll, over a second connection)

An ask may be sent again at any time. That is done after a lost connection, and for all that is open when the name of
the coordinator's book changes: it has forgotten who asked for what. An owner is told once what became of its ask, by
whoever takes it out of the open asks: the collector, a thread that gives up, or one that cancels.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError

from crawlfleet.fleet.pool.collector import Collector
from crawlfleet.fleet.pool.commands import Cancelling, Closing, Coordinator, Opening, TakingBack
from crawlfleet.fleet.pool.entries import Entry, Feeder, OpenPool, Owner
from crawlfleet.fleet.pool.open_asks import OpenAsks, Taken
from crawlfleet.fleet.pool.patience import Patience
from crawlfleet.fleet.pool.results import cancelled
from crawlfleet.fleet.pool.sender import Sender
from crawlfleet.fleet.pool.waiters import PoolThreads, Waiters
from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.shared.wire.proxies import PoolsProxy
from crawlfleet.worker.talk.objects.threads import Threads


class Asker:
    """The asks of one session. Any thread may use it, but only in the process that made it."""

    def __init__(
        self, dial: Callable[[], Coordinator], session: str, *, patience_s: float, threads: Threads | None = None
    ) -> None:
        """`dial` connects to the coordinator. After `patience_s` without it, what is open fails as `Unreachable`."""
        self.threads = threads or PoolThreads()
        self._pid = os.getpid()
        self._asks = OpenAsks(self.threads, self._note_idle)
        self._sender = Sender(dial, session, self._asks, Patience(patience_s, self.threads), self.threads)
        self._collector = Collector(
            dial, session, self._asks, Patience(patience_s, self.threads), self.threads, self._sender.ring
        )
        self._starting = self.threads.lock()
        self._are_started = False
        self._own: set[int] = set()
        self._sender_thread = 0

    def open_pool(self) -> OpenPool:
        """Open a pool at the coordinator.

        Raise `JobFinished` if the crawl is over, `Unreachable` if the coordinator stays away.
        """
        self.check_process()
        self._check_sender()
        pool = self._asks.add_pool()
        self._start()
        inbox = self.threads.inbox()
        try:
            self._sender.put(Opening(self._asks, pool, inbox))
            error = inbox.get()
            if error is not None:
                raise error
        except BaseException:
            self._asks.close_pool(pool)
            raise
        self._collector.ring()
        return pool

    def ask(self, pool: OpenPool, entries: Sequence[Entry]) -> None:
        """Ask for pages; raise `ValueError` if the pool is terminated or the connection closed."""
        self._asks.add(pool, entries, self.threads.clock())
        self._sender.ring()
        self._collector.ring()

    def begin(self, pool: OpenPool, feeder: Feeder) -> None:
        """Note that somebody will ask for more pages, until it says `end`."""
        self._asks.add_feeder(pool, feeder)

    def end(self, pool: OpenPool, feeder: Feeder) -> None:
        """Note that somebody has asked for everything that it will. May be called again."""
        self._asks.feeder_is_done(pool, feeder)

    def spill(self, pool: OpenPool, count: int) -> None:
        """Note that rows of so many pages were thrown away; negative: are not missing any more."""
        self._asks.spill(pool, count)

    def cancel(self, entry: Entry) -> None:
        """Take an ask back if its page has not started: it is answered with a `CancelledError`."""
        self.check_process()
        taken: Taken = []
        command: Cancelling | None = None

        def answer() -> None:
            self._asks.hand_over([(entry, CancelledError()) for _ in filter(None, taken)])

        try:
            if not self._asks.take_unsent(entry, taken) and self._asks.is_open(entry):
                self._check_sender()
                inbox = self.threads.inbox()
                command = Cancelling(self._asks, entry, taken, inbox)
                self._sender.put(command)
                inbox.get()
            answer()
        except BaseException:
            if command is not None:
                command.when_left = answer
            self._sender.defer(answer)
            raise

    def take_back(self, owner: Owner) -> None:
        """Answer all that an owner waits for as cancelled, and let the coordinator know."""
        self._drop(lambda taken: self._asks.take_all(lambda entry: entry.owner is owner, taken))

    def close_pool(self, pool: OpenPool) -> None:
        """Let a pool end as soon as everything is answered."""
        self._asks.close_pool(pool)

    def terminate(self, pool: OpenPool) -> None:
        """Answer all that is open of a pool as cancelled, and let the coordinator know."""
        self._drop(lambda taken: self._asks.terminate(pool, cancelled, taken))
        self._asks.close_pool(pool)  # also if nothing of it was open

    def later(self, work: Callable[[], None]) -> None:
        """Let another thread do something: for finalizers, which must not take a lock."""
        self._sender.defer(work)

    def wait(self, waiters: Waiters, is_done: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until `is_done`; raise `RuntimeError` in a thread that would wait for itself."""
        if is_done():
            return True
        self.check_may_wait()
        return waiters.wait(is_done, timeout_s)

    def check_may_wait(self) -> None:
        """Raise `RuntimeError` in a thread that would wait for itself, and in a forked process."""
        self.check_process()
        if threading.get_ident() in self._own:
            raise RuntimeError("a callback of a pool cannot wait for a page: its thread is the one that brings it")
        # Ctrl-C may have come between an ask and this.
        self._sender.ring()
        self._collector.ring()

    @property
    def is_at_home(self) -> bool:
        """Whether this process made it: a forked one did not."""
        return os.getpid() == self._pid

    def check_process(self) -> None:
        """Raise `RuntimeError` in a forked process."""
        if not self.is_at_home:
            raise RuntimeError("this connection to the crawl was made before a fork: connect() in each process")

    def close(self) -> None:
        """End all waiting, with a `ValueError`, and both threads; before, the coordinator hears what was taken back."""
        self._asks.close()
        self._sender.defer(lambda: None)
        self._collector.ring()
        if threading.get_ident() not in self._own:
            self._sender.await_last()

    def _check_sender(self) -> None:
        if threading.get_ident() == self._sender_thread:
            raise RuntimeError("a callback of a pool cannot wait for the coordinator: its thread is the one that asks")

    def _drop(self, take_out: Callable[[Taken], object]) -> None:
        """Take entries out, answer them as cancelled, and let the coordinator know.

        If Ctrl-C interrupts that, the sender does it once more.
        """
        taken: Taken = []

        def drop() -> None:
            take_out(taken)
            entries = [entry for entry in taken if entry is not None]
            if sent := [entry.ticket for entry in entries if entry.was_sent]:
                self._sender.put(TakingBack(sent))
            self._asks.hand_over([(entry, cancelled(entry.url)) for entry in entries])

        try:
            drop()
        except BaseException:
            self._sender.defer(drop)
            raise

    def _note_idle(self, pool: OpenPool) -> None:
        self._sender.put(Closing(self._asks, pool))

    def _start(self) -> None:
        with self._starting:
            if not self._are_started:
                self._are_started = True
                self.threads.start(self._send)
                self.threads.start(self._collect)

    def _send(self) -> None:
        self._sender_thread = threading.get_ident()
        self._own.add(self._sender_thread)
        self._sender.run()

    def _collect(self) -> None:
        self._own.add(threading.get_ident())
        self._collector.run()


def dial_pools(manager: FleetManager) -> PoolsProxy:
    """Connect to the coordinator's pools, over one connection for all threads."""
    line = manager.for_all_threads()
    line.connect()
    return line.Pools()
