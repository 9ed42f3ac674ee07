"""What a report does: the task's next state, its outlinks, its result, its host.

A report counts only under its task's current lease. Resending an accepted one gets the same ack and changes nothing.
"""

from __future__ import annotations

from coordinator.core import budget, politeness, retry, robots
from coordinator.core.admission import Link, Nearer, admit, awaken_host, is_canonical
from coordinator.core.changes import Accepted, Change, HostSet, LedgerSet, OriginSet, Recorded
from coordinator.core.facts import Facts
from coordinator.core.leases import settle_one
from coordinator.core.policy import Policy
from coordinator.core.rows import FINAL, HostRow, OriginRow, Result, TaskRow, queue_of, succeed
from coordinator.core.transitions import TaskEvent, move
from shared.messages import AckState, Kind, Outcome, Report
from shared.urls import FINGERPRINT_BYTES, host_key

_WITH_OUTLINKS = frozenset({Outcome.FETCHED, Outcome.EXTRACT_ERROR})
_TRIED_LATER = frozenset({429, 503})
_CRAWL_DELAY_MAX_S = 60.0


def judge(report: Report, task: TaskRow | None) -> AckState | None:
    """Return the ack of a report that changes nothing, or None if it counts."""
    if task is None:
        return AckState.REJECTED
    if report.lease in task.settled:
        return AckState.OK
    if task.state in FINAL or not task.lease or task.lease != report.lease:
        return AckState.STALE
    return None


def links_of(task: TaskRow, report: Report, policy: Policy) -> list[Link]:
    """Return what a report discovers: its outlinks, or the target of its redirect."""
    if report.outcome is Outcome.REDIRECTED:
        if _redirect_error(task, report.location, policy):
            return []
        return [_redirect_target(task, report.location)]
    if task.kind is not Kind.PAGE or report.outcome not in _WITH_OUTLINKS:
        return []
    return [Link(url=url, depth=task.depth + 1, found_on=task.ref) for url in report.outlinks]


def settle(report: Report, links: list[Link], facts: Facts, policy: Policy, now: float) -> list[Nearer]:
    """Let a report that counts happen; return what is known but nearer now.

    `links` are those of `links_of`, less what a worker must not claim; their rows are in `facts`, and so are those of
    `known_of`: of these, what is no task is passed over, since a worker's word is not taken for it.
    """
    task = facts.tasks[report.ref]
    assert task is not None, "judge() lets no report of an unknown task pass"
    if report.age_s is not None:
        host = politeness.started(facts.host(task.host), now - max(0.0, report.age_s))
        facts.take([HostSet(host=host)])
    if _asks_for_patience(report):
        facts.take([_hold(facts.host(task.host), task, report, policy, now)])
    _decide(task, report, links, facts, policy, now)
    lease = facts.leases.get(report.lease)
    if lease is not None:
        settle_one(lease, task.ref, facts, policy, now)
    nearer = admit(links, facts, policy, now)
    told_before = [ref for ref in known_of(report) if facts.tasks[ref] is not None]
    if policy.depth is not None:
        nearer += [Nearer(ref, task.depth + 1) for ref in told_before]
    admitted = tuple(link.ref for link in links if facts.tasks[link.ref] is not None)
    facts.take([Accepted(ref=task.ref, lease=report.lease, outlinks=(*admitted, *told_before))])
    return nearer


def known_of(report: Report) -> tuple[bytes, ...]:
    """Return the outlinks that a report names by fingerprint only."""
    if report.outcome not in _WITH_OUTLINKS:
        return ()
    known, size = report.known, FINGERPRINT_BYTES
    return tuple([known[start : start + size] for start in range(0, len(known) - size + 1, size)])


def _decide(task: TaskRow, report: Report, links: list[Link], facts: Facts, policy: Policy, now: float) -> None:
    """Move the task to where its outcome leads."""
    if retry.is_passing(report) and task.attempt < policy.retries:
        _retry(task, report, facts, policy, now)
    elif task.kind is Kind.ROBOTS:
        _settle_robots(task, report, facts, policy, now)
    elif report.outcome is Outcome.FETCHED:
        facts.take(_record(task, report, links, facts, policy, now))
    elif report.outcome is Outcome.REDIRECTED:
        _redirect(task, report, links, facts, policy)
    else:
        facts.take(budget.give_back(task, facts.ledger))
        event = TaskEvent.NOT_MODIFIED if report.outcome is Outcome.NOT_MODIFIED else TaskEvent.GAVE_UP
        facts.take([_final(task, event, report, links, policy, report.reason or report.outcome.value)])


