"""The life of an origin's gate: its robots.txt is requested, kept for a day, requested again (RFC 9309, 2.3.1).

    WAITING ──had──► RULES, ALLOW ──expired──► the same, rechecking: pages wait for the new answer
      │ │                   └── could not be had again: stays the same, looks at growing intervals
      │ └──not had within `robots_wait`──► DISALLOW: what waits is dropped, and so is what is found in the next day
      └──nothing serves the web there (`UNSERVED`), also after the retries──► DISALLOW

In WAITING the robots task itself waits for the next look. Later, the next page to be granted triggers the recheck.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from crawlfleet.coordinator.core import admission, budget, politeness, reach, retry, robots, sitemaps, units
from crawlfleet.coordinator.core.admission import awaken_host, is_wanted, reopen_robots, want_places
from crawlfleet.coordinator.core.awaited_rows import AwaitedRow
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.figures import RobotsWaits
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import Gate, OriginRow, TaskRow, TaskState, queue_of, succeed
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.messages import Kind, Report
from crawlfleet.shared.reasons import KEPT_OUT, UNSERVED, Reason, bare

# Why what waits behind a gate is dropped if its robots.txt is not had.
NOT_HAD = UNSERVED | {Reason.ROBOTS_UNREACHABLE}
NAMED = 5
LEAST_STARTS = 10
DROPPED_AT_ONCE = 500
# How often a file is requested while nothing else is left.
LAST_LOOKS = 4


def holds_back(origin: OriginRow) -> bool:
    """Say whether the pages of an origin wait for its robots.txt."""
    return origin.gate is Gate.WAITING or (origin.rechecking and not origin.failed_looks)


def is_overdue(origin: OriginRow, now: float) -> bool:
    """Say whether the next page of an origin triggers a recheck of its robots.txt."""
    return origin.gate is not Gate.WAITING and not origin.rechecking and origin.expires_at <= now


def recheck(turn: Turn, origin: OriginRow) -> tuple[OriginRow, TaskRow]:
    """Request a robots.txt again; return the updated origin and task."""
    after = succeed(origin, rechecking=True)
    turn.put(after)
    return after, reopen_robots(turn, origin.origin)


def again_at(turn: Turn, task: TaskRow, report: Report) -> float | None:
    """Return when the task must request an unavailable robots.txt again; None if this look is over."""
    policy, now, origin = turn.policy, turn.now, _origin(turn, task)
    is_judged = report.reason in KEPT_OUT or robots.gate_of(report) is not Gate.DISALLOW
    if is_judged or robots.is_ignored(origin.origin, policy):
        return None
    soon = now + retry.pause_s(policy, task) if _is_tried_soon(origin, task, report, policy) else None
    if origin.gate is not Gate.WAITING or report.reason in UNSERVED:
        return soon
    last_until = turn.ledger.robots_waits.last_until
    give_up_at = min(_failing_since(origin, now) + policy.politeness.robots_wait_s, last_until or math.inf)
    held_until = turn.host(task.host).hold_until
    if soon is not None and held_until <= max(give_up_at, now + policy.tuning.retry_max_s):
        return soon
    longest_s = math.inf if last_until is None else policy.politeness.robots_wait_last_s / LAST_LOOKS
    at = min(now + min(_pause_s(origin, policy), longest_s), give_up_at)
    return at if at > now and held_until <= give_up_at else None


def look_failed(turn: Turn, task: TaskRow, report: Report) -> None:
    """Record that a robots.txt was unavailable; the same task will request it again."""
    origin = _origin(turn, task)
    if origin.gate is Gate.WAITING and report.reason in UNSERVED:
        turn.put(succeed(origin, why=report.reason))
        return
    if origin.gate is Gate.WAITING and origin.failing_since is None:
        waits = turn.ledger.robots_waits
        _set_waits(turn, waiting=waits.waiting + 1, waiting_for=_named(waits.waiting_for, origin, report.reason))
    is_over = not _is_tried_soon(origin, task, report, turn.policy)
    if is_over and origin.gate is Gate.WAITING:
        _await(turn, origin, task)
    turn.put(
        succeed(
            origin,
            failing_since=_failing_since(origin, turn.now),
            failed_looks=origin.failed_looks + is_over,
            why=report.reason,
            detail=report.detail,
        )
    )


def judge(turn: Turn, task: TaskRow, report: Report) -> None:
    """Open or close an origin's gate after the final answer for its robots.txt."""
    origin, gate, agent = _origin(turn, task), robots.gate_of(report), turn.policy.politeness.user_agent
    if gate is Gate.DISALLOW:
        why = f"after a redirect: {report.reason}" if task.hops else report.reason
        cannot_be_had(turn, task, why, report.detail)
        return
    had = succeed(
        origin,
        gate=gate,
        robots=report.body if gate is Gate.RULES else b"",
        expires_at=turn.now + _kept_s(turn, origin, _fresh_s(report, turn.policy)),
        rechecking=False,
        failing_since=None,
        failed_looks=0,
        why="",
        detail="",
    )
    _decided(turn, origin, msgspec.structs.replace(had, asked_delay_s=robots.asked_delay_s(had, agent)))


