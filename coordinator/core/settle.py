"""What a report does: the task's next state, its outlinks, its result, its host.

A report counts only under its task's current lease. Resending an accepted one gets the same ack and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crawlfleet.coordinator.core import budget, gates, politeness, pressure, retry, sitemaps, starts
from crawlfleet.coordinator.core.admission import Link, Nearer, admit, awaken_host
from crawlfleet.coordinator.core.changes import Accepted, Change, HostSet, LedgerSet, Recorded
from crawlfleet.coordinator.core.facts import Facts
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import FINAL, Result, TaskRow, queue_of, succeed
from crawlfleet.coordinator.core.transitions import TaskEvent, move
from crawlfleet.coordinator.core.units import join, key_of_address
from crawlfleet.shared.messages import CONTENT_TYPE_RULE, AckState, Kind, Outcome, Report
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.web.urls import FINGERPRINT_BYTES, host_key, page_fingerprint, split_fingerprints

_WITH_OUTLINKS = frozenset({Outcome.FETCHED, Outcome.EXTRACT_ERROR})


def judge(report: Report, task: TaskRow | None) -> AckState | None:
    """Return the ack of a report that changes nothing, or None if it counts."""
    if task is None:
        return AckState.REJECTED
    if report.lease in task.settled:
        return AckState.OK
    if task.state in FINAL or not task.lease or task.lease != report.lease:
        return AckState.STALE
    return None


class Named(NamedTuple):
    """Fingerprints of what a report leads to: of the URLs that it tells, in their order, and those that it names by
    fingerprint only."""

    refs: list[bytes]
    known: Sequence[bytes]


def named_by(task: TaskRow, report: Report, policy: Policy, limit: int) -> Named:
    """Return what a report's outlinks (at most `limit` that it tells), or the target of its redirect, are known by."""
    if report.outcome is Outcome.REDIRECTED or task.kind is not Kind.PAGE:
        return Named([link.ref for link in _other_links(task, report, policy)[:limit]], [])
    if report.outcome not in _WITH_OUTLINKS:
        return Named([], [])
    refs = [page_fingerprint(url) for url in report.outlinks[:limit]]
    return Named(refs, split_fingerprints(report.known))


def links_of(task: TaskRow, report: Report, named: Named, facts: Facts, policy: Policy) -> tuple[list[Link], bytes]:
    """Return what a report discovers that is new or nearer now, and the fingerprints, one after another, of what is
    known as it is.

    The depths of what is told are in `facts`, and the strangers among what is only named: those are passed over, since
    a worker's word is not taken for it. No link is made for what is known.
    """
    if report.outcome is Outcome.REDIRECTED or task.kind is not Kind.PAGE:
        return _other_links(task, report, policy)[: len(named.refs)], b""
    links, depths, depth = [], facts.depths, task.depth + 1
    told = [_known_of(report, named, facts)] if named.known else []
    for ref, url in zip(named.refs, report.outlinks, strict=False):
        known = depths[ref]
        if known is None or known > depth:
            links.append(Link(url=url, depth=depth, found_on=task.ref, ref=ref))
        else:
            told.append(ref)
    return links, b"".join(told)


def _known_of(report: Report, named: Named, facts: Facts) -> bytes:
    """Return what a report names by fingerprint, less the strangers: mostly as it came."""
    assert facts.strangers is not None, "what is only named has to be looked up"
    if facts.strangers:
        return b"".join(ref for ref in named.known if ref not in facts.strangers)
    return report.known[: FINGERPRINT_BYTES * len(named.known)]


