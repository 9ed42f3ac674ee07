"""What becomes of an origin's gate: its robots.txt is asked for, kept for a day, asked for again (RFC 9309, 2.3.1).

    WAITING ──had──► RULES, ALLOW ──expired──► the same, rechecking: pages wait for the new answer
       │                    └── could not be had again: the same meanwhile, looked at with growing pauses
       └──not had within `robots_wait`──► DISALLOW: what waits is dropped, and what is found the next day

While nothing is known, the robots task itself waits for the next look. Where rules are known, the next page to be
granted asks for it.
"""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.core import politeness, retry, robots
from crawlfleet.coordinator.core.admission import awaken_host, reopen_robots
from crawlfleet.coordinator.core.changes import HostSet, LedgerSet, OriginSet
from crawlfleet.coordinator.core.facts import Facts
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import Gate, OriginRow, RobotsWaits, TaskRow, succeed
from crawlfleet.shared.messages import Report

NAMED = 5
LEAST_STARTS = 10


def holds_back(origin: OriginRow) -> bool:
    """Say whether the pages of an origin wait for its robots.txt."""
    return origin.gate is Gate.WAITING or (origin.rechecking and not origin.failed_looks)


def is_overdue(origin: OriginRow, now: float) -> bool:
    """Say whether the next page of an origin asks for its robots.txt again."""
    return origin.gate is not Gate.WAITING and not origin.rechecking and origin.expires_at <= now


def recheck(origin: OriginRow, facts: Facts, policy: Policy, now: float) -> tuple[OriginRow, TaskRow]:
    """Ask for a robots.txt again, whose task is in `facts`; return the origin and the task as they are now."""
    after = succeed(origin, rechecking=True)
    facts.take([OriginSet(origin=after)])
    return after, reopen_robots(origin.origin, facts, policy, now)


def again_at(task: TaskRow, report: Report, facts: Facts, policy: Policy, now: float) -> float | None:
    """Return when the same task is to ask again for a robots.txt that could not be had, None if this look is over."""
    origin = _origin(task, facts)
    if robots.gate_of(report) is not Gate.DISALLOW or robots.is_ignored(origin.origin, policy):
        return None
    soon = now + retry.pause_s(policy, task) if _is_tried_soon(task, report, policy) else None
    if origin.gate is not Gate.WAITING:
        return soon
    since = origin.failing_since if origin.failing_since is not None else now
    give_up_at = since + policy.robots_wait_s
    held_until = facts.host(task.host).hold_until
    if soon is not None and held_until <= max(give_up_at, now + policy.retry_max_s):
        return soon
    at = min(now + _pause_s(origin, policy), give_up_at)
    return at if at > now and held_until <= give_up_at else None


def look_failed(task: TaskRow, report: Report, facts: Facts, policy: Policy, now: float) -> None:
    """Note that a robots.txt could not be had, and will be asked for again by the same task."""
    origin = _origin(task, facts)
    if origin.gate is Gate.WAITING and origin.failing_since is None:
        _count_waiting(origin, report.reason, facts)
    facts.take(
        [
            OriginSet(
                origin=succeed(
                    origin,
                    failing_since=origin.failing_since if origin.failing_since is not None else now,
                    failed_looks=origin.failed_looks + (not _is_tried_soon(task, report, policy)),
                    why=report.reason,
                )
            )
        ]
    )


def judge(task: TaskRow, report: Report, facts: Facts, policy: Policy, now: float) -> None:
    """Open or close an origin's gate by what became of its robots.txt."""
    origin, gate = _origin(task, facts), robots.gate_of(report)
    if gate is Gate.DISALLOW:
        cannot_be_had(task, report.reason, facts, policy, now)
        return
    had = succeed(
        origin,
        gate=gate,
        robots=report.body if gate is Gate.RULES else b"",
        expires_at=now + _kept_s(_fresh_s(report, policy), origin, facts),
        rechecking=False,
        failing_since=None,
        failed_looks=0,
        why="",
    )
    asked_s = max(robots.crawl_delay_s(had, policy.user_agent), robots.request_interval_s(had, policy.user_agent))
    _settle(msgspec.structs.replace(had, asked_delay_s=asked_s), facts, policy, now)


