"""The rows read for one decision. Later rules of the same turn see what earlier ones changed."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.core.changes import (
    Change,
    HostSet,
    LeaseEnded,
    LeaseSet,
    LedgerSet,
    OriginSet,
    TaskMoved,
)
from coordinator.core.rows import HostRow, LeaseRow, LedgerRow, OriginRow, TaskRow


class Facts:
    """Rows by key, and the changes decided on them so far.

    A key that was read and is not in the store is None; a key that was not read raises `KeyError`, since a rule must
    never take what it was not shown for what is not there.
    """

    def __init__(self, ledger: LedgerRow) -> None:
        self.tasks: dict[bytes, TaskRow | None] = {}
        self.leases: dict[int, LeaseRow | None] = {}
        self.hosts: dict[str, HostRow | None] = {}
        self.origins: dict[str, OriginRow | None] = {}
        self.ledger = ledger
        self.changes: list[Change] = []

    def take(self, changes: Iterable[Change]) -> None:
        """Let changes happen to these facts, and remember them in order."""
        for change in changes:
            self._fold(change)
            self.changes.append(change)

    def host(self, key: str) -> HostRow:
        """Return a host that is known to exist."""
        row = self.hosts[key]
        if row is None:
            raise KeyError(key)
        return row

    def _fold(self, change: Change) -> None:
        match change:
            case TaskMoved():
                self.tasks[change.task.ref] = change.task
            case HostSet():
                self.hosts[change.host.key] = change.host
            case LedgerSet():
                self.ledger = change.ledger
            case LeaseSet():
                self.leases[change.lease.id] = change.lease
            case LeaseEnded():
                self.leases[change.lease.id] = None
            case OriginSet():
                self.origins[change.origin.origin] = change.origin
            case _:
                pass
