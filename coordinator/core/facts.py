"""The rows read for one decision. Later rules of the same turn see what earlier ones changed."""

from __future__ import annotations

from collections.abc import Iterable, Set

from msgspec.structs import replace

from crawlfleet.coordinator.core.changes import (
    Change,
    HostSet,
    LeaseEnded,
    LeaseSet,
    LedgerSet,
    OriginSet,
    TaskMoved,
    TrapSet,
)
from crawlfleet.coordinator.core.rows import F, HostRow, LeaseRow, LedgerRow, OriginRow, TaskRow, TrapRow


class Facts:
    """Rows by key, and the changes decided on them so far.

    A key that was read and is not in the store is None; a key that was not read raises `KeyError`, since a rule must
    never take what it was not shown for what is not there. `depths` tells of tasks whose rows nobody needs to see;
    `strangers` are those of the fingerprints that workers take for tasks which are none (None: nobody has looked).
    """

    def __init__(self, ledger: LedgerRow) -> None:
        self.tasks: dict[bytes, TaskRow | None] = {}
        self.depths: dict[bytes, int | None] = {}
        self.strangers: Set[bytes] | None = None
        self.leases: dict[int, LeaseRow | None] = {}
        self.hosts: dict[str, HostRow | None] = {}
        self.origins: dict[str, OriginRow | None] = {}
        self.traps: dict[str, TrapRow | None] = {}
        self.ledger = ledger
        self._read_ledger = ledger
        self._events: list[Change] = []
        self._read_hosts: dict[str, HostRow | None] = {}
        self._read_leases: dict[int, LeaseRow | None] = {}
        self._ended: dict[int, LeaseEnded] = {}
        self._read_traps: dict[str, TrapRow | None] = {}

    def take(self, changes: Iterable[Change]) -> None:
        """Let changes happen to these facts, and remember them."""
        for change in changes:
            kind = type(change)
            if kind is TaskMoved:
                task = change.task  # type: ignore[attr-defined]  # `kind` says so, and costs less than a match
                self.tasks[task.ref] = task
                self.depths[task.ref] = task.depth
                self._events.append(change)
            elif kind is HostSet:
                host = change.host  # type: ignore[attr-defined]  # as above
                self._read_hosts.setdefault(host.key, self.hosts[host.key])
                self.hosts[host.key] = host
            elif kind is LedgerSet:
                self.ledger = change.ledger  # type: ignore[attr-defined]  # as above
            else:
                self._take_other(change)

    @property
    def changes(self) -> list[Change]:
        """What was decided: every event in order, and the last row of each host, lease and of the ledger."""
        hosts = (HostSet(host=_after(before, self._row(key))) for key, before in self._read_hosts.items())
        leases: list[Change] = []
        for number, before in self._read_leases.items():
            lease, ended = self.leases[number], self._ended.get(number)
            if ended is not None:
                leases.append(LeaseEnded(lease=_after(before, ended.lease), why=ended.why))
            elif lease is not None:
                leases.append(LeaseSet(lease=_after(before, lease)))
        ledger = () if self.ledger is self._read_ledger else (LedgerSet(ledger=_after(self._read_ledger, self.ledger)),)
        traps = (TrapSet(trap=_after(before, self._trap(key))) for key, before in self._read_traps.items())
        return [*self._events, *leases, *hosts, *traps, *ledger]

    def host(self, key: str) -> HostRow:
        """Return a host that is known to exist, or the unit that it is asked as one with."""
        row = self._row(key)
        return self._row(row.unit) if row.unit else row

    def _row(self, key: str) -> HostRow:
        row = self.hosts[key]
        if row is None:
            raise KeyError(key)
        return row

    def _trap(self, key: str) -> TrapRow:
        row = self.traps[key]
        assert row is not None, "what was counted is there"
        return row

    def _take_other(self, change: Change) -> None:
        match change:
            case LeaseSet():
                self._read_leases.setdefault(change.lease.id, self.leases.get(change.lease.id))
                self.leases[change.lease.id] = change.lease
            case LeaseEnded():
                self._read_leases.setdefault(change.lease.id, self.leases.get(change.lease.id))
                self.leases[change.lease.id] = None
                self._ended[change.lease.id] = change
            case TrapSet():
                self._read_traps.setdefault(change.trap.key, self.traps[change.trap.key])
                self.traps[change.trap.key] = change.trap
            case OriginSet():
                self.origins[change.origin.origin] = change.origin
                self._events.append(change)
            case _:
                self._events.append(change)


def _after(before: F | None, last: F) -> F:
    """Return the last of several successors as the one successor of what was read."""
    version = 1 if before is None else before.version + 1
    return last if last.version == version else replace(last, version=version)
