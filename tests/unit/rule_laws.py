"""What must hold of the rows after any decision, whichever rule it is: what the simulator asks of a whole crawl, asked
of a few rows.

Rows of a test are a part of a crawl: some laws are broken in them from the start, since a lease or a host is left out.
So a law is a function that names what breaks it, and a decision must add no name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from crawlfleet.coordinator.core import admission
from crawlfleet.coordinator.core.changes import Change, Gone, Put, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.gates import holds_back
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import (
    ALONE_QUEUE,
    FINAL,
    Gate,
    HostRow,
    LeaseRow,
    LedgerRow,
    OriginRow,
    StoreRow,
    TaskRow,
    TaskState,
)
from crawlfleet.coordinator.core.transitions import TRANSITIONS
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.reasons import TRAPS

TOLERANCE_S = 1e-6


class Rows:
    """The rows of a test, as changes make them. It checks each change against the rows before."""

    def __init__(self) -> None:
        self.tasks: dict[bytes, TaskRow] = {}
        self.hosts: dict[str, HostRow] = {}
        self.leases: dict[int, LeaseRow] = {}
        self.origins: dict[str, OriginRow] = {}
        self.ledger = LedgerRow()

    def take(self, changes: Sequence[Change]) -> None:
        """Take changes in order."""
        for change in changes:
            match change:
                case TaskMoved():
                    self._move(change)
                case Gone(row=LeaseRow() as lease):
                    del self.leases[lease.id]
                case Put(row=row):
                    self._put(row)

    def unit_of(self, key: str) -> HostRow | None:
        """Return the row that holds a host's politeness."""
        host = self.hosts.get(key)
        return self.hosts.get(host.unit) if host is not None and host.unit else host

    def _move(self, change: TaskMoved) -> None:
        task, before = change.task, self.tasks.get(change.task.ref)
        self.tasks[task.ref] = task
        if before is not None:
            assert change.before is before.state, f"{task.url} was {before.state}, not {change.before}"
            assert TRANSITIONS[before.state, TaskEvent(change.event)] is task.state
            is_trap_asked_for = before.reason in TRAPS and task.asked
            assert task.depth <= before.depth or is_trap_asked_for, f"{task.url} is deeper than it was"
            assert task.settled[: len(before.settled)] == before.settled, f"{task.url} forgot an accepted report"

    def _put(self, row: StoreRow) -> None:
        if isinstance(row, LedgerRow):
            self.ledger = row
        elif isinstance(row, LeaseRow):
            self.leases[row.id] = row
        elif isinstance(row, HostRow):
            self.hosts[row.key] = row
        elif isinstance(row, OriginRow):
            self.origins[row.origin] = row


def broken(rows: Rows, policy: Policy) -> set[str]:
    """Name what is wrong with rows."""
    laws = (_leases(rows), _holders(rows, policy), _gaps(rows), _burden(rows, policy), _places(rows), _gates(rows))
    others = (_budgets(rows, policy), _queues(rows), _looks(rows), _asks(rows, policy))
    return {wrong for law in (*laws, *others) for wrong in law}


def _leases(rows: Rows) -> Iterator[str]:
    """A task is LEASED if and only if it is open in one lease, which is its current one; a suspect's is its alone."""
    open_in = Counter(ref for lease in rows.leases.values() for ref in lease.refs)
    for lease in rows.leases.values():
        if not lease.refs:
            yield f"lease {lease.id} has no tasks and goes on"
        if lease.alone and len(lease.refs) > 1:
            yield f"lease {lease.id} is for a suspect, and has more"
        for task in (rows.tasks[ref] for ref in lease.refs if ref in rows.tasks):
            if (task.state, task.lease) != (TaskState.LEASED, lease.id):
                yield f"lease {lease.id} has {task.url}, which is not leased under it"
            elif task.alone != lease.alone:
                yield f"lease {lease.id} has {task.url}, which is another kind of suspect"
    for task in rows.tasks.values():
        if task.state is TaskState.LEASED and open_in[task.ref] != 1:
            yield f"{task.url} is leased, and open in {open_in[task.ref]} leases"


def _holders(rows: Rows, policy: Policy) -> Iterator[str]:
    """A host is held under exactly the open leases on it; a delayed one by one session, any other within its slots."""
    for host in rows.hosts.values():
        if host.unit:
            if (host.holders, host.ready_at, host.origins) != ((), None, ()):
                yield f"{host.key} has joined a unit, and goes by itself"
            continue
        leases = {lease.id: lease for lease in rows.leases.values() if lease.host in (host.key, *host.names)}
        held = [(number, holder.session) for holder in host.holders for number, _ in holder.leases]
        for number, session in {*held} ^ {(lease.id, lease.session) for lease in leases.values()}:
            yield f"{host.key} and lease {number} of {session} do not know each other"
        if len(held) != len(dict(held)):
            yield f"{host.key} names a lease twice"
        for holder in host.holders:
            if any(lease.slots > holder.slots for lease in leases.values() if lease.session == holder.session):
                yield f"{holder.session} has more slots of {host.key} than it is known to have"
        if not host.names and any(lease.spacing_s > 0 for lease in leases.values()) and len(host.holders) != 1:
            yield f"{host.key} is delayed, but held by {len(host.holders)} sessions"
        if (
            not host.names
            and host.delay_s <= 0
            and sum(holder.slots for holder in host.holders) > policy.politeness.per_host
        ):
            yield f"{host.key} has given away more slots than there are"


