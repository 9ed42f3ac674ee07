"""The index of due hosts: which to check now. It is the only index of hosts that a store keeps in memory."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from math import inf

from crawlfleet.coordinator.core.rows import HostRow


class DueHosts:
    """Heaps of (time, host) with lazy deletion: one of the hosts that are in no unit, one of the hosts of each unit.

    An entry counts only while it is its host's `ready_at`, and the host is in that unit.
    """

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[float, str]]] = {}

    def note(self, host: HostRow, before: HostRow | None) -> None:
        """Add a host's new row; `before` is its previous one."""
        if host.ready_at is None:
            return
        if before is None or before.ready_at != host.ready_at or before.unit != host.unit:
            heappush(self._heaps.setdefault(host.unit, []), (host.ready_at, host.key))

    def due(self, hosts: Mapping[str, HostRow], now: float, limit: int) -> tuple[HostRow, ...]:
        """Return hosts in no unit, and units, whose time has come, the longest due first. They stay in the index."""
        return self._first(hosts, "", now, limit)

    def hosts_of(self, hosts: Mapping[str, HostRow], unit: str, limit: int) -> tuple[HostRow, ...]:
        """Return hosts of a unit with a time, the earliest first. They stay in the index."""
        return self._first(hosts, unit, inf, limit)

    def next_at(self, hosts: Mapping[str, HostRow]) -> float | None:
        """Return the earliest time of any host in no unit, or unit."""
        first = self._first(hosts, "", inf, 1)
        return first[0].ready_at if first else None

    def _first(self, hosts: Mapping[str, HostRow], unit: str, until: float, limit: int) -> tuple[HostRow, ...]:
        heap = self._heaps.pop(unit, [])
        found: dict[str, HostRow] = {}
        while heap and heap[0][0] <= until and len(found) < limit:
            at, key = heappop(heap)
            host = hosts.get(key)
            if host is not None and host.ready_at == at and host.unit == unit:
                found[key] = host
        if heap:
            self._heaps[unit] = heap
        for host in found.values():
            self.note(host, None)
        return tuple(found.values())
