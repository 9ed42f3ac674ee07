"""The answers to calls that have waited, kept for each session until it collects them.

They are delivered after their commit. They are not durable: after a lost connection or a restart a client sends its
waiting calls again, and gets the answers from their rows. Any thread may call this.

A session has a box only while answers lie in it or somebody waits at it. All answers are numbered in one row, whatever
their sessions: a cursor from before a session's box was taken away is never ahead of what lies in its next one.
"""

from __future__ import annotations

import threading
import time
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
        # How many answers were delivered: the number of the last.
        self._count = 0
        self._finished = False
        self._closed = False

    def deliver(self, woken: Iterable[tuple[str, Woken | None]]) -> None:
        """Deliver committed answers to their sessions; None says that a session has ended, and will collect none."""
        with self._lock:
            for session, answer in woken:
                if answer is None:
                    self._take_away(session)
                else:
                    self._count += 1
                    self._box(session).put(self._count, answer)

    def collect(self, session: str, after: int, timeout_s: float) -> Collected:
        """Wait until there are answers beyond the cursor `after`, and return them; those up to it are forgotten."""
        until = time.monotonic() + min(timeout_s, LONGEST_S)
        with self._lock:
            box = self._box(session)
            if after > self._count:  # a cursor of an earlier incarnation
                after = 0
            box.forget(after)
            box.visitors += 1
            while box.is_worth_waiting_at and not self._closed and (left_s := until - time.monotonic()) > 0:
                box.changed.wait(left_s)
            box.visitors -= 1
            if not box.answers and not box.visitors and self._boxes.get(session) is box:
                del self._boxes[session]
            batch = box.batch()
            return Collected(
                # Not the last number of all: if this box was taken away, an answer may lie in the next one already.
                upto=batch[-1][0] if batch else after,
                epoch=self.epoch,
                woken=tuple(answer for _, answer in batch),
                finished=self._finished and len(batch) == len(box.answers),
            )

    def finish(self) -> None:
        """Say to all who wait that the crawl is over: no answer will come any more."""
        self._finished = True
        self.close()

    def close(self) -> None:
        """Let nobody wait any more: the coordinator stops."""
        with self._lock:
            self._closed = True
            for box in self._boxes.values():
                box.changed.notify_all()

    def _box(self, session: str) -> _Box:
        """Return the box of a session, which is the last to be taken away now."""
        box = self._boxes.pop(session, None) or _Box(self._lock)
        self._boxes[session] = box
        if len(self._boxes) > MAX_SESSIONS:
            self._take_away(next(iter(self._boxes)))
        return box

    def _take_away(self, session: str) -> None:
        """Take the box of a session away, if it has one; nobody waits at it any more."""
        box = self._boxes.pop(session, None)
        if box is not None:
            box.is_taken_away = True
            box.changed.notify_all()


class _Box:
    """The answers of one session. Whoever uses it has the lock of the post."""

    def __init__(self, lock: threading.Lock) -> None:
        self.changed = threading.Condition(lock)
        #: The last answer of each slot, which makes one call after another, with its number: in the order of these.
        self.answers: dict[int, tuple[int, Woken]] = {}
        #: How many wait here.
        self.visitors = 0
        self.is_taken_away = False

    @property
    def is_worth_waiting_at(self) -> bool:
        """Whether there is no answer yet, and may be one."""
        return not self.answers and not self.is_taken_away

    def put(self, number: int, answer: Woken) -> None:
        self.answers.pop(answer.slot, None)
        self.answers[answer.slot] = (number, answer)
        self.changed.notify_all()

    def forget(self, upto: int) -> None:
        """Forget the answers up to a number."""
        for slot, _ in list(takewhile(lambda entry: entry[1][0] <= upto, self.answers.items())):
            del self.answers[slot]

    def batch(self) -> list[tuple[int, Woken]]:
        """Return as many answers as may be sent at once: the first in any case, since each fits in a frame."""
        answers = list(self.answers.values())
        if len(answers) <= 1:
            return answers
        ends_at = accumulate(len(encode(answer)) for _, answer in answers)
        count = sum(1 for _ in takewhile(lambda size_bytes: size_bytes <= MAX_BATCH_BYTES, ends_at))
        return list(islice(answers, max(1, count)))
