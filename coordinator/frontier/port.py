"""The port to the frontier's store: it stores, orders and is atomic; it decides nothing.

All that `apply` took since the last `commit` becomes durable together. Reads see what was applied. One thread owns a
store, except for `results` and `result`, which any thread may call and which see only what is committed.

A store may lie behind a network. The calls that it answers from memory say so; any other may cost a round trip, so
those that the crawl waits for take many keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.rows import Result, TaskRow, TaskState
from crawlfleet.coordinator.core.turn import Reader
from crawlfleet.shared.messages import Kind


class Conflict(Exception):
    """A batch was decided on rows that have changed since; nothing of it was applied."""


class Store(Reader, Protocol):
    """What a backend implements, and the conformance suite checks: a turn's reader, which is written, too.

    `ledger`, `leases_of` and `due` of the reader are answered from memory.
    """

    def holders(self) -> frozenset[str]:
        """Return the sessions that have leases, from memory."""
        ...

    def next_due_at(self) -> float | None:
        """Return the earliest `ready_at` of any host, from memory."""
        ...

    def waiting(self, limit: int) -> tuple[TaskRow, ...]:
        """Return some PENDING tasks, whatever they wait for."""
        ...

    def walk(self, after: int, limit: int) -> tuple[TaskRow, ...]:
        """Return some tasks, whatever their state, in the order of their admission, from order `after` + 1 on."""
        ...

    def counts(self) -> dict[tuple[Kind, TaskState], int]:
        """Return how many tasks of each kind are in each state, from memory."""
        ...

    def verdicts(self) -> dict[tuple[TaskState, str], int]:
        """Return how many pages are in each state, by the reason or the outcome that led there, from memory."""
        ...

    def apply(self, changes: Sequence[Change]) -> None:
        """Take changes in order, all or none; raise `Conflict` if a row is not the predecessor of its change."""
        ...

    def commit(self, now: float) -> None:
        """Make durable all that was applied, and that crawl time has come to `now`; acks may leave then."""
        ...

    def close(self) -> None:
        """Let go of what is open; what was not committed is gone."""
        ...

    def results(self, cursor: int, limit: int) -> Sequence[Result]:
        """Return committed results from place `cursor` on, in the order of their commit."""
        ...

    def result(self, ref: bytes) -> Result | None:
        """Return the committed result of a task."""
        ...

    def result_count(self) -> int:
        """Return how many results are committed, from memory."""
        ...
