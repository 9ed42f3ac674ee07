"""Whose links are admitted next: the hosts with links that wait take turns. Their order is not stored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice

from crawlfleet.coordinator.conduct.turns import Turns
from crawlfleet.coordinator.core import leading_on
from crawlfleet.coordinator.core.changes import Change, Put
from crawlfleet.coordinator.core.later_rows import LeadOnRow
from crawlfleet.coordinator.frontier.port import Frontier

HOSTS_PER_TURN = 10


class LedHosts:
    """The hosts of all `LeadOnRow`s, the one that is next first."""

    def __init__(self, store: Frontier) -> None:
        self._store = store
        self._hosts = dict.fromkeys(row.host for row in store.resident(LeadOnRow))

    def __bool__(self) -> bool:
        return bool(self._hosts)

    def note(self, changes: Sequence[Change]) -> None:
        """Find hosts in the changes that the store has taken."""
        for row in [change.row for change in changes if type(change) is Put]:
            if type(row) is LeadOnRow:
                self._hosts.setdefault(row.host)

    def lead_on(self, turns: Turns, most: int, now: float) -> None:
        """Admit some of the links of the hosts that are next. They go last then, or, if no more of theirs wait, go."""
        hosts = list(islice(self._hosts, HOSTS_PER_TURN))
        if hosts:
            turns.run(partial(leading_on.lead_on, hosts=hosts, most=most), now)
        for host in hosts:
            del self._hosts[host]
            if next(iter(self._store.family(LeadOnRow, host)), None) is not None:
                self._hosts[host] = None
