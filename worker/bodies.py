"""The bodies that a worker has in memory, decoded, from their first block until their pages have been read.

While they take more than half of the limit nothing starts. Beyond the limit the largest of those that are still coming
is broken off: it counts no more, and its page is fetched later, alone. The only body that there is never is. Any thread
may call this; it does not block.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import attrgetter

from crawlfleet.shared.messages import TaskKey

NO_LIMIT = 2**62


class Body:
    """One body: what an engine counts as it comes (`worker.fetch.port.Counted`)."""

    __slots__ = ("_bodies", "is_broken_off", "is_coming", "on_break", "size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size = 0
        self.is_coming = True
        self.is_broken_off = False
        self.on_break: Callable[[], None] = _do_nothing

    def grow(self, count: int) -> bool:
        """Count some bytes that have come; False if the exchange is to end, since the body is broken off."""
        return self._bodies.grow(self, count)

    def whole(self) -> None:
        """Break it off no more: it has come as far as it does."""
        self._bodies.whole(self)


class Bodies:
    """All bodies of a worker, by the attempt that each belongs to."""

    def __init__(self, on_room: Callable[[], None]) -> None:
        """Call `on_room`, without the lock, when no more than half of the limit is taken any more."""
        self.most = NO_LIMIT
        self._on_room = on_room
        self._lock = threading.Lock()
        self._bodies: dict[TaskKey, Body] = {}
        self._total = 0

    def are_many(self) -> bool:
        """Say whether they take more than half of the limit."""
        return 2 * self._total > self.most

    def begin(self, key: TaskKey) -> Body:
        """Begin to count the body of an attempt."""
        body = Body(self)
        with self._lock:
            self._bodies[key] = body
        return body

    def grow(self, body: Body, count: int) -> bool:
        """See `Body.grow`."""
        with self._lock:
            if body.is_broken_off:
                return False
            self._count(body, count)
            if self._total > self.most:
                self._break_off()
        return not body.is_broken_off

    def whole(self, body: Body) -> None:
        """See `Body.whole`."""
        with self._lock:
            body.is_coming, body.on_break = False, _do_nothing

    def keep(self, key: TaskKey, size: int) -> int:
        """Count the body of an exchange that has ended as it is, until `end`.

        Return 0, or, if it was broken off, how large it was by then: that is its end.
        """
        with self._lock:
            body = self._bodies.get(key)
            if body is not None and size and not body.is_broken_off:
                body.is_coming, body.on_break = False, _do_nothing
                self._count(body, size - body.size)
                return 0
        self.end(key)
        return body.size if body is not None and body.is_broken_off else 0

    def end(self, key: TaskKey) -> None:
        """Forget the body of an attempt."""
        with self._lock:
            were_many = self.are_many()
            body = self._bodies.pop(key, None)
            if body is not None and not body.is_broken_off:
                self._total -= body.size
            is_room = were_many and not self.are_many()
        if is_room:
            self._on_room()

    def _count(self, body: Body, count: int) -> None:
        body.size += count
        self._total += count

    def _break_off(self) -> None:
        """Break off the largest, again and again, until the rest is within the limit, or there is one body alone."""
        while self._total > self.most:
            coming = [body for body in self._bodies.values() if body.is_coming and not body.is_broken_off]
            largest = max(coming, key=attrgetter("size"), default=None)
            if largest is None or largest.size == self._total:
                return
            largest.is_broken_off = True
            self._total -= largest.size
            largest.on_break()


def _do_nothing() -> None:
    pass
