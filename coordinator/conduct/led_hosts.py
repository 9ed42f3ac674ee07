"""Whose links are admitted next: the hosts with links that wait take turns. Their order is not stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from crawlfleet.coordinator.core.changes import Change, Put
from crawlfleet.coordinator.core.later_rows import LeadOnRow
from crawlfleet.coordinator.frontier.port import Frontier


class LedHosts:
    """The hosts of all `LeadOnRow`s, the one that is next first."""

    def __init__(self, store: Frontier) -> None:
        self._store = store
        self._hosts = dict.fromkeys(row.host for row in store.resident(LeadOnRow))

    def __bool__(self) -> bool:
        return bool(self._hosts)

    def note(self, changes: Sequence[Change]) -> None:
        """Find hosts in the changes that the store has taken."""
        for change in changes:
            if type(change) is Put and type(change.row) is LeadOnRow:
                self._hosts.setdefault(change.row.host)

    def first(self, number: int) -> list[str]:
        """Return the hosts that are next."""
        return list(islice(self._hosts, number))

    def went_on(self, hosts: Collection[str]) -> None:
        """Let hosts go last, or, if nothing of them waits any more, go."""
        for host in hosts:
            del self._hosts[host]
            if next(iter(self._store.family(LeadOnRow, host)), None) is not None:
                self._hosts[host] = None
