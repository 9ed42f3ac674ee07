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
from crawlfleet.coordinator.core.unit_rows import AskedDelayRow
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
        self.asked: dict[str, AskedDelayRow] = {}
        self.ledger = LedgerRow()

    def take(self, changes: Sequence[Change]) -> None:
        """Take changes in order."""
        for change in changes:
            match change:
                case TaskMoved():
                    self._move(change)
                case Gone(row=LeaseRow() as lease):
                    del self.leases[lease.id]
                case Gone(row=AskedDelayRow() as asked):
                    del self.asked[asked.key]
                case Put(row=row):
                    self._put(row)

    def unit_of(self, key: str) -> HostRow | None:
        """Return the row that holds a host's politeness."""
        host = self.hosts.get(key)
        return self.hosts.get(host.unit) if host is not None and host.unit else host

    def names_of(self, host: HostRow) -> list[str]:
        """Return the names of a host and of those that joined it."""
        return [host.key, *(each.key for each in self.hosts.values() if each.unit == host.key)]

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
        elif isinstance(row, AskedDelayRow):
            self.asked[row.key] = row


def broken(rows: Rows, policy: Policy) -> set[str]:
    """Name what is wrong with rows."""
    laws = (_leases(rows), _holders(rows, policy), _gaps(rows), _burden(rows, policy), _places(rows), _gates(rows))
    others = (_budgets(rows, policy), _queues(rows), _looks(rows), _asks(rows, policy), _delays(rows), _units(rows))
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
            if host.holders:
                yield f"{host.key} has joined a unit, and goes by itself"
            continue
        names = rows.names_of(host)
        leases = {lease.id: lease for lease in rows.leases.values() if lease.host in names}
        held = [(number, holder.session) for holder in host.holders for number, _ in holder.leases]
        for number, session in {*held} ^ {(lease.id, lease.session) for lease in leases.values()}:
            yield f"{host.key} and lease {number} of {session} do not know each other"
        if len(held) != len(dict(held)):
            yield f"{host.key} names a lease twice"
        for holder in host.holders:
            if any(lease.slots > holder.slots for lease in leases.values() if lease.session == holder.session):
                yield f"{holder.session} has more slots of {host.key} than it is known to have"
        if not host.is_unit and any(lease.spacing_s > 0 for lease in leases.values()) and len(host.holders) != 1:
            yield f"{host.key} is delayed, but held by {len(host.holders)} sessions"
        if (
            not host.is_unit
            and host.delay_s <= 0
            and sum(holder.slots for holder in host.holders) > policy.politeness.per_host
        ):
            yield f"{host.key} has given away more slots than there are"


def _units(rows: Rows) -> Iterator[str]:
    """A unit knows that it is one, and is in no other."""
    for host in rows.hosts.values():
        if host.is_unit and host.unit:
            yield f"{host.key} is a unit, and in one"
        if len(rows.names_of(host)) > 1 and not host.is_unit:
            yield f"{host.key} does not know that others have joined it"


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
        host = rows.hosts.get(row.host)
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
        own = rows.hosts[task.host]
        if is_free and own.unit and own.ready_at is None and not task.alone:
            yield f"{task.url} waits on {own.key}, where its unit does not look"


def _delays(rows: Rows) -> Iterator[str]:
    """The delays that the hosts of a unit ask for are counted, and no host has a shorter one than any of them."""
    hosts = {row.origin: rows.hosts[row.host] for row in rows.origins.values() if row.host in rows.hosts}
    asked = Counter((host.unit, rows.origins[at].asked_delay_s) for at, host in hosts.items() if host.unit)
    counted = {(row.unit, row.delay_s): row.files for row in rows.asked.values()}
    for unit, delay_s in counted.keys() | asked.keys():
        number = asked[unit, delay_s] if delay_s > 0 else 0
        if counted.get((unit, delay_s), 0) != number:
            yield f"{unit} counts another number of files that ask for {delay_s}"
    for at, host in hosts.items():
        unit_row = rows.hosts.get(host.unit or host.key)
        if unit_row is not None and (unit_row.asked_s or 0.0) < rows.origins[at].asked_delay_s:
            yield f"{unit_row.key} goes faster than {at} asks for"
