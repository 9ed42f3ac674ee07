"""Boxes in which what is for a session lies until the session takes it: a long poll, for any thread.

What is delivered to a session has a key; a later delivery under the same key takes the place of the earlier one.
Nothing is durable.

A session has a box only while something lies in it or somebody waits at it. All deliveries are numbered in one row,
whatever their sessions: a cursor from before a session's box was taken away is never ahead of what lies in its next
one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from itertools import islice, takewhile
from typing import Generic, TypeVar

T = TypeVar("T")

#: Nobody waits longer at a time, so that the thread of a connection that was lost ends.
LONGEST_S = 10.0


class Boxes(Generic[T]):
    """The boxes of all sessions; of more than `max_boxes`, the one that was used least recently is taken away."""

    def __init__(self, max_boxes: int) -> None:
        self._max_boxes = max_boxes
        self._boxes: dict[str, _Box[T]] = {}
        self._lock = threading.Lock()
        # How many things were delivered: the number of the last.
        self._count = 0
        self._closed = False

    def visitors(self, session: str) -> int:
        """Return how many wait for something in a session's box."""
        box = self._boxes.get(session)
        return 0 if box is None else box.visitors

    def content(self, session: str) -> int:
        """Return how many things lie in a session's box."""
        box = self._boxes.get(session)
        return 0 if box is None else len(box.things)

    def deliver(self, things: Iterable[tuple[str, int, T | None]]) -> None:
        """Deliver things to sessions, under keys; None says that a session has ended, and will take nothing."""
        with self._lock:
            for session, key, thing in things:
                if thing is None:
                    self._take_away(session)
                else:
                    self._count += 1
                    self._box(session).put(self._count, key, thing)

    def wait(
        self, session: str, after: int, timeout_s: float, limit: int | None = None
    ) -> tuple[int, list[tuple[int, T]]]:
        """Wait until something lies in a session's box beyond the cursor `after`.

        Return the cursor, 0 if it is that of an earlier incarnation; and with their numbers, the first `limit` things
        in the box, or all. Those up to the cursor are forgotten.
        """
        until = time.monotonic() + min(timeout_s, LONGEST_S)
        with self._lock:
            box = self._box(session)
            if after > self._count:
                after = 0
            box.forget(after)
            box.visitors += 1
            while box.is_worth_waiting_at and not self._closed and (left_s := until - time.monotonic()) > 0:
                box.changed.wait(left_s)
            box.visitors -= 1
            if not box.things and not box.visitors and self._boxes.get(session) is box:
                del self._boxes[session]
            return after, list(islice(box.things.values(), limit))

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._lock:
            self._closed = True
            for box in self._boxes.values():
                box.changed.notify_all()

    def _box(self, session: str) -> _Box[T]:
        """Return the box of a session, which is the last to be taken away now."""
        box = self._boxes.pop(session, None) or _Box[T](self._lock)
        self._boxes[session] = box
        if len(self._boxes) > self._max_boxes:
            self._take_away(next(iter(self._boxes)))
        return box

    def _take_away(self, session: str) -> None:
        """Take the box of a session away, if it has one; nobody waits at it any more."""
        box = self._boxes.pop(session, None)
        if box is not None:
            box.is_taken_away = True
            box.changed.notify_all()


class _Box(Generic[T]):
    """What lies in one session's box. Whoever uses it has the lock of the boxes."""

    def __init__(self, lock: threading.Lock) -> None:
        self.changed = threading.Condition(lock)
        #: By key, with its number: in the order of these.
        self.things: dict[int, tuple[int, T]] = {}
        #: How many wait here.
        self.visitors = 0
        self.is_taken_away = False

    @property
    def is_worth_waiting_at(self) -> bool:
        """Whether there is nothing yet, and may be something."""
        return not self.things and not self.is_taken_away

    def put(self, number: int, key: int, thing: T) -> None:
        self.things.pop(key, None)
        self.things[key] = (number, thing)
        self.changed.notify_all()

    def forget(self, upto: int) -> None:
        """Forget what was delivered up to a number."""
        for key, _ in list(takewhile(lambda entry: entry[1][0] <= upto, self.things.items())):
            del self.things[key]