def settle(report: Report, links: list[Link], told: bytes, facts: Facts, policy: Policy, now: float) -> list[Nearer]:
    """Let a report that counts happen, but for its lease; return what is known but nearer now.

    `links` and `told` are those of `links_of`, less what a worker must not claim.
    """
    task = facts.tasks[report.ref]
    assert task is not None, "judge() lets no report of an unknown task pass"
    if task.kind is Kind.SITEMAP and report.outcome in _WITH_OUTLINKS:
        links = sitemaps.vouched_for(task, links)
    lease = facts.leases.get(report.lease)
    unit = key_of_address(report.address, policy)
    if unit:
        join(task.host, unit, facts, policy)
    start_at = starts.start_at(report, lease, now)
    if is_part(task, report):
        # The last part tells of the attempt.
        start_at = None
        facts.take([move(task, TaskEvent.PART)])
    else:
        if start_at is not None:
            _hear(task, report, start_at, facts, policy, now)
        hold_s = retry.hold_s(policy, task, report)
        if hold_s > 0:
            facts.take([HostSet(host=politeness.held(facts.host(task.host), now + hold_s))])
        kept = (*(link.ref for link in links), *split_fingerprints(told)) if policy.depth is not None else ()
        _decide(task, report, kept, facts, policy, now)
    nearer = admit(links, facts, policy, now)
    if policy.depth is not None:
        nearer += _nearer(split_fingerprints(told), task.depth + 1, facts)
    admitted = b"".join([link.ref for link in links if facts.depths[link.ref] is not None])
    start = starts.logged(facts.host(task.host), report, lease, start_at)
    facts.take([Accepted(ref=task.ref, lease=report.lease, outlinks=admitted + told, start=start)])
    return nearer


def _nearer(refs: Sequence[bytes], depth: int, facts: Facts) -> list[Nearer]:
    """Return those of known tasks that were deeper: a page may be nearer now than its worker knows."""
    depths = ((ref, facts.depths[ref]) for ref in refs)
    return [Nearer(ref, depth) for ref, known in depths if known is not None and known > depth]


def is_part(task: TaskRow, report: Report) -> bool:
    """Say whether a report tells a part of a sitemap, and the task goes on."""
    return task.kind is Kind.SITEMAP and report.more


def _hear(task: TaskRow, report: Report, start_at: float, facts: Facts, policy: Policy, now: float) -> None:
    """Note on a task's host when it was asked, and what it made of that."""
    host = pressure.heard(politeness.started(facts.host(task.host), start_at), report, start_at, policy, now)
    facts.take([HostSet(host=politeness.delayed(host, policy, now))])


def _decide(
    task: TaskRow, report: Report, outlinks: tuple[bytes, ...], facts: Facts, policy: Policy, now: float
) -> None:
    """Move the task to where its outcome leads; `outlinks` are those that its row keeps."""
    is_excused = retry.is_excused(report, task, facts.host(task.host), policy)
    if task.kind is Kind.ROBOTS:
        _settle_robots(task, report, facts, policy, now)
    elif is_excused or (retry.is_passing(report) and task.attempt < policy.retries):
        _retry(task, report, facts, policy, now, now + retry.pause_s(policy, task), is_excused)
    elif task.kind is Kind.SITEMAP and report.outcome is Outcome.FETCHED:
        facts.take([_final(task, TaskEvent.JUDGED, report)])
    elif report.outcome is Outcome.FETCHED:
        _record(task, report, outlinks, facts, policy, now)
    elif report.outcome is Outcome.REDIRECTED:
        _redirect(task, report, outlinks, facts, policy)
    else:
        budget.give_back(task, facts, policy, report.size_bytes)
        facts.take([_final(task, _end_of(report), report, outlinks, report.reason or report.outcome.value)])


def _end_of(report: Report) -> TaskEvent:
    """Return how a page ends that is not fetched, and not tried again."""
    if report.outcome is Outcome.NOT_MODIFIED:
        return TaskEvent.NOT_MODIFIED
    is_unwanted = report.outcome is Outcome.DENIED and report.reason == CONTENT_TYPE_RULE
    return TaskEvent.UNWANTED if is_unwanted else TaskEvent.GAVE_UP


def _final(
    task: TaskRow, event: TaskEvent, report: Report, outlinks: tuple[bytes, ...] = (), reason: str = ""
) -> Change:
    return move(
        task,
        event,
        reason=reason,
        outcome=report.outcome,
        status=report.status,
        settled=(*task.settled, report.lease),
        reserved=False,
        outlinks=outlinks,
    )


def _record(
    task: TaskRow, report: Report, outlinks: tuple[bytes, ...], facts: Facts, policy: Policy, now: float
) -> None:
    """Record a fetched page: its final state, its place of the budget, its result."""
    result = Result(
        ref=task.ref,
        url=task.url,
        status=report.status,
        depth=task.depth,
        content_type=report.content_type,
        size_bytes=report.size_bytes,
        elapsed_s=report.elapsed_s,
        at=now,
        hops=task.hops,
        rows=report.rows,
    )
    facts.take([_final(task, TaskEvent.FETCHED, report, outlinks, report.reason), Recorded(result=result)])
    budget.spend(task, len(report.rows), facts, policy, report.size_bytes)


