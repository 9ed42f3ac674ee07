"""What becomes a task, and at which depth.

A URL's depth is its shortest known distance from a seed. A task DROPPED for its depth is revived when a shorter path is
found, and a page whose depth falls passes that on to its outlinks. So the pages fetched do not depend on the order of
events.

A page *beyond* the crawl is one that no seed leads to within the depth limit. It is fetched only because a program
asked for it, and leads on to nothing: its outlinks are kept. When the crawl reaches it, they are admitted.

A link out of scope may be checked: see `checks`. When such a URL comes into the scope, its check becomes a page.

A turn is small: kept outlinks are admitted in portions, and so are smaller depths passed on if they are many (see
`leading_on`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from crawlfleet.coordinator.core import budget, checks, politeness, reach, robots, traps
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.creation import create_task, ensure_host, has_place, priority_of
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, LeadOnRow
from crawlfleet.coordinator.core.latest_scope import refusal_in
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Policy, TrapLimits
from crawlfleet.coordinator.core.rows import FINAL, NOT_REACHED, Gate, OriginRow, TaskRow, TaskState, succeed
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.coordinator.core.units import key_of_name
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.reasons import BUDGETS, KEPT_OUT, TRAPS, Reason, Refusal
from crawlfleet.shared.web.urls import parts

RECONSIDERED = frozenset({Reason.DEPTH, Reason.HOST, Reason.INCLUDE, Reason.EXCLUDE}) | BUDGETS | TRAPS
_NO_TRAPS = TrapLimits()
_RECORDED = frozenset({Reason.DEPTH}) | TRAPS
_OUT_OF_REACH = _RECORDED | {Reason.CANCELLED}
_OUT_OF_SCOPE = frozenset({Reason.HOST, Reason.INCLUDE, Reason.EXCLUDE})
# The fields of a task that starts over.
_AFRESH: dict[str, Any] = {"attempt": 0, "refusals": 0, "losses": 0, "deaths": 0, "alone": False, "not_before": 0.0}
_AFRESH |= {"reason": "", "outcome": None, "status": 0, "lease": 0}
_OF_A_PAGE = frozenset({Kind.PAGE, Kind.CHECK})
_WITH_OUTLINKS = frozenset({Outcome.FETCHED, Outcome.EXTRACT_ERROR})


def admit(turn: Turn, links: Sequence[Link], nearer: Iterable[tuple[bytes, int]] = ()) -> None:
    """Admit unknown links. Pass on the smaller depths of known ones, and of the tasks in `nearer`."""
    found = list(nearer)
    for link in links:
        depth = turn.depths[link.ref]
        if depth is None:
            _admit_new(turn, link)
        elif link.kind is Kind.ROBOTS:
            _recheck(turn, existing(turn.tasks[link.ref]), link.hops)
        elif link.depth < depth and link.kind is Kind.PAGE:
            found.append((link.ref, link.depth))
    left = turn.policy.tuning.links_per_portion
    while found:
        turn.tasks.read(ref for ref, _ in found)
        further: list[tuple[bytes, int]] = []
        for ref, depth in found:
            outlinks = _lower(turn, turn.tasks[ref], depth)
            if len(outlinks) <= left:
                left -= len(outlinks)
                further += outlinks
            else:
                let_lead_on(turn, existing(turn.tasks[ref]))
        found = further


def want(turn: Turn, links: Sequence[Link]) -> None:
    """Read what admitting these links will look up: the places of the unknown ones."""
    turn.depths.read(link.ref for link in links)
    want_places(turn, [link.url for link in links if turn.depths[link.ref] is None])


def want_places(turn: Turn, urls: Iterable[str]) -> None:
    """Read what judging canonical URLs and opening their origins will look up, in one call for each table."""
    places = [(parts(url), url) for url in urls]
    if not places:
        return
    turn.origins.read(place.origin for place, _ in places)
    names = {place.host for place, _ in places}
    turn.read_hosts(names.union(key_of_name(name, turn.policy) for name in names))
    if turn.policy.traps != _NO_TRAPS:
        turn.traps.read(key for _, url in places for key in traps.keys_of(turn, url))


def reconsider(turn: Turn, tasks: Sequence[TaskRow]) -> None:
    """Judge known tasks again after the rules have changed: revive those now allowed, drop those now refused.

    A robots.txt that was dropped with the pages that waited for it is requested again. A page that was beyond the
    crawl, and is within it now, leads on.
    """
    tasks = [task for task in tasks if task.kind is not Kind.SITEMAP]
    want_places(turn, [task.url for task in tasks])
    turn.tasks.read(robots.task_ref(parts(task.url).origin) for task in tasks)
    read = [task for task in tasks if _was_read(task) and not is_beyond(task.depth, turn.policy)]
    kept = turn.table(KeptLinksRow)
    kept.read(task.order for task in read)
    for task in tasks:
        if task.kind is Kind.ROBOTS:
            _revive_robots(turn, task.origin)
        elif task.kind is Kind.CHECK:
            _reconsider_check(turn, task)
        else:
            _reconsider(turn, task)
    for task in read:
        row: KeptLinksRow | None = kept[task.order]
        if row is not None and row.links:
            let_lead_on(turn, task)


def take_up(turn: Turn, tasks: Sequence[TaskRow]) -> None:
    """Let pages be fetched again that had failed because a machine lacked something, if anybody wants them still."""
    tasks = [task for task in tasks if is_wanted(task, turn.policy)]
    want_places(turn, [task.url for task in tasks])
    turn.tasks.read(robots.task_ref(parts(task.url).origin) for task in tasks)
    for task in tasks:
        if task.state is TaskState.FAILED:
            budget.take_back(turn, task)
            turn.move(task, TaskEvent.REVIVED, **_AFRESH, detail="", queue=task.gate)
            let_in(turn, task.url)
            _revive_dropped_robots(turn, parts(task.url).origin)


def adopt(turn: Turn, task: TaskRow, depth: int | None = None, *, asked: bool = False) -> TaskRow:
    """Let the URL of a check be fetched as a page if it is in scope by now, and a page or a program leads to it.

    `depth` is a smaller one than was known. One that is LEASED stays a check until it is settled.
    """
    depth, asked = task.depth if depth is None else depth, task.asked or asked
    is_check = task.kind is Kind.CHECK and task.state is not TaskState.LEASED
    if not is_check or (depth == NOT_REACHED and not asked) or not checks.is_in_scope(turn, task):
        return task
    refusal = task.reason if task.reason in TRAPS and depth and not asked else ""
    if is_beyond(depth, turn.policy) and not asked:
        refusal = Reason.DEPTH
    want_places(turn, [task.url])
    refusal = reach.refusal_of(turn, task.url) or refusal
    priority = priority_of(Link(url=task.url, depth=depth, priority=task.priority), turn.policy)
    page: dict[str, Any] = {"kind": Kind.PAGE, "depth": depth, "priority": priority, "queue": task.gate, "asked": asked}
    task = turn.move(task, TaskEvent.ADOPTED, **_AFRESH, **page, hops=(), outlinks=(), detail="", by_get=False)
    if refusal:
        detail = reach.keep_out(turn, task) if refusal in KEPT_OUT else ""
        return turn.move(task, TaskEvent.REFUSED, reason=refusal, detail=detail)
    let_in(turn, task.url)
    _revive_dropped_robots(turn, task.origin)
    return task


def as_they_are_now(turn: Turn, tasks: Sequence[TaskRow]) -> list[TaskRow]:
    """Return tasks with the pages that checks have become, and without those of them that are too deep."""
    if not turn.policy.links.check_external:
        return list(tasks)
    return [task for task in (adopt(turn, each) for each in tasks) if task.state is TaskState.PENDING]


def is_wanted(task: TaskRow, policy: Policy) -> bool:
    """Say whether a task is no page that is beyond the crawl and that nobody asks for."""
    return task.asked or task.kind is Kind.CHECK or not is_beyond(task.depth, policy)


def is_beyond(depth: int, policy: Policy) -> bool:
    """Say whether a page of this depth is beyond the crawl."""
    limit = policy.extent.depth
    return depth == NOT_REACHED or (limit is not None and depth > limit)


def revive(turn: Turn, task: TaskRow) -> None:
    """Revive a page that was DROPPED only because it was beyond the crawl, or is in scope by now.

    It stays beyond the crawl: a trap counts as never reached.
    """
    is_revivable = task.state is TaskState.DROPPED and task.reason in _OUT_OF_REACH | _OUT_OF_SCOPE
    if not is_revivable or refusal_in(turn, task.url, task.seed_line) or reach.refusal_of(turn, task.url):
        return
    depth = NOT_REACHED if task.reason in TRAPS else task.depth
    turn.move(task, TaskEvent.REVIVED, depth=depth, reason="", detail="", asked=True)
    let_in(turn, task.url)
    _revive_dropped_robots(turn, parts(task.url).origin)


def reopen_robots(turn: Turn, origin: str) -> TaskRow:
    """Request an origin's robots.txt again; return its task."""
    ref = robots.task_ref(origin)
    task = turn.tasks[ref]
    if task is not None:
        return _recheck(turn, task, ())
    task = _create_robots_task(turn, origin)
    awaken_host(turn, task.host)
    return task


