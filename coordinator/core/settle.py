"""What a report changes: the task's state, its outlinks, its result, its host.

A report counts only under its task's current lease. Resending an accepted one gets the same ack and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import chain
from typing import Any

import msgspec

from crawlfleet.coordinator.core import (
    admission,
    asking,
    attempts,
    budget,
    capping,
    checks,
    costs,
    gates,
    judging,
    leading_on,
    leads,
    parts,
    reach,
    retry,
    robots,
    seed_lines,
    sitemaps,
    words,
)
from crawlfleet.coordinator.core.admission import awaken_host
from crawlfleet.coordinator.core.changes import Accepted, Answer, Linked, Recorded, TaskEvent
from crawlfleet.coordinator.core.later_rows import SeedLineRow
from crawlfleet.coordinator.core.leases import settle_some
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Unit
from crawlfleet.coordinator.core.rows import (
    FINAL,
    MAX_DETAIL_CHARS,
    Result,
    TaskRow,
    queue_of,
    succeed,
)
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.coordinator.core.units import join, key_of_address
from crawlfleet.shared.messages import Ack, AckState, Kind, Outcome, Report
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.web.urls import host_key, page_fingerprint, split_fingerprints


def take(turn: Turn, session: str, reports: Sequence[Report], room: leads.Room | None = None) -> tuple[Ack, ...]:
    """Settle the reports of a session; return their acks in order. There is `room` for so many of their links."""
    turn.tasks.read(report.ref for report in reports)
    turn.leases.read(report.lease for report in reports)
    found = [_whole(turn, session, report) for report in reports]
    whole = [each for each in found if isinstance(each, Report)]
    acks = iter(_take_whole(turn, session, whole, room or leads.Room(turn.policy.tuning)))
    return tuple(each if isinstance(each, Ack) else next(acks) for each in found)


def _whole(turn: Turn, session: str, report: Report) -> Report | Ack:
    """Return a report, put together if it came in parts, or the ack of a part."""
    is_of_parts = report.part or report.place
    return parts.gathered(turn, report) if is_of_parts and ack_if_ignored(turn, session, report) is None else report


def _take_whole(turn: Turn, session: str, reports: Sequence[Report], room: leads.Room) -> list[Ack]:
    sorted_out = [leads.within_reach(turn, _judged(turn, report), room) for report in reports]
    outlinks = [leads.outlink_refs(report, turn.policy.max_outlinks) for report, _ in sorted_out]
    known = set(chain.from_iterable(leads.known_refs(report) for report, _ in sorted_out))
    strangers = turn.strangers(known, chain.from_iterable(outlinks))
    for place, (report, later) in enumerate(sorted_out):
        if later is leads.NOTHING:
            sorted_out[place] = leads.that_fit(turn, report, outlinks[place], room)
    bad = leads.BadRefs(strangers, _want(turn, [report for report, _ in sorted_out], outlinks))
    acks = []
    bill = costs.Bill()
    settled: dict[int, set[bytes]] = {}
    for (report, later), refs in zip(sorted_out, outlinks, strict=True):
        state = ack_if_ignored(turn, session, report)
        if state is None:
            state = AckState.OK
            settle(turn, report, refs, bad, bill, later)
            task = existing(turn.tasks[report.ref])
            if task.kind is Kind.CHECK:
                admission.adopt(turn, task)
            if not is_part(task, report):
                settled.setdefault(report.lease, set()).add(report.ref)
        acks.append(Ack(lease=report.lease, ref=report.ref, state=state))
    bill.charge(turn)
    for number, done in settled.items():
        lease = turn.leases[number]
        if lease is not None:
            settle_some(turn, lease, done)
    return acks


def _judged(turn: Turn, report: Report) -> Report:
    task = turn.tasks[report.ref]
    return report if task is None else words.counted(turn, judging.judged(report, task.kind, turn.policy))


def ack_if_ignored(turn: Turn, session: str, report: Report) -> AckState | None:
    """Return the ack of a report that changes nothing, or None if it counts."""
    task, lease = turn.tasks[report.ref], turn.leases[report.lease]
    if task is None:
        return AckState.REJECTED
    if report.lease in task.settled:
        return AckState.OK
    if task.state in FINAL or not task.lease or task.lease != report.lease:
        return AckState.STALE
    return AckState.STALE if lease is not None and lease.session != session else None


def settle(
    turn: Turn,
    report: Report,
    refs: Sequence[bytes],
    bad: leads.BadRefs,
    bill: costs.Bill,
    later: leads.Later = leads.NOTHING,
) -> None:
    """Apply an accepted report to everything but its lease, and put what it took on the bill.

    `refs` are the outlinks that it names by URL, `later` the leads that are not admitted with it.
    """
    task, policy = existing(turn.tasks[report.ref]), turn.policy
    links, known = _leads(turn, task, report, refs, bad) if not later.is_all else ([], b"")
    lease = turn.leases[report.lease]
    unit = key_of_address(report.address, policy)
    if unit:
        join(turn, task.host, unit)
    began_at = attempts.start_at(report, lease, turn.now)
    if is_part(task, report):
        # The attempt is described by the last part.
        began_at = None
        turn.move(task, TaskEvent.PART)
    else:
        attempts.hear(turn, task, report, began_at)
        reach.hear(turn, task, report)
        is_sent_on = task.kind in (Kind.PAGE, Kind.CHECK) and report.outcome is Outcome.REDIRECTED
        keeps = policy.extent.depth is not None or is_sent_on
        kept = (*(link.ref for link in links), *split_fingerprints(known)) if keeps else ()
        _decide(turn, task, report, kept)
        capping.note(turn, task, report)
    nearer = _nearer(turn, split_fingerprints(known), task.depth + 1) if policy.extent.depth is not None else ()
    admission.admit(turn, links, nearer)
    if report.outcome is Outcome.REDIRECTED and links:
        _lead_to(turn, task, links[0].ref)
    later = leads.with_listed(later, task, report, policy)
    bill.add(task, report, leads.number_of_links(report, later))
    if later.links or later.known or later.listed:
        bill.charge(turn)  # it may be told now what the host took
        leading_on.keep(turn, existing(turn.tasks[task.ref]), later)
    admitted = b"".join([link.ref for link in links if turn.depths[link.ref] is not None])
    start = attempts.logged(turn.host(task.host), report, lease, began_at)
    answer = _answer(turn, existing(turn.tasks[task.ref]), report)
    turn.note(Accepted(ref=task.ref, lease=report.lease, outlinks=admitted + known, start=start, answer=answer))


def _lead_to(turn: Turn, task: TaskRow, target: bytes) -> None:
    """Let who wanted a page that redirects want what it leads to."""
    seed_lines.pass_on(turn, task, target)
    if task.asked:
        asking.want_page(turn, target)


def _answer(turn: Turn, task: TaskRow, report: Report) -> Answer:
    """Record the links of a page that was read, if the job asks for them; return what the log keeps of its report."""
    is_read = task.kind is Kind.PAGE and task.state in FINAL and report.outcome in leads.WITH_OUTLINKS
    links = report.links if is_read and turn.policy.keeps_links else b""
    if links:
        turn.note(Linked(ref=task.ref, links=links))
    return Answer(report.outcome, report.status, task.reason, len(links))


def is_part(task: TaskRow, report: Report) -> bool:
    """Say whether a report holds a part of a sitemap and its task continues."""
    return task.kind is Kind.SITEMAP and report.more


def _want(turn: Turn, reports: Sequence[Report], outlinks: Sequence[Sequence[bytes]]) -> Set[bytes]:
    """Read what settling these reports will look up, in few calls for each table.

    Return the fingerprints of new URLs that are to be ignored: see `BadRefs.unsound`.
    """
    policy = turn.policy
    named = {page_fingerprint(each.location): each.location for each in reports if each.outcome is Outcome.REDIRECTED}
    for report, refs in zip(reports, outlinks, strict=True):
        named.update(zip(refs, report.outlinks, strict=False))
    known = map(leads.known_refs, reports) if policy.extent.depth is not None else ()
    turn.depths.read(chain(named, *known))
    is_canonical = policy_of(policy.urls).is_canonical
    fresh = {ref: url for ref, url in named.items() if turn.depths[ref] is None}
    unsound = {ref for ref, url in fresh.items() if not is_canonical(url)}
    _want_hosts(turn, reports)
    admission.want_places(turn, [url for ref, url in fresh.items() if ref not in unsound])
    return unsound


def _want_hosts(turn: Turn, reports: Sequence[Report]) -> None:
    """Read the hosts that were asked, the units that they may join, and the origins of both that ask for delays."""
    tasks = [task for task in (turn.tasks[report.ref] for report in reports) if task is not None]
    turn.table(SeedLineRow).read(task.seed_line for task in tasks if task.seed_line)
    served = {task.origin: host_key(robots.url_of(task.origin)) for task in tasks if task.kind is Kind.ROBOTS}
    hosts = {task.host for task in tasks}
    joining = hosts if turn.policy.politeness.unit is Unit.ADDRESS else set()
    keys = {key_of_address(report.address, turn.policy) for report in reports} - {""} if joining else set()
    turn.read_hosts(hosts.union(served.values(), keys))
    rows = chain(map(turn.host, served.values()), map(turn.hosts.__getitem__, joining))
    turn.origins.read(chain(served, *(row.origins for row in rows if row is not None)))


def _leads(
    turn: Turn, task: TaskRow, report: Report, refs: Sequence[bytes], bad: leads.BadRefs
) -> tuple[list[Link], bytes]:
    """Return the links in a report, and the joined fingerprints of its known outlinks that need no link."""
    if task.kind is Kind.PAGE and report.outcome is not Outcome.REDIRECTED:
        return leads.leads_of_page(turn, task, report, refs, bad)
    links = leads.other_leads(task, report, turn.policy, turn.policy.max_outlinks)
    turn.depths.read(link.ref for link in links)
    turn.tasks.read(link.ref for link in links if link.kind is Kind.ROBOTS)
    fresh = [link for link in links if turn.depths[link.ref] is None]
    unsound = {link.ref for link in fresh if not leads.is_sound(link, turn.policy)}
    if unsound:
        links = [link for link in links if link.ref not in unsound]
    admission.want_places(turn, [link.url for link in fresh if link.ref not in unsound])
    if task.kind is Kind.SITEMAP and report.outcome in leads.WITH_OUTLINKS:
        links = sitemaps.vouched_for(task, links)
    return links, b""


def _nearer(turn: Turn, refs: Sequence[bytes], depth: int) -> Sequence[tuple[bytes, int]]:
    """Return the known tasks among `refs` that were deeper: a page's depth may have fallen since the grant."""
    depths = ((ref, turn.depths[ref]) for ref in refs)
    return [(ref, depth) for ref, known in depths if known is not None and known > depth]


