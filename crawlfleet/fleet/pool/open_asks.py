"""The asks of a session that are not answered yet, and its open pools. It has no thread of its own.

Each entry leaves once: whoever takes it out answers its owner, without holding the lock, and counts it off then.

Ctrl-C, or a signal handler that closes the connection, may interrupt the main thread at any place, also where it holds
the lock. So a step that must not be done by half is a single call of C: entries are taken out into a list of the
caller's by `extend`. Whatever is left to be done with the list can be done by another thread.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog

from crawlfleet.fleet.pool.entries import Entry, Feeder, OpenPool, Owner
from crawlfleet.fleet.pool.results import Outcome
from crawlfleet.fleet.pool.waiters import Waiters, interrupts
from crawlfleet.shared.pools import MAX_ASKS
from crawlfleet.worker.talk.finished import closed
from crawlfleet.worker.talk.objects.threads import Threads

_logger = structlog.get_logger(__name__)

Batch = tuple[OpenPool, list[Entry]]
#: Entries that were taken out, among None for those that were not there any more.
Taken = list[Entry | None]


def not_running() -> ValueError:
    """Return the error of a pool that takes no more, in the words of `multiprocessing`."""
    return ValueError("Pool not running")


class OpenAsks:
    """All open asks of a session. Any thread may use it."""

    def __init__(self, threads: Threads, on_idle: Callable[[OpenPool], None]) -> None:
        """`on_idle` is called, once and without the lock, when a closed pool has nothing open any more.

        It is not called once the crawl is over.
        """
        self._threads = threads
        self._on_idle = on_idle
        self._lock = threads.lock()
        self._tickets = itertools.count(1)
        self._numbers = itertools.count(1)
        self._entries: dict[int, Entry] = {}
        self._pools: dict[int, OpenPool] = {}
        self._line: deque[OpenPool] = deque()
        self._book = ""
        # The coordinator has no pools any more.
        self._are_over = False
        self.is_closed = False

    def add_pool(self) -> OpenPool:
        """Return a new pool."""
        with self._lock:
            if self.is_closed:
                raise closed()
            pool = OpenPool(next(self._numbers), Waiters(self._threads))
            self._pools[pool.number] = pool
            return pool

    def add(self, pool: OpenPool, entries: Sequence[Entry], now: float) -> None:
        """Queue asks; raise `ValueError` if the pool is terminated, or the connection closed."""
        with self._lock:
            if self.is_closed:
                raise closed()
            if pool.is_terminated or pool.is_over:
                raise not_running()
            # In this order, an interruption leaves nothing that is waited for and not sent.
            self._line_up(pool)
            for entry in entries:
                entry.ticket = next(self._tickets)
                entry.pool = pool
                entry.asked_at = now
                pool.queue.append(entry)
                self._entries[entry.ticket] = entry
                pool.asked.add(entry)
            was_closed = self._is_closed_now()
        if was_closed:  # by a signal handler, which interrupted this thread, and has answered all that it found
            self.hand_over([(entry, closed()) for entry in self.take_out([entry.ticket for entry in entries])])
            self.count_off(entries)

    def add_feeder(self, pool: OpenPool, feeder: Feeder) -> None:
        """Note a feeder: the pool is open as long as it feeds."""
        with self._lock:
            if self.is_closed:
                raise closed()
            if pool.is_terminated or pool.is_over:
                raise not_running()
            pool.feeders.add(feeder)

    def feeder_is_done(self, pool: OpenPool, feeder: Feeder) -> None:
        """Forget a feeder; does nothing if it is forgotten already."""
        with self._lock:
            pool.feeders.discard(feeder)
        self._look(pool)

    def spill(self, pool: OpenPool, count: int) -> None:
        """Note that rows of so many pages were thrown away, or negative, are asked for again."""
        with self._lock:
            pool.spilled += count
        if count < 0:
            self._look(pool)

    def next_batch(self) -> Batch | None:
        """Return asks of one pool that are to be sent, none to open it only; None if there is nothing to be sent."""
        with self._lock:
            while self._line:
                pool = self._line.popleft()
                batch: list[Entry] = []
                while pool.queue and len(batch) < MAX_ASKS:
                    entry = pool.queue.popleft()
                    if entry.is_queued and entry.ticket in self._entries:
                        entry.is_queued = False
                        entry.sendings += 1
                        batch.append(entry)
                pool.is_in_line = bool(pool.queue)
                if pool.queue:
                    self._line.append(pool)
                if batch or pool.must_open:
                    return pool, batch
        return None

    @property
    def has_queued(self) -> bool:
        return bool(self._line)

    @property
    def are_awaited(self) -> bool:
        """Whether answers, or the news of another book, have to be collected."""
        with self._lock:
            return any(pool.is_known or pool.asked for pool in self._pools.values())

    def known_pool(self) -> OpenPool | None:
        """Return any pool that is open at the coordinator, as far as is known."""
        with self._lock:
            return next((pool for pool in self._pools.values() if pool.is_known), None)

    def put_back(self, entries: Sequence[Entry], *, were_refused: bool = False) -> None:
        """Queue asks again, before all others; the coordinator may have taken them, unless they `were_refused`."""
        with self._lock:
            for entry in reversed(entries):
                entry.sendings -= were_refused
                if not entry.is_queued and entry.ticket in self._entries:
                    entry.is_queued = True
                    entry.pool.queue.appendleft(entry)
                    self._line_up(entry.pool)

    def ask_anew(self, entry: Entry) -> None:
        """Queue an ask again under another ticket: what may still arrive of the old one must not count for it."""
        with self._lock:
            if self._entries.pop(entry.ticket, None) is not None:
                entry.ticket = next(self._tickets)
                self._entries[entry.ticket] = entry
        self.put_back([entry])

    def opened(self, pool: OpenPool, taken: Sequence[Entry], book: str) -> None:
        """Note that the coordinator knows a pool, and has taken asks."""
        with self._lock:
            pool.is_known, pool.must_open = not pool.is_over, False
            for entry in taken:
                entry.book = book
        self.see_book(book)

    def see_book(self, book: str, *, lost: bool = False) -> bool:
        """Ask again for what is in another book than the coordinator's, and open pools again; say whether any.

        `lost`: answers to asks in the coordinator's own book may have been forgotten.
        """
        with self._lock:
            if book == self._book and not lost:
                return False
            is_first, self._book = not self._book, book
            for entry in list(self._entries.values()):
                if not entry.is_queued and (lost or entry.book != book) and not (is_first and not entry.book):
                    entry.is_queued = True
                    entry.pool.queue.append(entry)
                    self._line_up(entry.pool)
            for pool in self._pools.values():
                if pool.is_known and not is_first:
                    pool.must_open = True
                    self._line_up(pool)
            return bool(self._line)

    def take_out(self, tickets: Iterable[int], taken: Taken | None = None) -> list[Entry]:
        """Take out entries that are open, into `taken`, to answer them; return what that has."""
        taken = [] if taken is None else taken
        wanted = list(tickets)
        with self._lock:
            taken.extend(map(self._entries.pop, wanted, itertools.repeat(None)))
        return [entry for entry in taken if entry is not None]

    def take_unsent(self, entry: Entry, taken: Taken) -> bool:
        """Take out an entry if the coordinator cannot have it; say whether it was."""
        with self._lock:
            return not entry.was_sent and bool(self.take_out([entry.ticket], taken))

    def take_all(self, of: Callable[[Entry], bool], taken: Taken | None = None) -> list[Entry]:
        """Take out entries, into `taken`, to answer them; return what that has."""
        with self._lock:
            return self.take_out([ticket for ticket, entry in list(self._entries.items()) if of(entry)], taken)

    def is_open(self, entry: Entry) -> bool:
        return entry.ticket in self._entries

    def hand_over(self, answers: Sequence[tuple[Entry, Outcome]]) -> None:
        """Answer the owners of entries that were taken out, and count these off."""
        batches: dict[Owner, list[tuple[Entry, Outcome]]] = {}
        for answer in answers:
            batches.setdefault(answer[0].owner, []).append(answer)
        for owner, batch in batches.items():
            try:
                owner.take(batch)
            except BaseException as error:  # a callback's: the other owners wait, too
                if interrupts(error):
                    raise
                _logger.warning("a callback of a pool failed", error=repr(error))
        self.count_off([entry for entry, _ in answers])

    def count_off(self, entries: Sequence[Entry]) -> None:
        """Count entries that were taken out, and are answered now."""
        with self._lock:
            for entry in entries:
                entry.pool.asked.discard(entry)
        for pool in {entry.pool for entry in entries}:
            self._look(pool)

    def fail_all(self, error: BaseException, *, are_over: bool = False) -> None:
        """Answer everything that is open with an error. `are_over`: the coordinator has no pools any more."""
        with self._lock:
            feeders = [feeder for pool in self._pools.values() for feeder in pool.feeders]
            if are_over:
                self._are_over = True
                for pool in self._pools.values():
                    pool.is_known = pool.must_open = False
        self._abort(feeders, lambda _url: error)
        self.hand_over([(entry, error) for entry in self.take_all(lambda _entry: True)])

    def fail_some(self, error: BaseException, which: Callable[[Entry], bool]) -> None:
        """Answer some that are open with an error; those who have asked for them ask for no more."""
        entries = self.take_all(which)
        owners: set[object] = {entry.owner for entry in entries}
        with self._lock:
            feeders = [feeder for pool in self._pools.values() for feeder in pool.feeders if feeder in owners]
        self._abort(feeders, lambda _url: error)
        self.hand_over([(entry, error) for entry in entries])

    def close_pool(self, pool: OpenPool) -> None:
        """Let a pool end as soon as nothing of it is open."""
        with self._lock:
            pool.is_closed = True
        self._look(pool)

    def terminate(self, pool: OpenPool, error_of: Callable[[str], BaseException], taken: Taken) -> None:
        """Stop the feeders of a pool, with an error, and take out everything that is open. May be called again."""
        with self._lock:
            pool.is_closed = pool.is_terminated = True
            feeders = list(pool.feeders)
        self._abort(feeders, error_of)
        self.take_all(lambda entry: entry.pool is pool, taken)

    def close(self) -> None:
        """Take nothing any more, and end all waiting."""
        with self._lock:
            self.is_closed = True
        self.fail_all(closed(), are_over=True)
        for pool in list(self._pools.values()):
            pool.joiners.ring()

    def _is_closed_now(self) -> bool:
        return self.is_closed

    def _abort(self, feeders: Iterable[Feeder], error_of: Callable[[str], BaseException]) -> None:
        for feeder in feeders:
            try:
                feeder.abort(error_of)
            except BaseException as error:  # a callback's: the others are to stop, too
                if interrupts(error):
                    raise
                _logger.warning("a callback of a pool failed", error=repr(error))

    def _line_up(self, pool: OpenPool) -> None:
        if not pool.is_in_line:
            pool.is_in_line = True
            self._line.append(pool)

    def _look(self, pool: OpenPool) -> None:
        """See whether nothing of a pool is open any more."""
        with self._lock:
            if not pool.is_answered:
                return
            is_read = pool.is_terminated or not pool.spilled
            is_over = pool.is_closed and is_read and not pool.is_over
            if is_over:
                pool.is_over, pool.is_known, pool.must_open = True, False, False
                self._pools.pop(pool.number, None)
        pool.joiners.ring()
        if is_over and not self._are_over:
            self._on_idle(pool)