def awaken_host(turn: Turn, key: str, not_before: float = 0.0) -> None:
    """Schedule a check of a host on which something may wait, or of its unit."""
    note_waiting(turn, key, not_before)
    host = turn.host(key)
    after = politeness.awaken(host, turn.now, turn.policy, not_before)
    if after is not host:
        turn.put(after)


def note_waiting(turn: Turn, key: str, not_before: float = 0.0) -> None:
    """Note that something may wait on a host, if it is in a unit: it is looked at when the unit is."""
    host = existing(turn.hosts[key])
    at = max(turn.now, not_before)
    if host.unit and (host.ready_at is None or host.ready_at > at):
        turn.put(succeed(host, ready_at=at))


def _reconsider(turn: Turn, task: TaskRow) -> None:
    link = Link(url=task.url, depth=task.depth, asked=task.asked, seed_line=task.seed_line)
    # A seed that waits stays, whatever the scope has become; one that was dropped comes back only if it is let in.
    refusal = "" if task.seed and task.state is TaskState.PENDING else _out_of_scope(turn, link)
    refusal = _kept_out(turn, task.url, refusal)
    if not refusal and task.depth and not task.asked:
        # A pending page has been counted for the traps already.
        pending = task.state is TaskState.PENDING
        refusal = traps.shape(task.url, turn.policy) if pending else traps.refusal(turn, task.url)
    if task.state is TaskState.PENDING and refusal:
        budget.give_back(turn, task)
        detail = reach.keep_out(turn, task) if refusal in KEPT_OUT else task.detail
        turn.move(task, TaskEvent.REFUSED, reason=refusal, detail=detail, lease=0, reserved=False)
    elif task.state is TaskState.DROPPED and task.reason in RECONSIDERED and not refusal:
        turn.move(task, TaskEvent.REVIVED, reason="")
        let_in(turn, task.url, 0 if task.asked else task.depth)
        _revive_robots(turn, parts(task.url).origin)


