"""The index of due hosts: which to check now. It is the only index that a store keeps in memory."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush

from crawlfleet.coordinator.core.rows import HostRow


class DueHosts:
    """A heap of (time, host) with lazy deletion: an entry counts only while it is its host's `ready_at`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []

    def note(self, host: HostRow, before: HostRow | None) -> None:
        """Add a host's new row; `before` is its previous one."""
        if host.ready_at is not None and (before is None or before.ready_at != host.ready_at):
            heappush(self._heap, (host.ready_at, host.key))

    def due(self, hosts: Mapping[str, HostRow], now: float, limit: int) -> tuple[HostRow, ...]:
        """Return hosts whose time has come, the longest due first. They stay in the index."""
        found: dict[str, HostRow] = {}
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            at, key = heappop(self._heap)
            host = hosts.get(key)
            if host is not None and host.ready_at == at:
                found[key] = host
        for host in found.values():
            self.note(host, None)
        return tuple(found.values())

    def next_at(self, hosts: Mapping[str, HostRow]) -> float | None:
        """Return the earliest time of any host."""
        while self._heap:
            at, key = self._heap[0]
            host = hosts.get(key)
            if host is not None and host.ready_at == at:
                return at
            heappop(self._heap)
        return None