def _decide(turn: Turn, task: TaskRow, report: Report, outlinks: tuple[bytes, ...]) -> None:
    """Move the task to the state that its outcome leads to; `outlinks` are those that its row keeps."""
    policy = turn.policy
    if report.outcome is Outcome.DENIED and report.reason == Reason.PRIVATE_ADDRESS:
        detail = reach.keep_out(turn, task, report.detail)[:MAX_DETAIL_CHARS]
        report = msgspec.structs.replace(report, detail=detail)
    is_excused = retry.is_excused(report, task, turn.host(task.host), policy)
    if task.kind is Kind.ROBOTS:
        _settle_robots(turn, task, report)
    elif checks.asks_by_get(task, report):
        _retry(turn, task, report, turn.now, by_get=True)
    elif is_excused or (retry.is_passing(report) and task.attempt < policy.fetch.retries):
        _retry(turn, task, report, turn.now + retry.pause_s(policy, task), is_excused)
    elif task.kind in (Kind.SITEMAP, Kind.CHECK) and report.outcome is Outcome.FETCHED:
        _end(turn, task, TaskEvent.JUDGED, report)
    elif report.outcome is Outcome.FETCHED:
        _record(turn, task, report, outlinks)
    elif report.outcome is Outcome.REDIRECTED:
        _redirect(turn, task, report, outlinks)
    else:
        account = budget.spend_in_vain if budget.had_body(report.outcome, report.status) else budget.give_back
        account(turn, task, report.size_bytes)
        # One that was taken up again has led on before.
        _end(turn, task, _event_of(report), report, outlinks or task.outlinks, report.reason or report.outcome.value)