def _reconsider_check(turn: Turn, task: TaskRow) -> None:
    if adopt(turn, task) is not task:
        return
    refusal = _kept_out(turn, task.url, checks.refusal_of(turn, task.url))
    if task.state is TaskState.PENDING and refusal:
        detail = reach.keep_out(turn, task) if refusal in KEPT_OUT else task.detail
        turn.move(task, TaskEvent.REFUSED, reason=refusal, detail=detail, lease=0)
    elif task.state is TaskState.DROPPED and task.reason in RECONSIDERED | {Reason.CANCELLED} and not refusal:
        refusal = traps.refusal(turn, task.url)
        if not refusal:
            turn.move(task, TaskEvent.REVIVED, reason="")
            let_in(turn, task.url, task.depth)
            _revive_robots(turn, task.origin)


def _lower(turn: Turn, task: TaskRow | None, depth: int) -> list[tuple[bytes, int]]:
    """Give a task a smaller depth, or revive it if it was DROPPED for that; return its outlinks, one step deeper."""
    if task is None or depth >= task.depth:  # None: this outlink was not admitted
        return []
    if task.kind is Kind.CHECK:  # it leads to nothing
        if adopt(turn, task, depth) is task:
            turn.move(task, TaskEvent.LOWERED, depth=depth)
        return []
    too_deep = is_beyond(depth, turn.policy)
    is_known_trap = task.reason in TRAPS and depth > 0
    if task.state is TaskState.DROPPED and task.reason in _OUT_OF_REACH and not too_deep and not is_known_trap:
        want_places(turn, [task.url])
        refusal = traps.refusal(turn, task.url) if depth else ""
        if refusal:
            turn.move(task, TaskEvent.LOWERED, depth=depth, reason=refusal)
            return []
        turn.move(task, TaskEvent.REVIVED, depth=depth, reason="")
        let_in(turn, task.url, depth)
        return []
    if not too_deep and is_beyond(task.depth, turn.policy) and not _reach(turn, task, depth):
        return []
    reason = Reason.DEPTH if task.reason == Reason.CANCELLED else task.reason
    turn.move(task, TaskEvent.LOWERED, depth=depth, reason=reason)
    if not task.outlinks and not too_deep and turn.policy.extent.depth is not None and _was_read(task):
        let_lead_on(turn, task)
    return [(ref, depth + step_from(task)) for ref in task.outlinks]


def step_from(task: TaskRow) -> int:
    """Return how much deeper than a page its outlinks are."""
    return 0 if task.outcome is Outcome.REDIRECTED else 1


def let_lead_on(turn: Turn, task: TaskRow) -> None:
    """Let the outlinks of a page be admitted, or get smaller depths, from the first one on."""
    row: LeadOnRow | None = turn.table(LeadOnRow)[task.order]
    if row is None:
        turn.put(LeadOnRow(order=task.order, ref=task.ref, host=task.host))
    elif row.done:
        turn.put(succeed(row, done=0))


