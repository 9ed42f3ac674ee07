"""What one commit writes: rows as they are encoded, and entries of queues.

A batch is its database's once its commit begins: it may be changed there, and nobody else reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crawlfleet.coordinator.core.rows import StoreRow
from crawlfleet.coordinator.frontier.versions import Key
from crawlfleet.shared.messages import Kind

#: The keys of what every database keeps in its `meta`, apart from what is its own.
LEDGER = "ledger"
COUNTS = "counts"


def verdicts_key(kind: Kind) -> str:
    """Return the key of the counted verdicts of a kind of tasks."""
    return "verdicts" if kind is Kind.PAGE else f"verdicts of {kind}"


def kept_key(key: str) -> str:
    """Return the key of a value that is kept besides the rows."""
    return f"kept:{key}"


class NewRows(NamedTuple):
    """What is written of one kind of rows: (key, row), of hosts (key, is active, row); and keys that are removed.

    A row takes the place of the one with its key, if there is one; a key that is removed may be missing.
    """

    values: list[tuple[Any, ...]]
    gone: list[Key]


@dataclass(slots=True, kw_only=True)
class Batch:
    """The changes of one commit, in no order but that of their fields: all of them or none become durable.

    Tasks are named by their order, which is their place in the order of admission; `ref` is their fingerprint.
    """

    #: The number of the commit: one more than that of the one before, unless it has nothing else.
    number: int
    #: Crawl time.
    at: float
    #: New tasks: order, ref, depth, row; by order.
    born: list[tuple[int, bytes, int, bytes]] = field(default_factory=list)
    #: New rows of tasks: order, row; by order. None of them is `born`.
    changed: list[tuple[int, bytes]] = field(default_factory=list)
    #: New depths of tasks: order, depth. Each of them is `changed`, too.
    lowered: list[tuple[int, int]] = field(default_factory=list)
    #: Rows of all other kinds.
    rows: dict[type[StoreRow], NewRows] = field(default_factory=dict)
    #: Entries of queues: queue, rank, order; or queue, the time before which the task is not granted, order. What goes
    #: may be missing, what comes may be there already. An entry that comes is not among those that go.
    ready_gone: list[tuple[str, int, int]] = field(default_factory=list)
    ready: list[tuple[str, int, int]] = field(default_factory=list)
    later_gone: list[tuple[str, float, int]] = field(default_factory=list)
    later: list[tuple[str, float, int]] = field(default_factory=list)
    #: The block of the story; None if no task has changed.
    story: bytes | None = None
    #: Results: place in the committed log, from 1 on without gaps; order of the task, row.
    results: list[tuple[int, int, bytes]] = field(default_factory=list)
    #: Links of pages: order of the task, packed links. They take the place of those that are there.
    links: list[tuple[int, bytes]] = field(default_factory=list)
    #: Values that take the place of those that are there.
    meta: list[tuple[str, bytes]] = field(default_factory=list)
