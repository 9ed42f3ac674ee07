"""Leases as workers get them: starts are relative to the receipt of the message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crawlfleet.coordinator.core import admission
from crawlfleet.coordinator.core.latest_scope import scope_of
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import LeaseRow, TaskRow
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.messages import Kind, Lease, Task
from crawlfleet.shared.web.scope import Scope

_ASKED_OF_STRANGERS = frozenset({Kind.CHECK, Kind.ROBOTS})


def as_messages(store: Frontier, leases: Sequence[LeaseRow], now: float, policy: Policy) -> tuple[Lease, ...]:
    """Return leases as messages, with starts relative to now."""
    tasks = store.rows(TaskRow, [ref for lease in leases for ref in lease.refs]) if leases else {}
    scope = scope_of(policy.scope, store.ledger().scope_hosts) if policy.links.check_external else None
    return tuple(_as_message(lease, tasks, now, policy, scope) for lease in leases)


def _as_message(
    lease: LeaseRow, rows: Mapping[bytes, TaskRow], now: float, policy: Policy, scope: Scope | None
) -> Lease:
    starts = dict(lease.starts)
    tasks = tuple(
        Task(
            ref=ref,
            kind=rows[ref].kind,
            url=rows[ref].url,
            depth=rows[ref].depth,
            attempt=rows[ref].attempt,
            start_after_s=max(0.0, starts[ref] - now),
            by_get=rows[ref].by_get,
            bare=scope is not None and rows[ref].kind in _ASKED_OF_STRANGERS and not scope.has_host(rows[ref].host),
            leads_on=rows[ref].kind is not Kind.PAGE or not admission.is_beyond(rows[ref].depth, policy),
        )
        for ref in lease.refs
    )
    return Lease(
        id=lease.id,
        host=lease.host,
        tasks=tasks,
        spacing_s=lease.spacing_s,
        slots=lease.slots,
        page_cost_s=lease.page_cost_s,
    )