def cannot_be_had(turn: Turn, task: TaskRow, why: str, detail: str = "") -> None:
    """Judge an origin whose robots task ended without an answer: known rules stay in force, else nothing is allowed."""
    origin = _origin(turn, task)
    verdict: dict[str, Any]
    if origin.gate in (Gate.RULES, Gate.ALLOW):
        again_s = _pause_s(origin, turn.policy)
        verdict = {"failing_since": _failing_since(origin, turn.now), "failed_looks": origin.failed_looks + 1}
    else:
        again_s = turn.policy.tuning.robots_fresh_s
        verdict = {"failing_since": None, "failed_looks": 0, "gate": Gate.DISALLOW}
    expires_at = turn.now + _kept_s(turn, origin, again_s)
    verdict |= {"why": why, "detail": detail}
    _decided(turn, origin, succeed(origin, rechecking=False, expires_at=expires_at, **verdict))


def refuse_by_robots(turn: Turn, tasks: Iterable[TaskRow]) -> list[TaskRow]:
    """Drop the pages and sitemaps that the robots.txt of their origin refuses; return the others."""
    allowed = []
    for task in tasks:
        origin = turn.origins[task.gate] if task.kind is not Kind.ROBOTS else None
        reason = robots.refuses(origin, task.url, turn.policy) if origin is not None else ""
        if origin is not None and reason:
            budget.give_back(turn, task)
            detail = robots.about(origin, reason)
            turn.move(task, TaskEvent.REFUSED, reason=reason, detail=detail, lease=0, reserved=False)
            if task.kind is Kind.SITEMAP:
                sitemaps.tell_short(turn, task, reason)
        else:
            allowed.append(task)
    return allowed


def look_again(turn: Turn, tasks: Sequence[TaskRow]) -> None:
    """Request a robots.txt again that could not be had; what was dropped for that waits for it, if still wanted."""
    tasks = [task for task in tasks if task.state is TaskState.DROPPED and task.kind is not Kind.ROBOTS]
    tasks = [task for task in tasks if is_wanted(task, turn.policy)]
    want_places(turn, [task.url for task in tasks])
    turn.tasks.read(robots.task_ref(task.gate) for task in tasks)
    for task in tasks:
        _look_again(turn, existing(turn.origins[task.gate]))
        turn.move(task, TaskEvent.REVIVED, reason="", detail="", queue=queue_of(task))
        if task.kind is Kind.SITEMAP:
            sitemaps.tell_no_more(turn, task)
        awaken_host(turn, task.host)


def go_by_new_job(turn: Turn, tasks: Sequence[TaskRow]) -> None:
    """Judge known tasks again after the job has changed: it may open what the crawl was kept out of."""
    kept_out = [task for task in tasks if task.reason in KEPT_OUT]
    admission.reconsider(turn, [task for task in tasks if task.reason not in KEPT_OUT])
    admission.want_places(turn, [task.url for task in kept_out])
    turn.tasks.read(robots.task_ref(task.gate) for task in kept_out)
    for task in kept_out:
        if task.state is TaskState.DROPPED and task.kind is not Kind.ROBOTS:
            _try_again(turn, task)


def _try_again(turn: Turn, task: TaskRow) -> None:
    """Let a URL in of which only a connection will tell whether the crawl is still kept out."""
    link = Link(
        url=task.url,
        depth=task.depth,
        always=task.seed,
        kind=task.kind,
        serves=task.origin,
        ref=task.ref,
        asked=task.asked,
        seed_line=task.seed_line,
    )
    if admission.refusal_of(turn, link):
        return
    reach.let_in(turn, task)
    turn.move(task, TaskEvent.REVIVED, reason="", detail="", queue=queue_of(task))
    if task.kind is Kind.SITEMAP:
        sitemaps.tell_no_more(turn, task)
    admission.let_in(turn, task.url, 0 if task.asked else task.depth)
    origin = existing(turn.origins[task.gate])
    if _is_kept_out(origin):
        _look_again(turn, origin)


def _look_again(turn: Turn, origin: OriginRow) -> None:
    """Request a robots.txt again that could not be had, unless nobody needs it."""
    if origin.gate is Gate.DISALLOW and not origin.rechecking and not robots.is_ignored(origin.origin, turn.policy):
        if not _is_kept_out(origin):
            _given_up_no_more(turn, origin)
        turn.put(succeed(origin, gate=Gate.WAITING, why=""))
        reopen_robots(turn, origin.origin)


