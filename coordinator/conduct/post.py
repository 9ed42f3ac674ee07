"""The answers to calls that have waited, kept for each session until it collects them.

They are delivered after their commit. They are not durable: after a lost connection or a restart a client sends its
waiting calls again, and gets the answers from their rows. Any thread may call this.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, islice, takewhile

from crawlfleet.coordinator.conduct.boxes import Boxes
from crawlfleet.shared.messages import encode
from crawlfleet.shared.objects import Collected, Woken

#: Answers of more bytes together are collected in several turns.
MAX_BATCH_BYTES = 4 * 1024 * 1024
#: Sessions that do not collect are forgotten from this number on, those that have been silent longest first.
MAX_SESSIONS = 10_000


class Post:
    """The undelivered answers of all sessions: the last one of each slot, which makes one call after another."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._boxes: Boxes[Woken] = Boxes(MAX_SESSIONS)
        self._finished = False

    def deliver(self, woken: Iterable[tuple[str, Woken | None]]) -> None:
        """Deliver committed answers to their sessions; None says that a session has ended, and will collect none."""
        self._boxes.deliver((session, answer.slot if answer else 0, answer) for session, answer in woken)

    def collect(self, session: str, after: int, timeout_s: float) -> Collected:
        """Wait until there are answers beyond the cursor `after`, and return them; those up to it are forgotten."""
        after, answers = self._boxes.wait(session, after, timeout_s)
        batch = _batch(answers)
        return Collected(
            # Not the last number of all: if this box was taken away, an answer may lie in the next one already.
            upto=batch[-1][0] if batch else after,
            epoch=self.epoch,
            woken=tuple(answer for _, answer in batch),
            finished=self._finished and len(batch) == len(answers),
        )

    def finish(self) -> None:
        """Say to all who wait that the crawl is over: no answer will come any more."""
        self._finished = True
        self.close()

    def close(self) -> None:
        """Let nobody wait any more: the coordinator stops."""
        self._boxes.close()


def _batch(answers: list[tuple[int, Woken]]) -> list[tuple[int, Woken]]:
    """Return as many answers as may be sent at once: the first in any case, since each fits in a frame."""
    if len(answers) <= 1:
        return answers
    ends_at = accumulate(len(encode(answer)) for _, answer in answers)
    count = sum(1 for _ in takewhile(lambda size_bytes: size_bytes <= MAX_BATCH_BYTES, ends_at))
    return list(islice(answers, max(1, count)))