def _reach(turn: Turn, task: TaskRow, depth: int) -> bool:
    """Count a page that a program had asked for, and let its kept outlinks be admitted; say False if it is a trap."""
    if task.depth == NOT_REACHED and depth and turn.policy.traps != _NO_TRAPS:
        want_places(turn, [task.url])
        if traps.refusal(turn, task.url):
            return False
        traps.count(turn, task.url)
    if _was_read(task):
        let_lead_on(turn, task)
    return True


def _was_read(task: TaskRow) -> bool:
    return task.kind is Kind.PAGE and task.outcome in _WITH_OUTLINKS and task.state in FINAL


def _admit_new(turn: Turn, link: Link) -> None:
    refusal = refusal_of(turn, link)
    if checks.takes(turn, link, refusal):
        link = msgspec.structs.replace(link, kind=Kind.CHECK)
        refusal = refusal_of(turn, link)
    if refusal and not (link.always or refusal in _RECORDED | KEPT_OUT):
        return
    if not (link.always or link.asked or has_place(turn, link.url)):
        return
    create_task(turn, link, refusal, reach.keep_out(turn, link) if refusal in KEPT_OUT else "")
    if refusal:
        return
    if link.kind in _OF_A_PAGE:
        let_in(turn, link.url, 0 if link.asked else link.depth)
    elif link.kind is Kind.SITEMAP:
        let_in(turn, link.url)
    else:
        address = parts(link.url)
        ensure_host(turn, address)
        awaken_host(turn, address.host)


def let_in(turn: Turn, url: str, depth: int = 0) -> None:
    """Make sure that a URL's host exists and its robots.txt is requested, once; schedule a check of the host.

    A page deeper than a seed counts for the traps. That comes first: they count origins that are not known yet.
    """
    if depth and turn.policy.traps != _NO_TRAPS:
        traps.count(turn, url)
    address = parts(url)
    if turn.origins[address.origin] is None:
        ensure_host(turn, address)
        ignored = robots.is_ignored(address.origin, turn.policy)
        gate = Gate.ALLOW if ignored else Gate.WAITING
        turn.put(OriginRow(origin=address.origin, host=address.host, gate=gate))
        if not ignored:
            _create_robots_task(turn, address.origin)
    awaken_host(turn, address.host)


def _create_robots_task(turn: Turn, origin: str) -> TaskRow:
    return create_task(turn, Link(url=robots.url_of(origin), depth=0, kind=Kind.ROBOTS, serves=origin))


def _revive_robots(turn: Turn, origin: str) -> None:
    """Request a robots.txt for which pages wait again, if its task was dropped together with them."""
    row, task = turn.origins[origin], turn.tasks[robots.task_ref(origin)]
    if row is not None and task is not None and (row.gate is Gate.WAITING or row.rechecking):
        _recheck(turn, task, ())


def _revive_dropped_robots(turn: Turn, origin: str) -> None:
    rules = turn.tasks[robots.task_ref(origin)]
    if rules is not None and rules.state is TaskState.DROPPED:  # one that is DONE may have redirected: that goes on
        _revive_robots(turn, origin)


def _recheck(turn: Turn, task: TaskRow, hops: tuple[str, ...]) -> TaskRow:
    """Request a robots.txt once more: its task starts over."""
    if task.state not in FINAL:
        return task
    task = turn.move(task, TaskEvent.RECHECKED, **_AFRESH, hops=hops, queue=task.host)
    awaken_host(turn, task.host)
    return task


def refusal_of(turn: Turn, link: Link) -> Refusal:
    """Return the rule that refuses an unknown link, if any. What somebody listed or asked for is never a trap."""
    refusal = _kept_out(turn, link.url, _out_of_scope(turn, link))
    is_listed = not link.depth or link.asked
    if refusal or is_listed or link.kind not in _OF_A_PAGE or turn.policy.traps == _NO_TRAPS:
        return refusal
    return traps.refusal(turn, link.url)


def _kept_out(turn: Turn, url: str, refusal: Refusal) -> Refusal:
    """Return the rule that refuses a URL: what is in scope, at whatever depth, may lead where the crawl must not go."""
    return refusal if refusal in _OUT_OF_SCOPE else reach.refusal_of(turn, url) or refusal


def _out_of_scope(turn: Turn, link: Link) -> Refusal:
    if link.kind is Kind.ROBOTS:
        return ""
    if link.kind is Kind.CHECK:
        return checks.refusal_of(turn, link.url)
    if link.kind is Kind.SITEMAP:
        # A sitemap may be on any host, but the origin that it serves must be in scope.
        return Reason.HOST if refusal_in(turn, f"{link.serves}/") == Reason.HOST and not link.always else ""
    refusal = refusal_in(turn, link.url, link.seed_line)
    if is_beyond(link.depth, turn.policy) and not link.asked:
        return refusal or (Reason.CANCELLED if link.depth == NOT_REACHED else Reason.DEPTH)
    return refusal