def _event_of(report: Report) -> TaskEvent:
    """Return the final event of a page that is neither fetched nor retried."""
    if report.outcome is Outcome.NOT_MODIFIED:
        return TaskEvent.NOT_MODIFIED
    is_unwanted = report.outcome is Outcome.DENIED and report.reason in (Reason.CONTENT_TYPE, Reason.PRIVATE_ADDRESS)
    return TaskEvent.UNWANTED if is_unwanted else TaskEvent.GAVE_UP


def _end(
    turn: Turn, task: TaskRow, event: TaskEvent, report: Report, outlinks: tuple[bytes, ...] = (), reason: str = ""
) -> None:
    turn.move(task, event, reason=reason, outlinks=outlinks, **_answered(task, report))
    if task.kind is Kind.SITEMAP and (event is TaskEvent.GAVE_UP or report.detail):
        sitemaps.tell_short(turn, task, ": ".join(filter(None, (reason, report.detail))))


def _answered(task: TaskRow, report: Report) -> dict[str, Any]:
    """Return the fields of a task that any answer changes."""
    settled = (*task.settled, report.lease)
    return {
        "outcome": report.outcome,
        "status": report.status,
        "settled": settled,
        "reserved": False,
        "detail": capping.detail_of(report),
        "notes": report.notes,
    }


