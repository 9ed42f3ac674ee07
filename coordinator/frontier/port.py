"""The port to the frontier's store: it stores, orders and is atomic; it decides nothing.

All that `apply` took since the last `commit` becomes durable together. Reads see what was applied. One thread owns a
store, except for `results` and `result`, which any thread may call and which see only what is committed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from typing import Protocol

import msgspec

from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.rows import (
    HostRow,
    LeaseRow,
    LedgerRow,
    OriginRow,
    Result,
    TaskRow,
    TaskState,
    TrapRow,
)
from crawlfleet.shared.messages import Kind


class Conflict(Exception):
    """A batch was decided on rows that have changed since; nothing of it was applied."""


class Ready(msgspec.Struct, frozen=True):
    """What waits in a queue and may be granted now, by rank and age; and when the next of the others may be."""

    tasks: tuple[TaskRow, ...]
    next_at: float | None


class Store(Protocol):
    """What a backend implements, and the conformance suite checks."""

    def ledger(self) -> LedgerRow:
        """Return the crawl's own numbers."""
        ...

    def tasks(self, refs: Collection[bytes]) -> dict[bytes, TaskRow]:
        """Return those of the tasks that exist."""
        ...

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        """Return the depth of those of the tasks that exist: `tasks` would tell as much, but costs more."""
        ...

    def strangers(self, refs: Set[bytes]) -> Set[bytes]:
        """Return those that are no tasks. There are hardly ever any, and asking costs little."""
        ...

    def leases(self, ids: Collection[int]) -> dict[int, LeaseRow]:
        """Return those of the leases that exist."""
        ...

    def hosts(self, keys: Collection[str]) -> dict[str, HostRow]:
        """Return those of the hosts that exist."""
        ...

    def origins(self, origins: Collection[str]) -> dict[str, OriginRow]:
        """Return those of the origins that exist."""
        ...

    def traps(self, keys: Collection[str]) -> dict[str, TrapRow]:
        """Return those of the counts of hosts and domains that exist."""
        ...

    def leases_of(self, session: str) -> tuple[LeaseRow, ...]:
        """Return the leases of a session, oldest first."""
        ...

    def holders(self) -> frozenset[str]:
        """Return the sessions that have leases."""
        ...

    def due(self, now: float, limit: int) -> tuple[HostRow, ...]:
        """Return hosts whose `ready_at` has come, the longest due first."""
        ...

    def next_due_at(self) -> float | None:
        """Return the earliest `ready_at` of any host."""
        ...

    def ready(self, queue: str, now: float, limit: int) -> Ready:
        """Return at most `limit` PENDING tasks of a queue whose `not_before` has come, by rank and order."""
        ...

    def waiting(self, limit: int) -> tuple[TaskRow, ...]:
        """Return some PENDING tasks, whatever they wait for."""
        ...

    def walk(self, after: int, limit: int) -> tuple[TaskRow, ...]:
        """Return some tasks, whatever their state, in the order of their admission, from order `after` + 1 on."""
        ...

    def counts(self) -> dict[tuple[Kind, TaskState], int]:
        """Return how many tasks of each kind are in each state."""
        ...

    def verdicts(self) -> dict[tuple[TaskState, str], int]:
        """Return how many pages are in each state, by the reason or the outcome that led there."""
        ...

    def apply(self, changes: Sequence[Change]) -> None:
        """Take changes in order, all or none; raise `Conflict` if a row is not the predecessor of its change."""
        ...

    def close(self) -> None:
        """Let go of what is open; what was not committed is gone."""
        ...

    def commit(self, now: float) -> None:
        """Make durable all that was applied, and that crawl time has come to `now`; acks may leave then."""
        ...

    def results(self, cursor: int, limit: int) -> Sequence[Result]:
        """Return committed results from place `cursor` on, in the order of their commit."""
        ...

    def result(self, ref: bytes) -> Result | None:
        """Return the committed result of a task."""
        ...

    def result_count(self) -> int:
        """Return how many results are committed."""
        ...
