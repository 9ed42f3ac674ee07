"""Who waits for which page: the open asks of programs. Kept in memory only, since programs ask again.

It is told of all changes of tasks, and finds the answers in them. A page that redirects is waited for at its target.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import count
from typing import NamedTuple

from crawlfleet.coordinator.core.asking import redirects
from crawlfleet.coordinator.core.changes import Change, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.rows import FINAL, TaskRow, TaskState
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.pools import MAX_OPEN_ASKS, MAX_POOLS, Settled
from crawlfleet.shared.reasons import Reason

#: Asks of all sessions together.
MAX_ALL_ASKS = 500_000
_UNKNOWN_TARGET = "the version of crawlfleet that fetched it did not keep where it redirects to"


class _Book:
    """What is remembered of one session: its open pools, and the page that each of its open asks waits for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pools: set[int] = set()
        self.waits: dict[int, bytes] = {}


class Answered(NamedTuple):
    """An answer without its rows: they are those of the page `ref`, if that is not empty."""

    settled: Settled
    ref: bytes = b""


class Asks:
    """The open asks of all sessions. Whoever calls it owns the service."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._numbers = count(1)
        self._books: dict[str, _Book] = {}
        self._waiting: dict[bytes, dict[tuple[str, int], None]] = {}
        self._open = 0
        self._answers: list[tuple[str, int, Answered | None]] = []

    @property
    def are_open(self) -> bool:
        """Whether any ask waits."""
        return bool(self._waiting)

    def book_of(self, session: str) -> str:
        """Return the name of a session's book; empty if it has none. Any thread may call this."""
        book = self._books.get(session)
        return "" if book is None else book.name

    def open_pool(self, session: str, pool: int) -> bool:
        """Open a pool; say whether it is the session's only one. Raise `UsageError` if there are too many."""
        book = self._books.get(session)
        if book is None:
            book = self._books[session] = _Book(f"{self._epoch}.{next(self._numbers)}")
        if pool not in book.pools and len(book.pools) >= MAX_POOLS:
            raise UsageError(f"a program has no more than {MAX_POOLS} pools open: close() those that it needs no more")
        book.pools.add(pool)
        return len(book.pools) == 1

    def close_pool(self, session: str, pool: int) -> bool:
        """Close a pool; say whether its session has none left."""
        book = self._books.get(session)
        if book is None:
            return True
        book.pools.discard(pool)
        return not book.pools

    def room(self, session: str) -> int:
        """Return how many asks of a session may be taken."""
        return max(0, min(MAX_OPEN_ASKS - len(self._books[session].waits), MAX_ALL_ASKS - self._open))

    def wait(self, session: str, ticket: int, task: TaskRow) -> None:
        """Let an ask wait for a page, or answer it if that is settled."""
        if task.state in FINAL or is_out_of_scope(task):
            self._answer(session, ticket, _answer_of(task, ticket))
            return
        waits = self._books[session].waits
        if waits.get(ticket) != task.ref:
            self._forget(session, ticket)
            waits[ticket] = task.ref
            self._open += 1
            self._waiting.setdefault(task.ref, {})[session, ticket] = None

    def refuse(self, session: str, ticket: int, url: str, reason: Reason) -> None:
        """Answer an ask whose URL is no task of the crawl."""
        settled = Settled(ticket=ticket, url=url, failed=True, refused=True, reason=reason.value)
        self._answer(session, ticket, Answered(settled))

    def note(self, changes: Sequence[Change], turn: Turn) -> None:
        """Find the answers in changes that the store has taken; `turn` reads it."""
        waiting = self._waiting
        moves = [each for each in changes if isinstance(each, TaskMoved) and each.task.ref in waiting]
        adopted = {move.task.ref for move in moves if move.event is TaskEvent.ADOPTED}
        for move in moves:
            task = move.task
            # The end of a check that becomes a page is none.
            if task.state in FINAL and task.ref in waiting and not (task.kind is Kind.CHECK and task.ref in adopted):
                if task.outcome is Outcome.REDIRECTED:
                    *_, task = redirects(turn, task.ref)
                for session, ticket in tuple(waiting[move.task.ref]):
                    self.wait(session, ticket, task)

    def awaited(self, session: str, ticket: int) -> bytes | None:
        """Return the page that an open ask waits for."""
        book = self._books.get(session)
        return None if book is None else book.waits.get(ticket)

    def take_back(self, session: str, tickets: Iterable[int]) -> Collection[bytes]:
        """Forget asks; return the pages that nobody waits for any more."""
        refs = {ref for ticket in tickets if (ref := self._forget(session, ticket)) is not None}
        return refs - self._waiting.keys()

    def end(self, session: str) -> None:
        """Forget all of a session that has ended, if it has asked for anything."""
        book = self._books.get(session)
        if book is None:
            return
        for ticket in tuple(book.waits):
            self._forget(session, ticket)
        del self._books[session]
        self._answers.append((session, 0, None))

    def take_answers(self) -> list[tuple[str, int, Answered | None]]:
        """Return the answers since the last time, with their sessions and tickets; None if a session has ended."""
        answers, self._answers = self._answers, []
        return answers

    def _answer(self, session: str, ticket: int, answered: Answered) -> None:
        self._forget(session, ticket)
        self._answers.append((session, ticket, answered))

    def _forget(self, session: str, ticket: int) -> bytes | None:
        book = self._books.get(session)
        ref = book.waits.pop(ticket, None) if book is not None else None
        if ref is not None:
            self._open -= 1
            waiting = self._waiting[ref]
            del waiting[session, ticket]
            if not waiting:
                del self._waiting[ref]
        return ref


def is_out_of_scope(task: TaskRow) -> bool:
    """Say whether a task is a check for which nobody asks: an ask that leads to it is refused."""
    return task.kind is Kind.CHECK and not task.asked


def _answer_of(task: TaskRow, ticket: int) -> Answered:
    """Return the answer that a final page gives."""
    if task.kind is Kind.PAGE and task.state is TaskState.DONE and task.outcome is Outcome.FETCHED:
        return Answered(Settled(ticket=ticket, url=task.url, status=task.status, reason=task.reason), task.ref)
    reason, detail = (Reason.HOST, "") if is_out_of_scope(task) else (task.reason, task.detail)
    if task.kind is Kind.PAGE and task.outcome is Outcome.REDIRECTED and task.state is TaskState.DONE:
        reason, detail = (Reason.REDIRECT_LOOP, "") if task.outlinks else (Outcome.REDIRECTED, _UNKNOWN_TARGET)
    settled = Settled(
        ticket=ticket,
        url=task.url,
        status=task.status,
        failed=True,
        refused=task.state is TaskState.DROPPED or is_out_of_scope(task),
        reason=str(reason),
        detail=detail,
    )
    return Answered(settled)