def _gaps(rows: Rows) -> Iterator[str]:
    """The next start on a delayed host comes no sooner than after all that were, or were granted."""
    for host in rows.hosts.values():
        if host.delay_s <= 0 or host.unit:
            continue
        starts = [] if host.last_start_at is None else [host.last_start_at + host.delay_s]
        for lease in rows.leases.values():
            if lease.host == host.key and lease.spacing_s > 0:
                starts += [start + lease.spacing_s for ref, start in lease.starts if ref in lease.refs]
                if any(
                    start < host.hold_until - TOLERANCE_S and lease.id > host.recalled_under
                    for _, start in lease.starts
                ):
                    yield f"lease {lease.id} may start while {host.key} is held, and is not called back"
        if starts and host.next_start_at < max(starts) - TOLERANCE_S:
            yield f"{host.key} may be asked before {max(starts)}"


def _burden(rows: Rows, policy: Policy) -> Iterator[str]:
    """No session has more of a host than it can work on until it is granted more."""
    ahead_s = min(policy.tuning.ahead_s, policy.lease_s / 2)
    for host in rows.hosts.values():
        for session in {holder.session for holder in host.holders}:
            mine = [lease for lease in rows.leases.values() if (lease.session, lease.host) == (session, host.key)]
            spacing_s = min((lease.spacing_s for lease in mine), default=0.0)
            planned = int(ahead_s / spacing_s) + 1 if spacing_s > 0 else 0
            slots = policy.politeness.per_host * (
                policy.tuning.most_per_slot if host.latency_s > 0 else policy.tuning.tasks_per_slot
            )
            if sum(len(lease.refs) for lease in mine) > max(slots, planned):
                yield f"{session} has more of {host.key} than it can work on"


def _budgets(rows: Rows, policy: Policy) -> Iterator[str]:
    """A place is reserved for each page that is granted, and for nothing else; no number is below 0."""
    ledger = rows.ledger
    reserved = sum(task.reserved for task in rows.tasks.values())
    if ledger.pages_reserved != reserved:
        yield f"the ledger is off by {ledger.pages_reserved - reserved} places"
    places = ledger.pages_fetched + ledger.pages_unused + ledger.pages_reserved
    if policy.extent.pages is not None and places > policy.extent.pages:
        yield "more places are reserved than there are"
    if min(ledger.pages_reserved, ledger.pages_fetched, ledger.pages_unused, ledger.bytes_received) < 0:
        yield "the ledger counts below 0"
    for task in rows.tasks.values():
        is_page = task.kind is Kind.PAGE
        if task.reserved and not (is_page and task.state in (TaskState.PENDING, TaskState.LEASED)):
            yield f"{task.url} has a place that it does not need"
        if task.state is TaskState.LEASED and is_page and not task.reserved:
            yield f"{task.url} is leased without a place"
    for host in rows.hosts.values():
        if host.pages_reserved < 0:
            yield f"{host.key} counts below 0"


def _asks(rows: Rows, policy: Policy) -> Iterator[str]:
    """A page beyond the crawl waits only because somebody asks for it."""
    for task in rows.tasks.values():
        is_beyond = task.kind is Kind.PAGE and admission.is_beyond(task.depth, policy)
        if task.state is TaskState.PENDING and is_beyond and not task.asked:
            yield f"{task.url} waits, and nobody wants it"


def _gates(rows: Rows) -> Iterator[str]:
    """While pages wait for a robots.txt it is asked for, once; and nobody counts as waiting who does not."""
    robots = [task for task in rows.tasks.values() if task.kind is Kind.ROBOTS]
    asked = Counter(task.origin for task in robots if task.state not in FINAL)
    cut_off = {task.origin for task in robots if task.state is TaskState.DROPPED}
    for row in rows.origins.values():
        waits = row.gate is Gate.WAITING or row.rechecking
        if asked[row.origin] != waits and row.origin not in cut_off:
            yield f"{row.origin} is {'' if waits else 'not '}waited for, and asked for {asked[row.origin]} times"
    waiting = sum(row.gate is Gate.WAITING and row.failing_since is not None for row in rows.origins.values())
    if rows.ledger.robots_waits.waiting != waiting:
        yield f"the ledger is off by {rows.ledger.robots_waits.waiting - waiting} origins that wait"


def _places(rows: Rows) -> Iterator[str]:
    """What is open has a host and, but for a robots.txt, an origin; an origin is known to its host."""
    for task in rows.tasks.values():
        if task.state in FINAL:
            continue
        if rows.unit_of(task.host) is None:
            yield f"{task.url} is on no host"
        if task.kind is not Kind.ROBOTS and task.gate not in rows.origins:
            yield f"{task.url} is of no origin"
    for row in rows.origins.values():
        host = rows.unit_of(row.host)
        if host is None or row.origin not in host.origins:
            yield f"{row.origin} is not known to its host"


def _queues(rows: Rows) -> Iterator[str]:
    """A suspect waits among suspects, and nothing else does."""
    for task in rows.tasks.values():
        if task.state is TaskState.PENDING and (task.queue == ALONE_QUEUE) != task.alone:
            yield f"{task.url} waits in {task.queue}"
        if task.queue not in (ALONE_QUEUE, task.host, task.gate):
            yield f"{task.url} is in no queue of its own"


def _looks(rows: Rows) -> Iterator[str]:
    """A host on which something may be granted is looked at, by the clock or when what is held there is over."""
    for task in rows.tasks.values():
        host, gate = rows.unit_of(task.host), rows.origins.get(task.gate)
        if task.state is not TaskState.PENDING or host is None:
            continue
        is_free = task.kind is Kind.ROBOTS or task.queue != task.gate or (gate is not None and not holds_back(gate))
        if is_free and host.ready_at is None and not host.holders:
            yield f"{task.url} waits on {host.key}, where nobody looks"
