"""What each host takes of the crawl, and which hosts take most of it.

The row of each host name has its costs, also if its politeness is that of a unit. The ledger has their sum, and the few
hosts that are among the `MOST_KEPT` largest of some kind of costs: since costs only grow, a host can only become one of
them when its own costs do, so no other host has to be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from crawlfleet.coordinator.core.figures import Costs, HostCosts
from crawlfleet.coordinator.core.rows import HostRow, LedgerRow, TaskRow, succeed
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.page_cost import page_cost_s
from crawlfleet.shared.ranges import MOST, MOST_S

MOST_KEPT = 3
KINDS = Costs.__struct_fields__
# A host's costs stand out if they are at least this much, this part of all, and this many times what others have.
LEAST = Costs(pages=1_000, size_bytes=100_000_000, links=10_000, cpu_s=10.0, lookup_s=10.0)
LEAST_PART = 0.1
TIMES_OTHERS = 10
_NOTHING = Costs()
_MOST_NAMED = MOST_KEPT * len(KINDS)


class Outstanding(msgspec.Struct, frozen=True):
    """A host that took an outstanding part of the crawl: of what kind, how much, and which part of all."""

    host: str
    kind: str
    amount: float
    part: float


class Bill:
    """What the reports of a turn took. Their hosts are charged once for all of them: the rows are large."""

    def __init__(self) -> None:
        self._hosts: dict[str, Costs] = {}

    def add(self, task: TaskRow, report: Report, links: int) -> None:
        """Count what a report says that its task took, and the links that it has."""
        is_fetched = task.kind is Kind.PAGE and report.outcome is Outcome.FETCHED
        before = self._hosts.get(task.host, _NOTHING)
        self._hosts[task.host] = Costs(
            before.pages + is_fetched,
            before.size_bytes + report.size_bytes,
            before.links + links,
            before.cpu_s + report.cpu_s,
            before.lookup_s + report.lookup_s,
        )

    def charge(self, turn: Turn) -> None:
        """Charge all hosts, and begin a new bill."""
        for host, more in self._hosts.items():
            _charge(turn, existing(turn.hosts[host]), more)
        self._hosts.clear()


def _charge(turn: Turn, host: HostRow, more: Costs) -> None:
    ledger, costs = turn.ledger, _sum(host.costs, more)
    if costs == host.costs:
        return
    hosts = ledger.hosts_with_costs + (host.costs == _NOTHING)
    turn.put(succeed(host, costs=costs))
    largest = _largest_with(ledger, HostCosts(host.key, costs))
    turn.put(succeed(ledger, costs=_sum(ledger.costs, more), hosts_with_costs=hosts, **largest))


def of_page(costs: Costs) -> float:
    """Return what the pages of a host have cost so far, on average; those that were ended by a limit count, too."""
    return min(MOST_S, page_cost_s(costs.cpu_s, costs.size_bytes) / max(1, costs.pages))


def outstanding(ledger: LedgerRow) -> list[Outstanding]:
    """Return the hosts that took an outstanding part of some kind, at most `MOST_KEPT` of each, the largest first."""
    found = []
    for kind in KINDS:
        whole, least = getattr(ledger.costs, kind), getattr(LEAST, kind)
        for host, amount in _largest(ledger.costliest, kind):
            others = (whole - amount) / max(1, ledger.hosts_with_costs - 1)
            is_much = amount >= least and amount >= LEAST_PART * whole and amount >= TIMES_OTHERS * others
            if is_much and ledger.hosts_with_costs > 1:
                found.append(Outstanding(host, kind, amount, amount / whole))
    return found


def _largest_with(ledger: LedgerRow, mine: HostCosts) -> dict[str, Any]:
    """Return what changes in the ledger if the costs of a host are among the largest of some kind."""
    others = tuple(each for each in ledger.costliest if each.host != mine.host)
    if len(others) < len(ledger.costliest):
        return {"costliest": (*others, mine)}
    if not any(getattr(mine.costs, kind) > getattr(ledger.costly_from, kind) for kind in KINDS):
        return {}
    after = _pruned((*others, mine))
    return {"costliest": after, "costly_from": _least_of_largest(after)}


def _pruned(hosts: tuple[HostCosts, ...]) -> tuple[HostCosts, ...]:
    """Leave out the hosts that are not among the largest of any kind."""
    if len(hosts) <= _MOST_NAMED:
        return hosts
    named = {host for kind in KINDS for host, _ in _largest(hosts, kind)}
    return tuple(each for each in hosts if each.host in named)


def _least_of_largest(hosts: Sequence[HostCosts]) -> Costs:
    """Return from which costs on a host is among those with the largest of a kind."""
    if len(hosts) < MOST_KEPT:
        return Costs()
    least: dict[str, Any] = {kind: _largest(hosts, kind)[-1][1] for kind in KINDS}
    return Costs(**least)


def _largest(hosts: Sequence[HostCosts], kind: str) -> list[tuple[str, float]]:
    """Return the hosts with the largest costs of a kind, and those."""
    amounts = [(each.host, getattr(each.costs, kind)) for each in hosts]
    return sorted(amounts, key=lambda each: (-each[1], each[0]))[:MOST_KEPT]


def _sum(one: Costs, other: Costs) -> Costs:
    return Costs(
        min(MOST, one.pages + other.pages),
        min(MOST, one.size_bytes + other.size_bytes),
        min(MOST, one.links + other.links),
        one.cpu_s + other.cpu_s,
        one.lookup_s + other.lookup_s,
    )
