"""The heads of queues in memory: what turns read of queues without asking the database.

A *window* has the first entries of a queue, complete up to a bound, and is kept up to date by every change. Entries
beyond the bound are read when they are wanted, a page at a time, ever larger ones. What no commit has written yet is
merged with what is read: *edits* say of an entry whether it is there, whatever the database says. So it does not matter
whether the database has seen a commit that is under way. Windows of queues that were not looked at lately are dropped.

A store that was opened with empty queues knows of each queue whether the database may have something of it that is in
no window. So what is new, such as the queue of a new host, is never read.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Generic, Protocol, TypeVar

#: All windows of a table have so many entries, and there are so many windows, of empty queues, too.
MOST_ENTRIES = 20_000
MOST_WINDOWS = 40_000
LONGEST_WINDOW = 2_000
#: It is known of so many queues that they are stored; of more, nothing is known.
MOST_STORED = 200_000
FIRST_PAGE = 32
LARGEST_PAGE = 512

#: Rank or time, and order.
Place = tuple[float, int]
#: A task in a queue: its place, and its fingerprint.
Entry = tuple[float, int, bytes]


class Page(Protocol):
    """What is asked for: entries after a place, and how many."""

    @property
    def limit(self) -> int: ...


P = TypeVar("P", bound=Page)


class _Window:
    """The first entries of a queue. `edge` is the last place up to which they are complete; None: there are no others.

    `used` is the number of the commit before which it was last looked at.
    """

    __slots__ = ("edge", "entries", "page", "used")

    def __init__(self, edge: Place | None, used: int) -> None:
        self.entries: list[Entry] = []
        self.edge = edge
        self.page = FIRST_PAGE
        self.used = used

    def reaches(self, place: Place) -> bool:
        return self.edge is None or place <= self.edge


class Edits:
    """The changes of one commit: the fingerprint under a place of a queue, None if the place is empty."""

    def __init__(self) -> None:
        self.queues: dict[str, dict[Place, bytes | None]] = {}
        # Places that were emptied and filled again.
        self._again: set[tuple[str, Place]] = set()

    def add(self, queue: str, place: Place, ref: bytes) -> None:
        """Fill a place that is empty now."""
        places = self.queues.get(queue)
        if places is None:
            places = self.queues[queue] = {}
        elif place in places:
            self._again.add((queue, place))
        places[place] = ref

    def remove(self, queue: str, place: Place) -> None:
        """Empty a place. If it was filled by this commit only, nothing is left of that."""
        places = self.queues.setdefault(queue, {})
        if places.get(place) is None or (queue, place) in self._again:
            places[place] = None
            return
        del places[place]
        if not places:
            del self.queues[queue]

    def has(self, queue: str, place: Place) -> bool:
        """Say whether a place is filled by this commit."""
        places = self.queues.get(queue)
        return places is not None and places.get(place) is not None

    def empties(self, queue: str) -> bool:
        """Say whether any place of a queue is emptied."""
        return None in self.queues.get(queue, {}).values()


class Heads(Generic[P]):
    """The windows of one table of queues, and its edits: of the commit under way, and of the next one.

    `page` makes what is asked for: what comes after a place, `lowest` being before all others, and how many. A table
    may begin as one that `is_empty`.
    """

    def __init__(self, page: Callable[[Any, int, int], P], lowest: float, *, is_empty: bool) -> None:
        self._page_after = page
        self._lowest: Place = (lowest, 0)
        self._windows: dict[str, _Window] = {}
        self._next, self._under_way = Edits(), Edits()
        self._size = 0
        self._commits = 0
        # Queues whose windows are to be cut: not before the next commit, since somebody may just have filled them.
        self._long: set[str] = set()
        # Queues without a window of which the database may have something; None: any may be one. Those that have
        # neither are empty.
        self._stored: set[str] | None = set() if is_empty else None

    def add(self, queue: str, entry: Entry) -> None:
        """Add an entry."""
        place, ref = entry[:2], entry[2]
        self._next.add(queue, place, ref)
        window = self._windows.get(queue)
        if window is None and self._stored is not None and queue not in self._stored:
            window = self._windows[queue] = _Window(None, self._commits)
        if window is not None and (window.edge is None or place <= window.edge):
            insort(window.entries, entry)
            self._size += 1
            if len(window.entries) > LONGEST_WINDOW:
                self._long.add(queue)

    def remove(self, queue: str, by: float, order: int) -> bool:
        """Remove an entry if it is there; say whether it is known to have been there."""
        place = (by, order)
        window = self._windows.get(queue)
        if window is None and self._is_empty(queue):
            return False
        is_known = self._next.has(queue, place) or self._under_way.has(queue, place)
        if window is not None and window.reaches(place):
            at = bisect_left(window.entries, place)
            if at == len(window.entries) or window.entries[at][:2] != place:
                return False
            del window.entries[at]
            self._size -= 1
            is_known = True
        self._next.remove(queue, place)
        return is_known

    def lacking(self, limits: Mapping[str, int], until: float = -inf) -> dict[str, P]:
        """Return what to read, so that the window of each queue has so many entries, and one beyond `until`, or all of
        its queue."""
        pages: dict[str, P] = {}
        for queue, limit in limits.items():
            window = self._windows.get(queue)
            if window is None:
                if not self._is_empty(queue):
                    pages[queue] = self._page_after(*self._lowest, max(FIRST_PAGE, 2 * limit))
                continue
            edge, entries = window.edge, window.entries
            if edge is not None and (len(entries) < limit or entries[-1][0] <= until):
                pages[queue] = self._page_after(*edge, max(window.page, 2 * limit))
        return pages

    def extend(self, pages: Mapping[str, P], found: Mapping[str, Sequence[Entry]]) -> None:
        """Take what was found of these pages, as it is by the edits."""
        for queue, page in pages.items():
            window = self._windows.get(queue)
            if window is None:
                window = self._windows[queue] = _Window(self._lowest, self._commits)
            self._extend(queue, window, found.get(queue, ()), page.limit)

    def first(self, queue: str, limit: int) -> Sequence[Entry]:
        """Return up to `limit` of the first entries of a queue that lacks nothing."""
        window = self._windows.get(queue)
        if window is None:
            return ()
        window.used = self._commits
        return window.entries[:limit]

    def take(self, queue: str, until: float) -> list[Entry]:
        """Remove the entries up to a time from a queue that lacks nothing, and return them."""
        window = self._windows.get(queue)
        if window is None or not window.entries or window.entries[0][0] > until:
            return []
        taken = window.entries[: bisect_left(window.entries, (until, inf))]
        del window.entries[: len(taken)]
        self._size -= len(taken)
        for by, order, _ in taken:
            self._next.remove(queue, (by, order))
        return taken

    def begin(self) -> tuple[list[tuple[str, Any, int]], list[tuple[str, Any, int]]]:
        """Begin a commit; return the entries that come and those that go."""
        self._under_way, self._next = self._next, Edits()
        new: list[tuple[str, Any, int]] = []
        gone: list[tuple[str, Any, int]] = []
        for queue, places in self._under_way.queues.items():
            for (by, order), ref in places.items():
                (new if ref is not None else gone).append((queue, by, order))
        return new, gone

    def conclude(self) -> None:
        """Note that the commit is done; drop windows if there is too much in them."""
        self._under_way = Edits()
        self._commits += 1
        for queue in self._long:
            self._cut(self._windows[queue])
        self._long.clear()
        if self._size <= MOST_ENTRIES and len(self._windows) <= MOST_WINDOWS:
            return
        for queue in sorted(self._windows, key=lambda queue: self._windows[queue].used):
            if self._size <= MOST_ENTRIES // 2 and len(self._windows) <= MOST_WINDOWS // 2:
                break
            self._drop(queue)

    def refs(self) -> Iterator[bytes]:
        """Yield the fingerprints in all windows."""
        return (ref for window in self._windows.values() for _, _, ref in window.entries)

    def unwritten(self) -> Iterator[tuple[str, Place, bytes | None]]:
        """Yield what the commit under way and the next one change: the last word on each place."""
        changed = {
            (queue, place): ref
            for edits in (self._under_way, self._next)
            for queue, places in edits.queues.items()
            for place, ref in places.items()
        }
        return ((queue, place, ref) for (queue, place), ref in changed.items())

    def empties(self, queue: str) -> bool:
        """Say whether what is not written yet removes anything from a queue."""
        return self._under_way.empties(queue) or self._next.empties(queue)

    def _extend(self, queue: str, window: _Window, page: Sequence[Entry], size: int) -> None:
        after = window.edge or self._lowest
        window.edge = page[-1][:2] if len(page) == size else None
        window.page = min(LARGEST_PAGE, 2 * window.page)
        changed = [edits.queues[queue] for edits in (self._under_way, self._next) if queue in edits.queues]
        if not changed:
            window.entries += page
            self._size += len(page)
            return
        found: dict[Place, bytes] = {(by, order): ref for by, order, ref in page}
        for places in changed:
            for place, known in places.items():
                if place <= after or not window.reaches(place):
                    continue
                if known is None:
                    found.pop(place, None)
                else:
                    found[place] = known
        window.entries += sorted((*place, ref) for place, ref in found.items())
        self._size += len(found)

    def _is_empty(self, queue: str) -> bool:
        """Say whether a queue without a window is known to be empty."""
        return self._stored is not None and queue not in self._stored

    def _drop(self, queue: str) -> None:
        window = self._windows.pop(queue)
        self._size -= len(window.entries)
        if self._stored is not None and (window.entries or window.edge is not None):
            self._stored.add(queue)
            if len(self._stored) > MOST_STORED:
                self._stored = None

    def _cut(self, window: _Window) -> None:
        """Forget the later half of a window, if it is still too long."""
        if len(window.entries) > LONGEST_WINDOW:
            self._size -= len(window.entries) - LONGEST_WINDOW // 2
            del window.entries[LONGEST_WINDOW // 2 :]
            window.edge = window.entries[-1][:2]


def names_of(changed: Iterable[tuple[str, Place, bytes | None]]) -> set[str]:
    """Return the queues that entries come into."""
    return {queue for queue, _, ref in changed if ref is not None}
