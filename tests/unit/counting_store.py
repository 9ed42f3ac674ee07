"""A store that counts its calls: those that may cost a round trip, were it behind a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

import msgspec

from crawlfleet.coordinator.core.changes import Change, Put
from crawlfleet.coordinator.core.rows import HostRow, R
from crawlfleet.coordinator.core.turn import Ready
from crawlfleet.coordinator.frontier.memory.store import MemoryStore

_encode = msgspec.msgpack.Encoder().encode


class CountingStore(MemoryStore):
    """A store in memory; `calls` are the names of what it was asked, rows by their kind.

    `keys` is how many rows, depths and queues it was asked for, `changes` how many changes it was given, and
    `size_bytes` how large the rows are that it was given. It counts the hosts of units that it finds as keys, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.calls: Counter[str] = Counter()
        self.keys = 0
        self.changes = 0
        self.size_bytes = 0

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

    def hosts_of(self, unit: str, limit: int) -> tuple[HostRow, ...]:
        found = super().hosts_of(unit, limit)
        self.keys += len(found)
        return found

    def apply(self, changes: Sequence[Change]) -> None:
        if changes:
            self.calls["apply"] += 1
            self.changes += len(changes)
            self.size_bytes += sum(len(_encode(change.row)) for change in changes if isinstance(change, Put))
        super().apply(changes)
