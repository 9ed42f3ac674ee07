"""A store that counts its calls: those that may cost a round trip, were it behind a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.rows import R
from crawlfleet.coordinator.core.turn import Ready
from crawlfleet.coordinator.frontier.memory.store import MemoryStore


class CountingStore(MemoryStore):
    """A store in memory; `calls` are the names of what it was asked, rows by their kind.

    `keys` is how many rows, depths and queues it was asked for, `changes` how many changes it was given.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.calls: Counter[str] = Counter()
        self.keys = 0
        self.changes = 0

    def rows(self, kind: type[R], keys: Collection[Any]) -> dict[Any, R]:
        self.calls[kind.__name__] += 1
        self.keys += len(keys)
        return super().rows(kind, keys)

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        self.calls["depths"] += 1
        self.keys += len(refs)
        return super().depths(refs)

    def strangers(self, refs: Set[bytes]) -> Set[bytes]:
        self.calls["strangers"] += 1
        return super().strangers(refs)

    def ready(self, limits: Mapping[str, int], now: float) -> dict[str, Ready]:
        self.calls["ready"] += 1
        self.keys += len(limits)
        return super().ready(limits, now)

    def apply(self, changes: Sequence[Change]) -> None:
        if changes:
            self.calls["apply"] += 1
            self.changes += len(changes)
        super().apply(changes)
