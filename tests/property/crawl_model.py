"""A crawl in simulated time: the real service and store, with all that must hold of them after every step.

`Mirror` folds the journalled changes, so that log and store can be compared. `World` drives the service as its loop
does (a call, then a flush) and judges every answer. `invariants` is what holds at any moment, `verdict` what holds at
the end. `SimWorker` lives in `sim_worker`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import msgspec

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.budget import had_body
from crawlfleet.coordinator.core.changes import Change, Gone, Put, Recorded, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.figures import Costs
from crawlfleet.coordinator.core.gates import NOT_HAD, holds_back
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, KeptPartRow, LeadOnRow, SeedLineRow
from crawlfleet.coordinator.core.latest_scope import scope_of
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.pool_rows import PoolRow
from crawlfleet.coordinator.core.rows import (
    FINAL,
    NOT_REACHED,
    Gate,
    HostRow,
    LeaseRow,
    LedgerRow,
    OriginRow,
    Result,
    StoreRow,
    TaskRow,
    TaskState,
)
from crawlfleet.coordinator.core.transitions import TRANSITIONS
from crawlfleet.coordinator.core.unit_rows import AskedDelayRow
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.messages import (
    Ack,
    AckState,
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Kind,
    Outcome,
    Report,
    Welcome,
)
from crawlfleet.shared.pools import AskReply, AskRequest
from crawlfleet.shared.reasons import LIMITS, SHORTAGES, TRAPS, Reason
from crawlfleet.shared.web.urls import host_key, origin
from tests.property.crawl_program import asked_invariants, asked_verdict, is_out, pages_of
from tests.property.crawl_site import Robots, Site

T = TypeVar("T")

TOLERANCE_S = 1e-6


class Mirror:
    """What the journal received, folded into rows. It checks each change against the one before."""

    def __init__(self) -> None:
        self.tasks: dict[bytes, TaskRow] = {}
        self.leases: dict[int, LeaseRow] = {}
        self.hosts: dict[str, HostRow] = {}
        self.origins: dict[str, OriginRow] = {}
        self.others: defaultdict[type[StoreRow], dict[Any, StoreRow]] = defaultdict(dict)
        self.gates: defaultdict[str, set[Gate]] = defaultdict(set)
        self.ledger = LedgerRow()
        self.results: list[Result] = []
        self.changes = 0
        self.alone_losses: Counter[bytes] = Counter()
        # Pages that have led on, failed because a machine lacked something, and were taken up again.
        self.have_led: set[bytes] = set()
        self.accepted: Counter[tuple[bytes, int]] = Counter()
        # Checks that have become pages, by the lost lease under which a report might still have come.
        self.overtaken: set[tuple[bytes, int]] = set()

    def __call__(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.changes += 1
            self._fold(change)

    def _fold(self, change: Change) -> None:
        match change:
            case TaskMoved():
                self._move(change)
            case Put(row=HostRow() as host):
                self._put_host(host)
            case Put(row=LeaseRow() as lease):
                self._check_grant(lease)
                self.leases[lease.id] = lease
            case Gone(row=LeaseRow() as lease):
                self._end(lease, change.why)
            case Put(row=OriginRow() as origin):
                self.origins[origin.origin] = origin
                self.gates[origin.origin].add(origin.gate)
            case Put(
                row=KeptLinksRow() | KeptPartRow() | LeadOnRow() | PoolRow() | AskedDelayRow() | SeedLineRow() as row
            ):
                self.others[type(row)][row.key] = row
            case Gone(row=KeptLinksRow() | KeptPartRow() | LeadOnRow() | PoolRow() | AskedDelayRow() as row):
                del self.others[type(row)][row.key]
            case Put(row=LedgerRow() as ledger):
                self.ledger = ledger
            case Recorded():
                self.results.append(change.result)

    def _put_host(self, host: HostRow) -> None:
        known = self.hosts.get(host.key)
        if known is not None and known.first_addresses is not None:
            assert host.first_addresses == known.first_addresses, f"{host.key} has a second first answer"
        self.hosts[host.key] = host

    def _move(self, change: TaskMoved) -> None:
        task, before = change.task, self.tasks.get(change.task.ref)
        state = before.state if before is not None else None
        assert change.before == state, f"{task.url} was {state}, not {change.before}"
        assert TRANSITIONS[state, TaskEvent(change.event)] is task.state
        if before is not None and before.state in FINAL:
            _check_final_stays(before, change)
        if state is TaskState.FAILED and change.event == TaskEvent.REVIVED:
            self.alone_losses[task.ref] = 0
            if before is not None and before.reason == Reason.HOOK_DISK:
                self.have_led.add(task.ref)
        if change.event == TaskEvent.POISONED:
            assert self.alone_losses[task.ref] >= 2, f"{task.url} is innocent"
        if before is not None and len(task.settled) > len(before.settled):
            self.accepted[task.ref, task.settled[-1]] += 1
        assert before is None or before.kind is task.kind or change.event == TaskEvent.ADOPTED
        if before is not None and before.lease not in (0, *before.settled) and change.event == TaskEvent.ADOPTED:
            self.overtaken.add((task.ref, before.lease))
        self.tasks[task.ref] = task

    def _check_grant(self, lease: LeaseRow) -> None:
        if lease.id in self.leases:
            return
        host = self.hosts[lease.host]
        for _, start in lease.starts:
            assert start >= host.hold_until - TOLERANCE_S, f"granted on {host.key} while it is held"

    def _end(self, last: LeaseRow, why: str) -> None:
        lease = self.leases.pop(last.id)
        if why == "lost" and lease.alone:
            self.alone_losses.update(lease.refs)


def _check_final_stays(before: TaskRow, change: TaskMoved) -> None:
    """A final page is found nearer, or led on from. What was DROPPED for being beyond the crawl is revived by that, or
    when it is asked for.

    A robots.txt is asked for again, and so is a page for which a machine lacked something, or
    whose robots.txt was not had.
    """
    after = change.task
    if change.event == TaskEvent.RECHECKED:
        assert before.kind is Kind.ROBOTS
        return
    if change.event == TaskEvent.ADOPTED:
        assert (before.kind, after.kind, after.attempt, after.by_get) == (Kind.CHECK, Kind.PAGE, 0, False)
        assert after.depth <= before.depth
        return
    if change.event == TaskEvent.LISTED:
        assert (after.state, after.depth, after.outcome) == (before.state, before.depth, before.outcome)
        return
    assert change.event in (TaskEvent.LOWERED, TaskEvent.REVIVED), f"{before.url}: {change.event} after its end"
    if change.event == TaskEvent.LOWERED:
        assert after.depth < before.depth
        return
    if before.state is TaskState.FAILED:
        assert before.reason in SHORTAGES, f"{before.url} is taken up again: {before.reason}"
        assert (after.depth, after.attempt, after.deaths, after.alone) == (before.depth, 0, 0, False)
        return
    assert before.state is TaskState.DROPPED
    if before.reason in NOT_HAD:
        assert after.depth == before.depth
        return
    assert before.reason in {Reason.DEPTH, Reason.CANCELLED, *TRAPS}, f"{before.url} is revived: {before.reason}"
    stays = after.depth == (NOT_REACHED if before.reason in TRAPS else before.depth)
    assert after.depth < before.depth or (after.asked and stays)


class World:
    """One crawl: service, store, mirror, and crawl time."""

    def __init__(self, store: Store, policy: Policy, site: Site) -> None:
        self.now = 0.0
        self.site = site
        self.policy = policy
        self.store = store
        self.mirror = Mirror()
        self.service = Service(store, policy, Brief(job="sim", scope=policy.scope), epoch=1, journal=self.mirror)
        self.last_start_at: dict[str, float] = {}
        self.accepted: list[Report] = []
        self.finished = False
        self.wished: set[str] = set()
        self.followed: set[str] = set()
        self.lines_read = 0
        self.do(lambda now: self.service.add_seeds(site.seeds(), now, site.maps()))

    def do(self, call: Callable[[float], T], flush: bool = True) -> T:
        """Make one call as the loop does."""
        answer = call(self.now)
        if flush:
            self.service.flush(self.now)
        return answer

    def advance(self, seconds: float, flush: bool = True) -> None:
        """Let time pass."""
        self.now += seconds
        if flush:
            self.service.flush(self.now)

    def hello(self, hello: Hello) -> Welcome:
        """Open a session."""
        return self.do(lambda now: self.service.hello(hello, now))

    def exchange(self, request: ExchangeRequest) -> ExchangeAnswer:
        """Exchange once; every ack must be what the mirror says it must be."""
        expected = [self._ack_of(report, request.session) for report in request.reports]
        before = self.mirror.changes
        answer = self.do(lambda now: self.service.exchange(request, now), flush=False)
        if answer.known:
            assert [(ack.lease, ack.ref) for ack in answer.acks] == [(r.lease, r.ref) for r in request.reports]
            self._judge(request, expected, answer.acks)
            self._check_recalled(request.session, answer)
            if not request.want and not request.released and not any(ack in ("new", "part") for ack in expected):
                assert self.mirror.changes == before, "a report that does not count changed something"
        self.service.flush(self.now)
        assert not (self.finished and answer.leases), "a lease after the end"
        self.finished = self.finished or answer.finished
        return answer

    def ask(self, request: AskRequest) -> AskReply:
        """Ask for pages."""
        reply = self.do(lambda now: self.service.pools.ask(request, now))
        self.wished |= pages_of(self.site, request, reply)
        self.followed |= pages_of(self.site, request, reply, only_followed=True)
        return reply

    def started(self, host: str, spacing_s: float) -> None:
        """Note a start on a host; it must not come too soon after the last one, whoever made that."""
        last = self.last_start_at.get(host)
        if last is not None:
            gap = self.now - last
            assert gap >= spacing_s - TOLERANCE_S, f"{host} was asked again after {gap} s, not {spacing_s} s"
        self.last_start_at[host] = self.now

    def _check_recalled(self, session: str, answer: ExchangeAnswer) -> None:
        """What was to start on a host before the time until which it is held now must be called back."""
        for lease in self.mirror.leases.values():
            host = self.mirror.hosts[lease.host]
            unit = self.mirror.hosts[host.unit] if host.unit else host
            early = [ref for ref, start in lease.starts if ref in lease.refs and start < unit.hold_until - TOLERANCE_S]
            assert not early or lease.session != session or lease.id in answer.recalled, f"lease {lease.id} goes on"

    def _ack_of(self, report: Report, session: str) -> str:
        """Return what the ack of a report must be: `new` for one that counts, `part` for a part that is kept."""
        task = self.mirror.tasks.get(report.ref)
        if task is None:
            return AckState.REJECTED
        if report.lease in task.settled:
            return AckState.OK
        lease = self.mirror.leases.get(report.lease)
        is_of_parts = task.kind is Kind.PAGE and bool(report.part or report.place)
        current = task.state not in FINAL and report.lease > 0 and task.lease == report.lease
        if not current or (lease is None and is_of_parts) or (lease is not None and lease.session != session):
            return AckState.STALE
        if lease is not None and is_of_parts:
            here = sum(len(kept.orders) for kept in lease.parts if kept.ref == report.ref)
            if report.place > here or (report.more and report.place < here):
                return AckState.MORE
        return "part" if is_of_parts and report.more else "new"

    def _judge(self, request: ExchangeRequest, expected: list[str], acks: tuple[Ack, ...]) -> None:
        """An earlier report of the request may make a page of a check: then what was heard of that counts no more."""
        for place, report in enumerate(request.reports):
            if expected[place] == "new" and (report.ref, report.lease) in self.mirror.overtaken:
                expected[place] = AckState.STALE
        for report, wanted, ack in zip(request.reports, expected, acks, strict=True):
            due = {"new": AckState.OK, "part": AckState.MORE}.get(wanted, wanted)
            assert ack.state == due, f"{ack}, expected {wanted}"
            if wanted == "new":
                assert report.more or self.mirror.accepted[report.ref, report.lease] == 1
                self.accepted.append(report)


def invariants(world: World) -> None:
    """Check all that holds at any moment."""
    store, mirror = world.store, world.mirror
    _check_store_is_mirrored(store, mirror)
    _check_leases(store, mirror)
    _check_budget(store, mirror, world.policy)
    _check_gates(mirror)
    _check_links_waiting(mirror)
    _check_parts(mirror)
    _check_known(mirror, world.policy)
    _check_costs(mirror)
    _check_units(mirror)
    for host in mirror.hosts.values():
        _check_host(host, mirror, world.policy)
    asked_invariants(world)


def _check_links_waiting(mirror: Mirror) -> None:
    """A host counts the links of its pages that wait."""
    waiting: Counter[str] = Counter()
    for row in mirror.others[LeadOnRow].values():
        assert isinstance(row, LeadOnRow)
        assert row.host == mirror.tasks[row.ref].host
        host = mirror.hosts[row.host]
        waiting[host.unit or host.key] += row.waiting
    assert {host.key: host.links_waiting for host in mirror.hosts.values() if host.links_waiting} == +waiting


def _check_parts(mirror: Mirror) -> None:
    """Of reports that are not whole, what is here belongs to an open task of an open lease: nothing else is kept."""
    kept = [(lease, each) for lease in mirror.leases.values() for each in lease.parts]
    rows = mirror.others[KeptPartRow]
    assert sorted(order for _, each in kept for order in each.orders) == sorted(rows)
    for lease, each in kept:
        assert each.ref in lease.refs
        pieces = [rows[order] for order in each.orders]
        assert each.size_bytes == sum(len(row.data) for row in pieces if isinstance(row, KeptPartRow))


def _check_known(mirror: Mirror, policy: Policy) -> None:
    """Each host counts its known URLs; beyond the limit there are only those that are always admitted."""
    tasks = [task for task in mirror.tasks.values() if task.kind is not Kind.ROBOTS]
    known = Counter(task.host for task in tasks)
    assert {host.key: host.known for host in mirror.hosts.values() if host.known} == known
    limited = Counter(task.host for task in tasks if not (task.seed or task.hops or task.asked or task.depth == 0))
    assert all(number <= policy.limits.known_per_host for number in limited.values())
    full = [host for host in mirror.hosts.values() if host.beyond]
    assert (mirror.ledger.full.hosts, mirror.ledger.full.links) == (len(full), sum(host.beyond for host in full))


def _check_costs(mirror: Mirror) -> None:
    """What the hosts took is what all took, and those that took most of it are known."""
    found = {host.key: host.costs for host in mirror.hosts.values() if host.costs != Costs()}
    ledger = mirror.ledger
    assert ledger.hosts_with_costs == len(found)
    assert ledger.costs.pages == ledger.pages_fetched
    named = {each.host: each.costs for each in ledger.costliest}
    for kind in Costs.__struct_fields__:
        amounts = sorted((getattr(costs, kind) for costs in found.values()), reverse=True)
        assert getattr(ledger.costs, kind) == sum(amounts)
        assert sorted((getattr(costs, kind) for costs in named.values()), reverse=True)[:3] == amounts[:3]
    assert named.items() <= found.items()


def _check_units(mirror: Mirror) -> None:
    """Origins are named by their host; delays are counted of the hosts of units; what may be granted is looked at."""
    asked: Counter[tuple[str, float]] = Counter()
    for row in mirror.origins.values():
        host = mirror.hosts[row.host]
        assert row.origin in host.origins
        if host.unit and row.asked_delay_s > 0:
            asked[host.unit, row.asked_delay_s] += 1
        assert (mirror.hosts[host.unit or host.key].asked_s or 0.0) >= row.asked_delay_s, f"{host} is asked too fast"
    counted = mirror.others[AskedDelayRow].values()
    assert {(row.unit, row.delay_s): row.files for row in counted if isinstance(row, AskedDelayRow)} == asked
    for task in mirror.tasks.values():
        own = mirror.hosts[task.host] if task.state is TaskState.PENDING and not task.alone else None
        if own is not None and own.unit and (task.queue == task.host or not _is_shut(mirror, task)):
            assert own.ready_at is not None, f"{task.url} waits on {own.key}, where its unit does not look"
            unit = mirror.hosts[own.unit]
            is_held = unit.holders or unit.links_waiting
            assert unit.ready_at is not None or is_held, f"{task.url} waits on {unit.key}, where nobody looks"


def _is_shut(mirror: Mirror, task: TaskRow) -> bool:
    """Say whether a task waits for a robots.txt."""
    return holds_back(mirror.origins[task.gate])


def _check_store_is_mirrored(store: Store, mirror: Mirror) -> None:
    assert store.rows(TaskRow, list(mirror.tasks)) == mirror.tasks
    assert store.rows(HostRow, list(mirror.hosts)) == mirror.hosts
    assert store.rows(LeaseRow, list(mirror.leases)) == mirror.leases
    assert store.rows(OriginRow, list(mirror.origins)) == mirror.origins
    kept = mirror.others[KeptLinksRow]
    assert store.rows(KeptLinksRow, range(1, mirror.ledger.next_order)) == kept
    pieces = mirror.others[KeptPartRow]
    assert store.rows(KeptPartRow, range(1, mirror.ledger.next_order)) == pieces
    assert store.rows(SeedLineRow, range(1, mirror.ledger.next_order)) == mirror.others[SeedLineRow]
    for kind in (LeadOnRow, PoolRow, AskedDelayRow):
        assert {row.key: row for row in store.resident(kind)} == mirror.others[kind]
    assert store.ledger() == mirror.ledger
    counted = {key: count for key, count in store.counts().items() if count}
    assert counted == Counter((task.kind, task.state) for task in mirror.tasks.values())
    assert list(store.results(0, 1_000)) == mirror.results


def _check_leases(store: Store, mirror: Mirror) -> None:
    """A task is LEASED if and only if it is open in exactly one lease, which is its current one."""
    open_in: dict[bytes, int] = {}
    for lease in mirror.leases.values():
        assert lease.refs, f"lease {lease.id} has no open task, but lives"
        for ref in lease.refs:
            assert ref not in open_in, f"{mirror.tasks[ref].url} is open in two leases"
            open_in[ref] = lease.id
    leased = {ref: task.lease for ref, task in mirror.tasks.items() if task.state is TaskState.LEASED}
    assert open_in == leased
    sessions = {lease.session for lease in mirror.leases.values()}
    assert {lease.session for lease in store.resident(LeaseRow)} == sessions
    for session in sessions:
        mine = [lease for lease in mirror.leases.values() if lease.session == session]
        assert sorted(store.leases_of(session), key=lambda lease: lease.id) == sorted(mine, key=lambda lease: lease.id)
        assert len(mine) == 1 or not any(lease.alone for lease in mine), "a suspect is not alone in its session"
        for lease in mine:
            assert lease.alone == any(mirror.tasks[ref].alone for ref in lease.refs)
            assert not lease.alone or len(lease.refs) == 1


def _check_gates(mirror: Mirror) -> None:
    """While pages wait for a robots.txt it is asked for, once; and nobody counts as waiting who does not."""
    asked = Counter(
        task.origin for task in mirror.tasks.values() if task.kind is Kind.ROBOTS and task.state not in FINAL
    )
    assert not asked or max(asked.values()) == 1, f"asked for twice at once: {asked}"
    cut_off = {
        task.origin for task in mirror.tasks.values() if task.kind is Kind.ROBOTS and task.state is TaskState.DROPPED
    }
    for row in mirror.origins.values():
        waits = row.gate is Gate.WAITING or row.rechecking
        assert asked[row.origin] == waits or row.origin in cut_off, f"{row}, asked for {asked[row.origin]} times"
    waiting = [row for row in mirror.origins.values() if row.gate is Gate.WAITING and row.failing_since is not None]
    assert mirror.ledger.robots_waits.waiting == len(waiting)


def _check_budget(store: Store, mirror: Mirror, policy: Policy) -> None:
    ledger = mirror.ledger
    fetched = [task for task in mirror.tasks.values() if task.outcome is Outcome.FETCHED and task.kind is Kind.PAGE]
    reserved = sum(task.reserved for task in mirror.tasks.values())
    assert ledger.pages_reserved == reserved
    failed = [task for task in mirror.tasks.values() if task.kind is Kind.PAGE and task.state is TaskState.FAILED]
    assert ledger.pages_unused == sum(had_body(task.outcome, task.status) for task in failed)
    places = ledger.pages_fetched + ledger.pages_unused + ledger.pages_reserved
    assert policy.extent.pages is None or places <= policy.extent.pages
    assert ledger.pages_fetched == len(fetched) == len(mirror.results) == store.result_count()
    assert {result.ref for result in mirror.results} == {task.ref for task in fetched}
    assert all(task.state is TaskState.DONE for task in fetched)
    for task in mirror.tasks.values():
        assert task.reserved <= (task.kind is Kind.PAGE and task.state in (TaskState.LEASED, TaskState.PENDING))
        assert (task.state is not TaskState.LEASED) or task.kind is not Kind.PAGE or task.reserved


def _check_host(host: HostRow, mirror: Mirror, policy: Policy) -> None:
    if host.unit:
        assert (host.holders, host.is_unit) == ((), False), f"{host} has joined a unit"
        return
    names = {host.key, *(each.key for each in mirror.hosts.values() if each.unit == host.key)}
    assert host.is_unit == (len(names) > 1)
    leases = [lease for lease in mirror.leases.values() if lease.host in names]
    assert sorted(holder.session for holder in host.holders) == sorted({lease.session for lease in leases})
    for lease in leases:
        (holder,) = (holder for holder in host.holders if holder.session == lease.session)
        assert holder.slots >= lease.slots
    if host.is_unit:
        return  # some may have been granted before it was known that these hosts are one
    if any(lease.spacing_s > 0 for lease in leases):
        assert len(host.holders) == 1, f"{host.key} is delayed, but held by {host.holders}"
    assert sum(holder.slots for holder in host.holders) <= policy.politeness.per_host


def verdict(world: World) -> None:
    """Check all that holds at the end of a crawl."""
    mirror, site = world.mirror, world.site
    assert world.service.is_finished
    assert all(task.state in FINAL for task in mirror.tasks.values())
    assert not mirror.leases
    asked_verdict(world)
    _check_lines(world)
    outside = _check_checks(world)
    pages = [task for task in mirror.tasks.values() if task.kind is Kind.PAGE]
    fetched = {result.url for result in mirror.results}
    came = fetched | {task.url for task in pages if had_body(task.outcome, task.status)}
    if any(task.reason == "budget_pages" for task in pages):
        assert len(came) == world.policy.extent.pages
        return
    if any(task.reason == "budget_host_pages" for task in pages):
        by_host = Counter(host_key(url) for url in came)
        assert all(number <= (world.policy.extent.per_host.pages or 0) for number in by_host.values())
        for task in pages:
            assert task.reason != "budget_host_pages" or by_host[task.host] == world.policy.extent.per_host.pages
        return
    mute = {task.url for task in pages if _led_nowhere(task) and task.ref not in mirror.have_led}
    only_led = {task.url for task in pages if task.ref in mirror.have_led and task.outcome is not Outcome.FETCHED}
    unparsed = only_led | {task.url for task in pages if task.outcome is Outcome.EXTRACT_ERROR}
    limit, refused = world.policy.extent.depth, _refused(pages, mirror, site) | outside
    lines = [url for url, _ in site.lines(world.lines_read)]
    reached = site.reached(mute, refused, limit, (*_listed(mirror, site), *lines, *world.followed))
    beyond = {task.url for task in pages if is_out(task, limit)}
    if mirror.ledger.full.links:
        assert fetched - beyond <= reached.keys()
        return
    assert fetched - beyond == reached.keys() - unparsed
    assert fetched & beyond <= site.leads_of(world.wished), "fetched, though nobody asked for it"
    for task in pages:
        assert limit is None or task.depth == reached.get(task.url, task.depth), f"{task}, not {reached[task.url]}"


def _check_lines(world: World) -> None:
    """Each page that a line names has a line: its own, or one of a page that led there. So have its rows, unless it had
    ended before that line was read. What no line leads to has none."""
    mirror, site = world.mirror, world.site
    given = dict(reversed(site.lines(world.lines_read)))
    results = {result.url: result for result in mirror.results}
    for task in mirror.tasks.values():
        if task.kind is not Kind.PAGE:
            continue
        fitting = [line for url, line in given.items() if task.url in site.leads_of([url])]
        row = mirror.others[SeedLineRow].get(task.seed_line)
        assert isinstance(row, SeedLineRow | None)
        assert row is not None if task.url in given else row is None or fitting, f"{task} has no line"
        assert row is None or row.line in fitting, f"{task} has the line {row}"
        found = results[task.url].seed_line if task.url in results else None
        assert found is None or (row is not None and found == row.line), f"{task} was recorded with {found}"
        if row is not None and not row.is_late and task.url in results and task.url in given:
            assert found == row.line, f"{task} was recorded without its line"


def _check_checks(world: World) -> set[str]:
    """Each link of a fetched page that leads out of the scope was checked, and no page is left as a check; return the
    pages that are out of the scope."""
    mirror, site = world.mirror, world.site
    scope = scope_of(world.policy.scope, mirror.ledger.scope_hosts)
    checks = [task for task in mirror.tasks.values() if task.kind is Kind.CHECK]
    assert world.policy.links.check_external or not checks
    for task in checks:
        assert scope.refuses(task.url) or task.depth == NOT_REACHED, f"{task} is a page of the crawl"
        assert task.reason != "budget_pages"
        assert (task.seed, task.reserved, task.asked) == (False, False, False)
        if task.state is TaskState.DONE:
            has_answered = task.outcome in (Outcome.FETCHED, Outcome.REDIRECTED)
            assert has_answered, f"{task} is done"
            assert task.outcome is not Outcome.REDIRECTED or task.outlinks[0] in mirror.tasks
    urls = {site.url(number) for number in range(len(site.pages))}
    outside = {url for url in urls if scope.refuses(url)}
    known = {task.url for task in checks}
    if world.policy.links.check_external:
        linked = {link for result in mirror.results for link in site.outlinks(result.url)}
        assert linked & outside <= known, f"{linked & outside - known} was not checked"
    return outside


def _listed(mirror: Mirror, site: Site) -> set[str]:
    """Return the pages of the sitemap that were reported: all that it lists, if it was read to its end."""
    read = {task.outcome for task in mirror.tasks.values() if task.kind is Kind.SITEMAP}
    if Outcome.FETCHED in read:
        return set(site.entries())
    known = {task.url for task in mirror.tasks.values() if task.depth == 0 and task.kind is Kind.PAGE}
    return known.intersection(site.entries())


def _led_nowhere(task: TaskRow) -> bool:
    if task.outcome is Outcome.NOT_MODIFIED or task.reason == Reason.CONTENT_TYPE:
        return True
    return task.state is TaskState.FAILED and (task.outcome is not Outcome.EXTRACT_ERROR or task.reason in LIMITS)


def _refused(pages: Collection[TaskRow], mirror: Mirror, site: Site) -> set[str]:
    """Return the pages that robots.txt refused, by what the site says and what could be had of it at any time."""
    refused = set()
    for task in pages:
        gates = mirror.gates[origin(task.url)] - {Gate.WAITING}
        page = site.page(task.url)
        is_ruled = page.private and site.robots[page.host] is not Robots.SLOW
        assert task.reason != "robots" or (is_ruled and Gate.RULES in gates), task
        assert task.reason != "robots_unreachable" or Gate.DISALLOW in gates, task
        always = gates == {Gate.DISALLOW} or (is_ruled and gates == {Gate.RULES})
        if always or task.reason in ("robots", "robots_unreachable"):
            refused.add(task.url)
    return refused


def copy_of(report: Report, age_s: float) -> Report:
    """Return a report as it is sent again, later."""
    return msgspec.structs.replace(report, age_s=age_s)