def _decided(turn: Turn, before: OriginRow, after: OriginRow) -> None:
    """Store a judged origin; update the delay of its host or unit, which follows from all origins there."""
    if before.gate is Gate.WAITING and before.failing_since is not None:
        waits = turn.ledger.robots_waits
        others = tuple(name for name in waits.waiting_for if name[0] != after.origin)
        _set_waits(turn, waiting=waits.waiting - 1, waiting_for=others)
    if after.gate is Gate.DISALLOW and before.gate is Gate.WAITING and not _is_kept_out(after):
        waits = turn.ledger.robots_waits
        _set_waits(turn, given_up=waits.given_up + 1, given_up_on=_named(waits.given_up_on, after, after.why))
    awaited = _awaited(turn, after.origin) if before.gate is Gate.WAITING and before.failed_looks else None
    if awaited is not None:
        turn.remove(awaited)
    if before.gate is Gate.DISALLOW and after.gate is not Gate.DISALLOW and not _is_kept_out(before):
        _given_up_no_more(turn, after)
    turn.put(after)
    if after.gate is Gate.DISALLOW:
        _drop_some(turn, after)
    unit = existing(turn.hosts[after.host]).unit
    if unit:
        units.count_asked(turn, unit, before.asked_delay_s, after.asked_delay_s)
    host = turn.host(after.host)
    paced = politeness.asked(host, units.asked_delay_s(turn, host), turn.policy, turn.now)
    if paced is not host:
        turn.put(paced)
    awaken_host(turn, after.host)


def _await(turn: Turn, origin: OriginRow, task: TaskRow) -> None:
    row = _awaited(turn, origin.origin)
    if row is None:
        turn.put(AwaitedRow(origin=origin.origin, ref=task.ref))
    elif row.ref != task.ref:
        turn.put(succeed(row, ref=task.ref))


def _awaited(turn: Turn, origin: str) -> AwaitedRow | None:
    """Return the row of an origin, which is in memory if there is one."""
    table = turn.table(AwaitedRow)
    table.read((origin,))
    row: AwaitedRow | None = table[origin]
    return row


def _drop_some(turn: Turn, origin: OriginRow) -> None:
    """Drop what waits behind a closed gate at once; what is too much for a turn goes when its host is looked at."""
    for task in turn.ready(origin.origin, DROPPED_AT_ONCE).tasks:
        reason = robots.refuses(origin, task.url, turn.policy)
        if reason:
            turn.move(task, TaskEvent.REFUSED, reason=reason, detail=robots.about(origin, reason), lease=0)
            if task.kind is Kind.SITEMAP:
                sitemaps.tell_short(turn, task, reason)


def _origin(turn: Turn, task: TaskRow) -> OriginRow:
    """Return the origin that a robots task serves."""
    return existing(turn.origins[task.origin])


def _failing_since(origin: OriginRow, now: float) -> float:
    return origin.failing_since if origin.failing_since is not None else now


def _is_tried_soon(origin: OriginRow, task: TaskRow, report: Report, policy: Policy) -> bool:
    """Say whether a look goes on. A server that was there, and now seems not to be, may just be started again."""
    was_served = bool(origin.why) and origin.why not in UNSERVED and report.reason in UNSERVED
    return retry.is_passing(report) and (was_served or task.attempt < policy.fetch.retries)


def _pause_s(origin: OriginRow, policy: Policy) -> float:
    """Return the pause before the next look. It doubles: requests do not help a server that is down."""
    pause: float = policy.tuning.robots_pause_s * 2.0 ** min(origin.failed_looks, 30)
    return min(policy.tuning.robots_pause_max_s, pause)


def _fresh_s(report: Report, policy: Policy) -> float:
    """Return how long an answer is valid: a day, or less if its Cache-Control says so (RFC 9309, 2.4)."""
    if report.fresh_s is None:
        return policy.tuning.robots_fresh_s
    return min(policy.tuning.robots_fresh_s, max(policy.tuning.robots_fresh_least_s, report.fresh_s))


def _kept_s(turn: Turn, origin: OriginRow, seconds: float) -> float:
    """Return how long an answer is kept. On a host with a long delay it must last for several pages."""
    return max(seconds, LEAST_STARTS * turn.host(origin.host).delay_s)


def _is_kept_out(origin: OriginRow) -> bool:
    """Say whether a robots.txt was not asked for since the crawl is kept out: that is no failure of its server."""
    return bare(origin.why) in KEPT_OUT


def _named(names: tuple[tuple[str, str], ...], origin: OriginRow, why: str) -> tuple[tuple[str, str], ...]:
    """Return names with one more, unless there are `NAMED` already."""
    return (*names, (origin.origin, why)) if len(names) < NAMED else names


def _given_up_no_more(turn: Turn, origin: OriginRow) -> None:
    waits = turn.ledger.robots_waits
    others = tuple(name for name in waits.given_up_on if name[0] != origin.origin)
    _set_waits(turn, given_up=max(0, waits.given_up - 1), given_up_on=others)


def _set_waits(turn: Turn, **changed: object) -> None:
    waits: RobotsWaits = turn.ledger.robots_waits.but(**changed)
    turn.put(succeed(turn.ledger, robots_waits=waits))