def cannot_be_had(task: TaskRow, why: str, facts: Facts, policy: Policy, now: float) -> None:
    """Judge an origin whose robots task has ended without an answer."""
    origin = _origin(task, facts)
    if origin.gate in (Gate.RULES, Gate.ALLOW):
        after = _goes_on(origin, why, now, now + _kept_s(_pause_s(origin, policy), origin, facts))
    else:
        after = _closed(origin, why, now + _kept_s(policy.robots_fresh_s, origin, facts))
    _settle(after, facts, policy, now)


def _settle(after: OriginRow, facts: Facts, policy: Policy, now: float) -> None:
    before = facts.origins[after.origin]
    assert before is not None, "an origin that is judged exists"
    if before.gate is Gate.WAITING and before.failing_since is not None:
        _count_waiting_over(after, facts)
    if after.gate is Gate.DISALLOW and before.gate is Gate.WAITING:
        _count_given_up(after, facts)
    facts.take([OriginSet(origin=after)])
    host = facts.host(after.host)
    rows = (facts.origins[origin] for origin in host.origins)
    asked_s = max((row.asked_delay_s for row in rows if row is not None), default=0.0)
    paced = politeness.asked(host, asked_s, policy, now)
    if paced is not host:
        facts.take([HostSet(host=paced)])
    awaken_host(facts, after.host, policy, now)


def _goes_on(origin: OriginRow, why: str, now: float, until: float) -> OriginRow:
    """Return an origin whose known rules hold on, until the next look."""
    return succeed(
        origin,
        rechecking=False,
        expires_at=until,
        failing_since=origin.failing_since if origin.failing_since is not None else now,
        failed_looks=origin.failed_looks + 1,
        why=why,
    )


def _closed(origin: OriginRow, why: str, until: float) -> OriginRow:
    """Return an origin on which nothing is allowed, until the next look."""
    return succeed(
        origin,
        gate=Gate.DISALLOW,
        rechecking=False,
        expires_at=until,
        failing_since=None,
        failed_looks=0,
        why=why,
    )


def _origin(task: TaskRow, facts: Facts) -> OriginRow:
    row = facts.origins[task.origin]
    assert row is not None, "a robots task serves an origin that exists"
    return row


def _is_tried_soon(task: TaskRow, report: Report, policy: Policy) -> bool:
    return retry.is_passing(report) and task.attempt < policy.retries


def _pause_s(origin: OriginRow, policy: Policy) -> float:
    """Return the pause before the next look: doubling, since a server that is down is not helped by being asked."""
    pause: float = policy.robots_pause_s * 2.0 ** min(origin.failed_looks, 30)
    return min(policy.robots_pause_max_s, pause)


def _fresh_s(report: Report, policy: Policy) -> float:
    """Return how long an answer holds: a day, or as long as its Cache-Control says if that is less (RFC 9309, 2.4)."""
    if report.fresh_s is None:
        return policy.robots_fresh_s
    return min(policy.robots_fresh_s, max(policy.robots_fresh_least_s, report.fresh_s))


def _kept_s(seconds: float, origin: OriginRow, facts: Facts) -> float:
    """Return how long an answer is kept: on a host that is rarely asked, for more than the next page."""
    return max(seconds, LEAST_STARTS * facts.host(origin.host).delay_s)


def _count_waiting(origin: OriginRow, why: str, facts: Facts) -> None:
    waits = facts.ledger.robots_waits
    names = waits.waiting_for
    if len(names) < NAMED:
        names = (*names, (origin.origin, why))
    _set_waits(facts, waiting=waits.waiting + 1, waiting_for=names)


def _count_waiting_over(origin: OriginRow, facts: Facts) -> None:
    waits = facts.ledger.robots_waits
    names = tuple(name for name in waits.waiting_for if name[0] != origin.origin)
    _set_waits(facts, waiting=waits.waiting - 1, waiting_for=names)


def _count_given_up(origin: OriginRow, facts: Facts) -> None:
    waits = facts.ledger.robots_waits
    names = waits.given_up_on
    if len(names) < NAMED:
        names = (*names, (origin.origin, origin.why))
    _set_waits(facts, given_up=waits.given_up + 1, given_up_on=names)


def _set_waits(facts: Facts, **changed: object) -> None:
    waits: RobotsWaits = facts.ledger.robots_waits.but(**changed)
    facts.take([LedgerSet(ledger=succeed(facts.ledger, robots_waits=waits))])