def _final(
    task: TaskRow, event: TaskEvent, report: Report, links: list[Link], policy: Policy, reason: str = ""
) -> Change:
    return move(
        task,
        event,
        reason=reason,
        outcome=report.outcome,
        status=report.status,
        settled=(*task.settled, report.lease),
        reserved=False,
        outlinks=(*(link.ref for link in links), *known_of(report)) if policy.depth is not None else (),
    )


def _record(task: TaskRow, report: Report, links: list[Link], facts: Facts, policy: Policy, now: float) -> list[Change]:
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
    final = _final(task, TaskEvent.FETCHED, report, links, policy)
    return [final, *budget.spend(task, len(report.rows), facts.ledger), Recorded(result=result)]


def _retry(task: TaskRow, report: Report, facts: Facts, policy: Policy, now: float) -> None:
    """Put a task back for another attempt, after a pause."""
    not_before = now + retry.backoff_s(policy, task.ref, task.attempt)
    facts.take(budget.give_back(task, facts.ledger))
    facts.take([LedgerSet(ledger=succeed(facts.ledger, retries=facts.ledger.retries + 1))])
    facts.take(
        [
            move(
                task,
                TaskEvent.RETRIED,
                reason=report.reason,
                outcome=report.outcome,
                status=report.status,
                attempt=task.attempt + 1,
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
    """Open or close an origin's gate by what became of its robots.txt."""
    facts.take([_final(task, TaskEvent.JUDGED, report, [], policy, report.reason)])
    follows = report.outcome is Outcome.REDIRECTED and not _redirect_error(task, report.location, policy)
    if follows:
        return
    row = facts.origins[task.origin]
    assert row is not None, "a robots task serves an origin that exists"
    row = succeed(row, gate=robots.gate_of(report), robots=report.body)
    facts.take([OriginSet(origin=row)])
    host = facts.host(row.host)
    delay_s = max(host.delay_s, min(_CRAWL_DELAY_MAX_S, _asked_delay_s(row, policy)))
    if delay_s != host.delay_s:
        facts.take([HostSet(host=politeness.slowed(host, delay_s, now))])
    awaken_host(facts, row.host, policy, now)


def _asked_delay_s(origin: OriginRow, policy: Policy) -> float:
    """Return the gap between two starts that an origin's robots.txt asks for, by Crawl-delay or Request-rate."""
    agent = policy.user_agent
    return max(robots.crawl_delay_s(origin, agent), robots.request_interval_s(origin, agent))


def _redirect(task: TaskRow, report: Report, links: list[Link], facts: Facts, policy: Policy) -> None:
    """End a page that sends us elsewhere; where a seed sends us belongs to scope `same`."""
    facts.take(budget.give_back(task, facts.ledger))
    error = _redirect_error(task, report.location, policy)
    if error:
        facts.take([_final(task, TaskEvent.GAVE_UP, report, [], policy, error)])
        return
    facts.take([_final(task, TaskEvent.REDIRECTED, report, links, policy)])
    target = host_key(report.location)
    if task.seed and policy.keep_scope_same and target not in facts.ledger.scope_hosts:
        hosts = (*facts.ledger.scope_hosts, target)
        facts.take([LedgerSet(ledger=succeed(facts.ledger, scope_hosts=hosts))])


def _redirect_target(task: TaskRow, location: str) -> Link:
    return Link(
        url=location,
        depth=task.depth,
        found_on=task.ref,
        hops=(*task.hops, task.url),
        seed=task.seed,
        always=True,
        kind=task.kind,
        serves=task.origin if task.kind is Kind.ROBOTS else "",
    )


def _redirect_error(task: TaskRow, location: str, policy: Policy) -> str:
    limit = policy.robots_hops if task.kind is Kind.ROBOTS else policy.max_hops
    if not is_canonical(location):
        return "redirect_invalid"
    if location == task.url or location in task.hops:
        return "redirect_loop"
    return "too_many_redirects" if len(task.hops) >= limit else ""


def _asks_for_patience(report: Report) -> bool:
    return report.status in _TRIED_LATER and (report.retry_after_s is not None or report.status == 429)


def _hold(host: HostRow, task: TaskRow, report: Report, policy: Policy, now: float) -> Change:
    """Hold the whole host as its server asks, never shorter than our own pause."""
    pause = max(report.retry_after_s or 0.0, retry.backoff_s(policy, task.ref, task.attempt))
    return HostSet(host=politeness.held(host, now + min(pause, policy.hold_max_s)))
