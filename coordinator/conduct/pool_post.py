"""The answers to asks, kept for each session until it collects them; their rows are read from the committed log then.

They are delivered after their commit. They are not durable: a program whose book is not there any more asks again. Any
thread may call this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec.structs import replace

from crawlfleet.coordinator.conduct.asks import Answered
from crawlfleet.coordinator.conduct.boxes import Boxes
from crawlfleet.coordinator.frontier.port import ResultLog
from crawlfleet.coordinator.results.rows import as_list
from crawlfleet.shared.message import Message
from crawlfleet.shared.messages import encode
from crawlfleet.shared.pools import MAX_ASKS, Settled

#: Answers of more bytes together are collected in several turns.
MAX_PAGE_BYTES = 4 * 1024 * 1024
#: Sessions have a box while they hold pools open: there are never so many.
MAX_SESSIONS = 1_000_000


class _EncodedPage(Message, frozen=True, kw_only=True):
    """A `SettledPage` whose answers are encoded already."""

    book: str
    cursor: int
    settled: tuple[msgspec.Raw, ...]
    finished: bool


class PoolPost:
    """The uncollected answers of all sessions. `book_of` names the book of a session."""

    def __init__(self, log: ResultLog, book_of: Callable[[str], str]) -> None:
        self._log = log
        self._book_of = book_of
        self._boxes: Boxes[Answered] = Boxes(MAX_SESSIONS)
        self._finished = False

    def deliver(self, answers: Iterable[tuple[str, int, Answered | None]]) -> None:
        """Deliver committed answers, by session and ticket; None says that a session has ended."""
        self._boxes.deliver(answers)

    def collect(self, session: str, after: int, timeout_s: float) -> bytes:
        """Wait until there are answers beyond the cursor `after`; return them as an encoded `SettledPage`.

        Those up to the cursor are forgotten.
        """
        # Before the answers: a book that is begun meanwhile may have others.
        book = self._book_of(session)
        after, answers = self._boxes.wait(session, after, timeout_s, MAX_ASKS)
        settled: list[msgspec.Raw] = []
        room = MAX_PAGE_BYTES
        for number, answered in answers:
            whole = encode(self._whole(answered))
            room -= len(whole)
            if settled and room < 0:
                break
            settled.append(msgspec.Raw(whole))
            after = number
        is_last = self._finished and len(settled) == len(answers) < MAX_ASKS
        return encode(_EncodedPage(book=book, cursor=after, settled=tuple(settled), finished=is_last))

    def uncollected(self, session: str) -> int:
        """Return how many answers a session has not collected, or not said that it has."""
        return self._boxes.content(session)

    def finish(self) -> None:
        """Say to all who wait that the crawl is over: no answer will come any more."""
        self._finished = True
        self.close()

    def close(self) -> None:
        """Let nobody wait any more: the coordinator stops."""
        self._boxes.close()

    def _whole(self, answered: Answered) -> Settled:
        """Return an answer with its rows."""
        result = self._log.result(answered.ref) if answered.ref else None
        if result is None:
            return answered.settled
        return replace(answered.settled, rows=as_list(result.rows, result.seed_line))
