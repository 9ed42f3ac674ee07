"""Leases as workers get them: starts are relative to the receipt of the message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crawlfleet.coordinator.core import admission, reach
from crawlfleet.coordinator.core.latest_scope import scope_of
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, TaskRow
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.messages import Kind, Lease, Task
from crawlfleet.shared.web.scope import Scope

_ASKED_OF_STRANGERS = frozenset({Kind.CHECK, Kind.ROBOTS})


def as_messages(store: Frontier, leases: Sequence[LeaseRow], now: float, policy: Policy) -> tuple[Lease, ...]:
    """Return leases as messages, with starts relative to now."""
    tasks = store.rows(TaskRow, [ref for lease in leases for ref in lease.refs]) if leases else {}
    hosts = store.rows(HostRow, {task.host for task in tasks.values()}) if tasks else {}
    scope = scope_of(policy.scope, store.ledger().scope_hosts) if policy.links.check_external else None
    return tuple(_as_message(lease, tasks, hosts, now, policy, scope) for lease in leases)


def _as_message(
    lease: LeaseRow,
    rows: Mapping[bytes, TaskRow],
    hosts: Mapping[str, HostRow],
    now: float,
    policy: Policy,
    scope: Scope | None,
) -> Lease:
    starts = dict(lease.starts)
    tasks = tuple(
        Task(
            ref=row.ref,
            kind=row.kind,
            url=row.url,
            depth=row.depth,
            attempt=row.attempt,
            start_after_s=max(0.0, starts[row.ref] - now),
            by_get=row.by_get,
            bare=scope is not None and row.kind in _ASKED_OF_STRANGERS and not scope.has_host(row.host),
            inside=reach.inside(hosts[row.host], row.url),
            first=reach.is_first(hosts[row.host], row.url),
            leads_on=row.kind is not Kind.PAGE or not admission.is_beyond(row.depth, policy),
        )
        for row in map(rows.__getitem__, lease.refs)
    )
    return Lease(
        id=lease.id,
        host=lease.host,
        tasks=tasks,
        spacing_s=lease.spacing_s,
        slots=lease.slots,
        page_cost_s=lease.page_cost_s,
    )
