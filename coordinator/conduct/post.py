"""The answers to calls that have waited, kept for each session until it collects them.

They are delivered after their commit. They are not durable: after a lost connection or a restart a client sends its
waiting calls again, and gets the answers from their rows. Any thread may call this.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from itertools import accumulate, islice, takewhile

from crawlfleet.shared.messages import encode
from crawlfleet.shared.objects import Collected, Woken

#: No collection waits longer, so that the thread of a connection that was lost ends.
LONGEST_S = 10.0
#: Answers of more bytes together are collected in several turns.
MAX_BATCH_BYTES = 4 * 1024 * 1024
#: Sessions that do not collect are forgotten from this number on, those that have been silent longest first.
MAX_SESSIONS = 10_000


class Post:
    """The undelivered answers of all sessions."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._boxes: dict[str, _Box] = {}
        self._lock = threading.Lock()
        self._finished = False
        self._closed = False

    def deliver(self, woken: Iterable[tuple[str, Woken]]) -> None:
        """Deliver committed answers to their sessions."""
        for session, answer in woken:
            self._box(session).put(answer)

    def collect(self, session: str, after: int, timeout_s: float) -> Collected:
        """Wait until there are answers beyond the cursor `after`, and return them; those up to it are forgotten."""
        return self._box(session).collect(after, min(timeout_s, LONGEST_S), self)

    @property
    def is_finished(self) -> bool:
        """Whether no answer will come any more, because the crawl is over."""
        return self._finished

    @property
    def is_closed(self) -> bool:
        """Whether nobody waits here any more."""
        return self._closed

    def finish(self) -> None:
        """Say to all who wait that the crawl is over."""
        self._finished = True
        self.close()

    def close(self) -> None:
        """Let nobody wait any more: the coordinator stops."""
        self._closed = True
        with self._lock:
            boxes = list(self._boxes.values())
        for box in boxes:
            box.ring()

    def _box(self, session: str) -> _Box:
        with self._lock:
            box = self._boxes.pop(session, None) or _Box()
            self._boxes[session] = box
            if len(self._boxes) > MAX_SESSIONS:
                del self._boxes[next(iter(self._boxes))]
            return box


class _Box:
    """The answers of one session, numbered from 1 on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answers: deque[Woken] = deque()
        self._last = 0

    def put(self, answer: Woken) -> None:
        with self._changed:
            self._answers.append(answer)
            self._last += 1
            self._changed.notify_all()

    def ring(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def collect(self, after: int, timeout_s: float, post: Post) -> Collected:
        until = time.monotonic() + timeout_s
        with self._changed:
            after = min(after, self._last)  # a cursor of an earlier incarnation
            while self._answers and self._last - len(self._answers) < after:
                self._answers.popleft()
            while not self._answers and not post.is_closed:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            batch = self._batch()
            left = len(self._answers) - len(batch)
            is_finished = post.is_finished and not left
            return Collected(upto=self._last - left, epoch=post.epoch, woken=batch, finished=is_finished)

    def _batch(self) -> tuple[Woken, ...]:
        """Return as many answers as may be sent at once: the first in any case, since each fits in a frame."""
        if len(self._answers) <= 1:
            return tuple(self._answers)
        ends_at = accumulate(len(encode(answer)) for answer in self._answers)
        count = sum(1 for _ in takewhile(lambda size_bytes: size_bytes <= MAX_BATCH_BYTES, ends_at))
        return tuple(islice(self._answers, max(1, count)))
