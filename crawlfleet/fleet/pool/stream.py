"""Pages on their way from an iterable of URLs to an iterator of rows, with a bound on how many, and on their bytes.

A thread feeds: it consumes the iterable as far as the window allows. Answers lie in a buffer, each at its place, until
the consumer takes them. Rows that would make the buffer too large are thrown away; when the consumer gets to their
place, their page is asked for again, and its answer is accepted in any case. So the bound holds, and nobody waits for
the consumer of another stream.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from crawlfleet.fleet.pool.asker import Asker
from crawlfleet.fleet.pool.async_result import WINDOW, PoolTimeout
from crawlfleet.fleet.pool.entries import Entry, OpenPool
from crawlfleet.fleet.pool.options import Wish
from crawlfleet.fleet.pool.results import Outcome, Rows
from crawlfleet.fleet.pool.waiters import Waiters

MAX_BUFFER_BYTES = 256 << 20
#: Python's objects take about so many times the bytes of the message that brought them.
GROWTH = 3
#: A row without content takes so many bytes.
LEAST_BYTES = 300
#: URLs of a list are asked for so many at a time: it does not wait for earlier pages, as a generator may.
AT_ONCE = 500

_encoder = msgspec.msgpack.Encoder()


class _Spilled:
    """The place of rows that were thrown away."""

    __slots__ = ("entry", "is_recalled", "size")

    def __init__(self, entry: Entry, size: int) -> None:
        self.entry = entry
        self.size = size
        self.is_recalled = False


class _Ending:
    """The place of an error that ended the feeding."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


_Item = tuple[Outcome | _Spilled | _Ending, int]