def _record(turn: Turn, task: TaskRow, report: Report, outlinks: tuple[bytes, ...]) -> None:
    """Record a fetched page: its final state, its result, its place in the budget."""
    rejected = tuple(row for row in report.rows if row.rejected)
    rows = tuple(row for row in report.rows if not row.rejected) if rejected else report.rows
    result = Result(
        ref=task.ref,
        url=task.url,
        status=report.status,
        depth=task.depth,
        content_type=report.content_type,
        size_bytes=report.size_bytes,
        elapsed_s=report.elapsed_s,
        at=turn.now,
        hops=task.hops,
        rows=rows,
        rejected=rejected,
        notes=report.notes,
        seed_line=seed_lines.line_of(turn, task),
    )
    _end(turn, task, TaskEvent.FETCHED, report, outlinks, report.reason)
    turn.note(Recorded(result=result, unconverted=report.unconverted))
    budget.spend(turn, task, len(rows), report.size_bytes)
    capping.count_notes(turn, report.notes)


def _retry(
    turn: Turn, task: TaskRow, report: Report, not_before: float, is_excused: bool = False, by_get: bool = False
) -> None:
    """Put a task back for another attempt, after a pause. One that now asks `by_get` had none of its retries."""
    budget.give_back(turn, task, report.size_bytes)
    if not by_get:
        turn.put(retry.counted(turn.ledger, report.reason or report.outcome))
    task = turn.move(
        task,
        TaskEvent.RETRIED,
        reason=report.reason,
        attempt=task.attempt + (not (is_excused or by_get)),
        by_get=task.by_get or by_get,
        refusals=task.refusals + is_excused,
        not_before=not_before,
        lease=0,
        queue=queue_of(task),
        **_answered(task, report),
    )
    awaken_host(turn, task.host, not_before)
    asking.drop_if_unwanted(turn, task)


def _settle_robots(turn: Turn, task: TaskRow, report: Report) -> None:
    """Request a robots.txt again, follow its redirect, or judge its origin.

    One that redirects to where the crawl must not go is judged as if it were there itself.
    """
    again_at = gates.again_at(turn, task, report)
    if again_at is not None:
        gates.look_failed(turn, task, report)
        _retry(turn, task, report, again_at)
        return
    _end(turn, task, TaskEvent.JUDGED, report, (), report.reason)
    follows = report.outcome is Outcome.REDIRECTED and not leads.redirect_error(task, report.location, turn.policy)
    refusal = reach.refusal_of(turn, report.location) if follows else ""
    if refusal:
        detail = f"it redirects to {report.location}"[:MAX_DETAIL_CHARS]
        report = msgspec.structs.replace(report, outcome=Outcome.DENIED, status=0, reason=refusal, detail=detail)
    if refusal or not follows:
        gates.judge(turn, task, report)


def _redirect(turn: Turn, task: TaskRow, report: Report, outlinks: tuple[bytes, ...]) -> None:
    """End a page that redirects. The host that a seed redirects to joins scope `same`."""
    budget.give_back(turn, task, report.size_bytes)
    error = leads.redirect_error(task, report.location, turn.policy)
    if error:
        told = msgspec.structs.replace(report, detail=f"Location: {report.location!r}"[:MAX_DETAIL_CHARS])
        _end(turn, task, TaskEvent.GAVE_UP, told, (), error)
        return
    _end(turn, task, TaskEvent.REDIRECTED, report, outlinks)
    target = host_key(report.location)
    if seed_lines.may_join(turn, task, target):
        turn.put(succeed(turn.ledger, scope_hosts=(*turn.ledger.scope_hosts, target)))