def _retry(
    task: TaskRow, report: Report, facts: Facts, policy: Policy, now: float, not_before: float, is_excused: bool = False
) -> None:
    """Put a task back for another attempt, after a pause."""
    budget.give_back(task, facts, policy, report.size_bytes)
    facts.take([LedgerSet(ledger=retry.counted(facts.ledger, report.reason or report.outcome))])
    facts.take(
        [
            move(
                task,
                TaskEvent.RETRIED,
                reason=report.reason,
                outcome=report.outcome,
                status=report.status,
                attempt=task.attempt + (not is_excused),
                refusals=task.refusals + is_excused,
                not_before=not_before,
                lease=0,
                settled=(*task.settled, report.lease),
                reserved=False,
                queue=queue_of(task),
            )
        ]
    )
    awaken_host(facts, task.host, policy, now, not_before)


def _settle_robots(task: TaskRow, report: Report, facts: Facts, policy: Policy, now: float) -> None:
    """Ask for a robots.txt again, follow where it was sent to, or judge its origin by it."""
    again_at = gates.again_at(task, report, facts, policy, now)
    if again_at is not None:
        gates.look_failed(task, report, facts, policy, now)
        _retry(task, report, facts, policy, now, again_at)
        return
    facts.take([_final(task, TaskEvent.JUDGED, report, (), report.reason)])
    follows = report.outcome is Outcome.REDIRECTED and not _redirect_error(task, report.location, policy)
    if not follows:
        gates.judge(task, report, facts, policy, now)


def _redirect(task: TaskRow, report: Report, outlinks: tuple[bytes, ...], facts: Facts, policy: Policy) -> None:
    """End a page that sends us elsewhere; where a seed sends us belongs to scope `same`."""
    budget.give_back(task, facts, policy, report.size_bytes)
    error = _redirect_error(task, report.location, policy)
    if error:
        facts.take([_final(task, TaskEvent.GAVE_UP, report, (), error)])
        return
    facts.take([_final(task, TaskEvent.REDIRECTED, report, outlinks)])
    target = host_key(report.location)
    if task.seed and policy.keep_scope_same and target not in facts.ledger.scope_hosts:
        hosts = (*facts.ledger.scope_hosts, target)
        facts.take([LedgerSet(ledger=succeed(facts.ledger, scope_hosts=hosts))])


def _other_links(task: TaskRow, report: Report, policy: Policy) -> list[Link]:
    """Return what is discovered but for the outlinks of a page: where a redirect leads, what a sitemap lists."""
    if report.outcome is Outcome.REDIRECTED:
        return _redirect_links(task, report, policy)
    if task.kind is Kind.ROBOTS:
        return sitemaps.named_by(task, report, policy)
    return sitemaps.listed_in(task, report) if report.outcome in _WITH_OUTLINKS else []


def _redirect_links(task: TaskRow, report: Report, policy: Policy) -> list[Link]:
    """Return the target of a redirect that is followed, or nothing."""
    return [] if _redirect_error(task, report.location, policy) else [_redirect_target(task, report.location)]


def _redirect_target(task: TaskRow, location: str) -> Link:
    return Link(
        url=location,
        depth=task.depth,
        found_on=task.ref,
        hops=(*task.hops, task.url),
        seed=task.seed,
        always=True,
        kind=task.kind,
        serves=_served(task, location),
        priority=task.priority,
    )


def _served(task: TaskRow, location: str) -> str:
    if task.kind is Kind.SITEMAP:
        return sitemaps.origin_served(location, task.origin)
    return task.origin if task.kind is Kind.ROBOTS else ""


def _redirect_error(task: TaskRow, location: str, policy: Policy) -> str:
    limit = policy.robots_hops if task.kind is Kind.ROBOTS else policy.max_hops
    if not policy_of(policy.urls).is_canonical(location):
        return "redirect_invalid"
    if location == task.url or location in task.hops:
        return "redirect_loop"
    return "too_many_redirects" if len(task.hops) >= limit else ""