class Stream:
    """One call of `imap` or `imap_unordered`. Any thread may take from it."""

    def __init__(
        self,
        asker: Asker,
        pool: OpenPool,
        *,
        is_ordered: bool,
        window: int = WINDOW,
        max_bytes: int = MAX_BUFFER_BYTES,
    ) -> None:
        self._asker = asker
        self._pool = pool
        self._is_ordered = is_ordered
        self._window = window
        self._max_bytes = max_bytes
        self._lock = asker.threads.lock()
        self._buffer: dict[int, _Item] = {}
        self._bytes = 0
        self._spilled = 0
        # Places: how many were given to URLs, to answers (the same if they keep their order), to the consumer.
        self._asked = 0
        self._arrived = 0
        self._taken = 0
        self._is_fed = False
        self._is_stopped = False
        self._consumers = Waiters(asker.threads)
        self._feeder = Waiters(asker.threads)

    def start(self, items: Iterable[object], wish_of: Callable[[object], Wish], at_once: int = 1) -> None:
        """Begin to feed, in a thread, so many items at once. `wish_of` may refuse an item: the answer at its place."""
        iterator = iter(items)
        at_once = max(AT_ONCE, at_once) if isinstance(items, list | tuple) else at_once
        try:
            self._asker.begin(self._pool, self)
            self._asker.threads.start(lambda: self._feed(iterator, wish_of, at_once))
        except BaseException:  # interrupted, or no thread can be started
            self.stop()
            raise

    def take_next(self, timeout_s: float | None) -> Outcome:
        """Wait for the next answer and return it.

        Raise `StopIteration` at the end, `PoolTimeout`, or what ended the feeding.
        """
        clock = self._asker.threads.clock
        give_up_at = None if timeout_s is None else clock() + timeout_s
        while True:
            with self._lock:
                item = self._pop()
                is_at_end = item is None and self._is_at_end()
            if isinstance(item, _Ending):
                raise item.error.with_traceback(None)
            if item is not None:
                return item
            if is_at_end:
                raise StopIteration
            left_s = None if give_up_at is None else give_up_at - clock()
            if not self._asker.wait(self._consumers, self._has_next, left_s):
                raise PoolTimeout(f"no page for {timeout_s:g} s")

    def take(self, answers: Sequence[tuple[Entry, Outcome]]) -> None:
        """Get answers from the coordinator."""
        with self._lock:
            if self._is_stopped:
                return
            for entry, outcome in answers:
                if not entry.is_told:
                    entry.is_told = True
                    self._keep(entry, outcome)
        self._consumers.ring()

    def abort(self, error_of: Callable[[str], BaseException]) -> None:
        """Feed no more; the error is what the consumer gets after the answers."""
        self._end(error_of(""))

    def stop(self) -> None:
        """Feed no more, and take back what is open: nobody will take it."""
        if self._is_stopped:
            return
        try:
            self._withdraw()
        except BaseException:  # interrupted
            self._asker.later(self._withdraw)
            raise

    def _withdraw(self) -> None:
        with self._lock:
            self._is_stopped = self._is_fed = True
            self._buffer.clear()
            spilled, self._spilled = self._spilled, 0
        if spilled:
            self._asker.spill(self._pool, -spilled)
        self._asker.take_back(self)
        self._asker.end(self._pool, self)
        self._feeder.ring()
        self._consumers.ring()

    def unbind(self) -> None:
        """Lift the bound on how many: somebody waits for all answers, maybe the consumer itself."""
        with self._lock:
            self._window = 1 << 62
        self._feeder.ring()

    def _feed(self, iterator: Iterator[object], wish_of: Callable[[object], Wish], at_once: int) -> None:
        """Ask for what the iterable gives. The top of a thread: its errors reach the consumer."""
        try:
            while self._feeder.wait(self._has_room) and not self._is_fed:
                items = list(itertools.islice(iterator, min(at_once, self._room)))
                if not items or not self._ask(items, wish_of):
                    break
        except BaseException as error:  # noqa: BLE001  # the iterable's
            self._end(error)
        else:
            self._end(None)

    @property
    def _room(self) -> int:
        return max(1, self._window - (self._asked - self._taken))

    def _has_room(self) -> bool:
        return self._is_fed or self._asked - self._taken < self._window

    def _ask(self, items: Sequence[object], wish_of: Callable[[object], Wish]) -> bool:
        """Ask for pages; say whether to go on."""
        with self._lock:
            if self._is_fed:
                return False
            entries = []
            for item in items:
                try:
                    wish = wish_of(item)
                except TypeError as error:
                    self._put(self._place_of(self._asked), error, 0)
                else:
                    entries.append(Entry(self, self._asked if self._is_ordered else -1, *wish))
                self._asked += 1
            self._try(entries)
        if len(entries) < len(items):
            self._consumers.ring()
        return True

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            if self._is_fed:
                return
            self._is_fed = True
            if error is not None:
                self._put(self._asked, _Ending(error), 0)
                self._asked += 1
        self._asker.end(self._pool, self)
        self._feeder.ring()
        self._consumers.ring()

    def _keep(self, entry: Entry, outcome: Outcome) -> None:
        """Put an answer at its place, or throw its rows away."""
        place = entry.place
        if place < 0:
            place = entry.place = self._place_of(place)
        size = _bytes_of(outcome) if isinstance(outcome, Rows) else 0
        if size and self._bytes + size > self._max_bytes and place != self._taken:
            self._put(place, _Spilled(entry, size), 0)
            self._spilled += 1
            self._asker.spill(self._pool, 1)
        else:
            self._put(place, outcome, size)

    def _place_of(self, asked: int) -> int:
        """Return the place of an answer that has just come to something asked for at this place."""
        if self._is_ordered:
            return asked
        self._arrived += 1
        return self._arrived - 1

    def _put(self, place: int, item: Outcome | _Spilled | _Ending, size: int) -> None:
        self._buffer[place] = item, size
        self._bytes += size

    def _pop(self) -> Outcome | _Ending | None:
        """Return what is at the consumer's place; None if it is not there yet."""
        found = self._buffer.get(self._taken)
        if found is None:
            return None
        item, size = found
        if isinstance(item, _Spilled):
            if not item.is_recalled:
                self._recall()
            return None
        del self._buffer[self._taken]
        self._taken += 1
        self._bytes -= size
        if 2 * (self._asked - self._taken) <= self._window or self._window < AT_ONCE:
            self._feeder.ring()
        return item

    def _recall(self) -> None:
        """Ask again for the page at the consumer's place, and for the next ones, as many as there is room for."""
        entries: list[Entry] = []
        size = 0
        for place in range(self._taken, self._asked):
            item, _ = self._buffer.get(place, (None, 0))
            if not isinstance(item, _Spilled) or item.is_recalled:
                break
            size += item.size
            if entries and self._bytes + size > self._max_bytes:
                break
            item.is_recalled = True
            old = item.entry
            entries.append(Entry(self, place, old.url, old.priority, old.follow))
        self._try(entries)
        self._spilled -= len(entries)
        self._asker.spill(self._pool, -len(entries))

    def _try(self, entries: Sequence[Entry]) -> None:
        """Ask for pages; if that is not possible any more, that is the answer."""
        try:
            self._asker.ask(self._pool, entries)
        except ValueError as error:
            for entry in entries:
                self._put(self._place_of(-1) if entry.place < 0 else entry.place, error, 0)
            self._consumers.ring()

    def _has_next(self) -> bool:
        found = self._buffer.get(self._taken)
        return (found is not None and not isinstance(found[0], _Spilled)) or self._is_at_end()

    def _is_at_end(self) -> bool:
        return self._is_stopped or (self._is_fed and self._taken >= self._asked)


def _bytes_of(rows: Rows) -> int:
    """Estimate how much memory rows take."""
    return LEAST_BYTES + GROWTH * len(_encoder.encode(tuple(rows)))
