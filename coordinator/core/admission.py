"""What becomes a task, and at which depth.

A URL's depth is the shortest distance known: what was DROPPED for its depth is revived when it is found nearer, and a
page that is found nearer passes that on to its outlinks, so the pages fetched do not depend on the order of events.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from crawlfleet.coordinator.core import budget, politeness, robots, traps
from crawlfleet.coordinator.core.changes import Change, HostSet, LedgerSet, OriginSet, TaskMoved
from crawlfleet.coordinator.core.facts import Facts
from crawlfleet.coordinator.core.policy import Policy, Priority, TrapLimits
from crawlfleet.coordinator.core.rows import FINAL, Gate, LedgerRow, OriginRow, TaskRow, TaskState, succeed
from crawlfleet.coordinator.core.transitions import TaskEvent, born, move
from crawlfleet.coordinator.core.units import join, key_of_name, new_host
from crawlfleet.shared.messages import Kind, Outcome, ScopeSpec
from crawlfleet.shared.web.patterns import Patterns
from crawlfleet.shared.web.scope import Scope
from crawlfleet.shared.web.urls import Parts, fingerprint, parts

DEPTH_RULE = "depth"
RECONSIDERED = frozenset({DEPTH_RULE, "host", "include", "exclude"}) | budget.RULES | traps.RULES
_NO_TRAPS = TrapLimits()
_RECORDED = frozenset({DEPTH_RULE}) | traps.RULES


class Nearer(msgspec.Struct, frozen=True):
    """A known task was found at this depth, too."""

    ref: bytes
    depth: int


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Something discovered: a canonical URL (as the sender says) and where it was found.

    `always` asks for a row even when the scope refuses it (seeds and redirect targets, so that they can be explained).
    `ref`, the fingerprint of the task that it names, is computed unless it is given.
    """

    url: str
    depth: int
    found_on: bytes = b""
    hops: tuple[str, ...] = ()
    seed: bool = False
    always: bool = False
    kind: Kind = Kind.PAGE
    serves: str = ""
    priority: int = 0
    lastmod: int = 0
    ref: bytes = b""

    def __post_init__(self) -> None:
        if not self.ref:
            msgspec.structs.force_setattr(self, "ref", fingerprint(self.kind, self.serves, self.url))


class _LatestScope:
    """The scope asked for last. It is known by its very parts: they may name more hosts than can be hashed a link."""

    def __init__(self) -> None:
        self._parts: tuple[ScopeSpec | None, tuple[str, ...]] = (None, ())
        self._scope = Scope(ScopeSpec())

    def of(self, spec: ScopeSpec, joined: tuple[str, ...]) -> Scope:
        """Return the scope of a job with the hosts that joined it."""
        known = self._parts
        if known[0] is not spec or known[1] is not joined:
            hosts = tuple(dict.fromkeys((*spec.hosts, *joined)))
            self._scope = Scope(msgspec.structs.replace(spec, hosts=hosts))
            self._parts = (spec, joined)
        return self._scope


scope_of = _LatestScope().of


def admit(links: Iterable[Link], facts: Facts, policy: Policy, now: float) -> list[Nearer]:
    """Admit what is not known; the changes go to `facts`. Return what is known, but was found nearer now."""
    nearer = []
    for link in links:
        depth = facts.depths[link.ref]
        if depth is None:
            _admit_new(link, facts, policy, now)
        elif link.kind is Kind.ROBOTS:
            _recheck(facts.tasks[link.ref], link.hops, facts, policy, now)
        elif link.depth < depth and link.kind is Kind.PAGE:
            nearer.append(Nearer(link.ref, link.depth))
    return nearer


def lower(nearer: Iterable[Nearer], facts: Facts, policy: Policy, now: float) -> list[Nearer]:
    """Give tasks a smaller depth and revive what was DROPPED for it; return the outlinks that are nearer by that."""
    follow = []
    for found in nearer:
        task = facts.tasks[found.ref]
        if task is not None and found.depth < task.depth:
            follow += _lower(task, found.depth, facts, policy, now)
    return follow


def reconsider(task: TaskRow, facts: Facts, policy: Policy, now: float) -> None:
    """Judge a known page again, by rules that have changed: revive what they allow, drop what they refuse."""
    link = Link(url=task.url, depth=task.depth)
    refusal = "" if task.seed else _out_of_scope(link, facts.ledger, policy)
    if not refusal and task.depth:
        # What was let in has been counted.
        pending = task.state is TaskState.PENDING
        refusal = traps.shape(task.url, policy) if pending else traps.refusal(task.url, facts, policy)
    if task.state is TaskState.PENDING and refusal:
        budget.give_back(task, facts, policy)
        facts.take([move(task, TaskEvent.REFUSED, reason=refusal, lease=0, reserved=False)])
    elif task.state is TaskState.DROPPED and task.reason in RECONSIDERED and not refusal:
        facts.take([move(task, TaskEvent.REVIVED, reason="")])
        _let_in(task.url, task.depth, facts, policy, now)
        _revive_robots(parts(task.url).origin, facts, policy, now)


def reopen_robots(origin: str, facts: Facts, policy: Policy, now: float) -> TaskRow:
    """Let an origin's robots.txt be asked for again; return its task. If it had one, that is in `facts`."""
    ref = robots.task_ref(origin)
    task = facts.tasks[ref]
    if task is None:
        _bear_robots(origin, facts, policy)
        awaken_host(facts, parts(robots.url_of(origin)).host, policy, now)
    else:
        _recheck(task, (), facts, policy, now)
    after = facts.tasks[ref]
    assert after is not None, "the task is there now"
    return after


def awaken_host(facts: Facts, key: str, policy: Policy, now: float, not_before: float = 0.0) -> None:
    """Let a host be looked at, since something may be waiting there."""
    host = facts.host(key)
    after = politeness.awaken(host, now, policy, not_before)
    if after is not host:
        facts.take([HostSet(host=after)])


def _lower(task: TaskRow, depth: int, facts: Facts, policy: Policy, now: float) -> list[Nearer]:
    too_deep = policy.depth is not None and depth > policy.depth
    is_known_trap = task.reason in traps.RULES and depth > 0
    if task.state is TaskState.DROPPED and task.reason in _RECORDED and not too_deep and not is_known_trap:
        refusal = traps.refusal(task.url, facts, policy) if depth else ""
        if refusal:
            facts.take([move(task, TaskEvent.LOWERED, depth=depth, reason=refusal)])
            return []
        facts.take([move(task, TaskEvent.REVIVED, depth=depth, reason="")])
        _let_in(task.url, depth, facts, policy, now)
        return []
    facts.take([move(task, TaskEvent.LOWERED, depth=depth)])
    step = 0 if task.outcome is Outcome.REDIRECTED else 1
    return [Nearer(ref, depth + step) for ref in task.outlinks]


def _admit_new(link: Link, facts: Facts, policy: Policy, now: float) -> None:
    refusal = _refusal(link, facts, policy)
    if refusal and not (link.always or refusal in _RECORDED):
        return
    order = facts.ledger.next_order
    facts.take([LedgerSet(ledger=succeed(facts.ledger, next_order=order + 1)), _born(link, refusal, order, policy)])
    if link.kind is Kind.PAGE and not refusal:
        _let_in(link.url, link.depth, facts, policy, now)
    elif link.kind is Kind.SITEMAP and not refusal:
        _open(link.url, facts, policy, now)
    elif not refusal:
        facts.take(_ensure_host(parts(link.url), facts, policy))
        awaken_host(facts, parts(link.url).host, policy, now)


def _let_in(url: str, depth: int, facts: Facts, policy: Policy, now: float) -> None:
    """Count what may be a trap, and open what the page needs."""
    if depth and policy.traps != _NO_TRAPS:
        traps.note(url, facts, policy)
    _open(url, facts, policy, now)


def _open(url: str, facts: Facts, policy: Policy, now: float) -> None:
    """Make sure that an address's host is known and its robots.txt asked for, once; let the host be looked at."""
    address = parts(url)
    if facts.origins[address.origin] is None:
        facts.take(_ensure_host(address, facts, policy))
        ignored = robots.is_ignored(address.origin, policy)
        gate = Gate.ALLOW if ignored else Gate.WAITING
        facts.take([OriginSet(origin=OriginRow(origin=address.origin, host=address.host, gate=gate))])
        if not ignored:
            _bear_robots(address.origin, facts, policy)
    awaken_host(facts, address.host, policy, now)


def _bear_robots(origin: str, facts: Facts, policy: Policy) -> None:
    order = facts.ledger.next_order
    link = Link(url=robots.url_of(origin), depth=0, kind=Kind.ROBOTS, serves=origin)
    facts.take([LedgerSet(ledger=succeed(facts.ledger, next_order=order + 1)), _born(link, "", order, policy)])


def _revive_robots(origin: str, facts: Facts, policy: Policy, now: float) -> None:
    """Let a robots.txt that pages wait for be asked for, if its task was dropped with all that waited then."""
    row, task = facts.origins[origin], facts.tasks[robots.task_ref(origin)]
    if row is not None and task is not None and (row.gate is Gate.WAITING or row.rechecking):
        _recheck(task, (), facts, policy, now)


def _recheck(task: TaskRow | None, hops: tuple[str, ...], facts: Facts, policy: Policy, now: float) -> None:
    """Let a robots.txt be asked for once more, with a new life before it."""
    assert task is not None, "a robots task whose depth is known is there"
    if task.state not in FINAL:
        return
    life = {"attempt": 0, "refusals": 0, "losses": 0, "deaths": 0, "alone": False, "not_before": 0.0}
    told = {"reason": "", "outcome": None, "status": 0}
    facts.take([move(task, TaskEvent.RECHECKED, **life, **told, hops=hops, lease=0, queue=task.host)])
    awaken_host(facts, task.host, policy, now)


def _refusal(link: Link, facts: Facts, policy: Policy) -> str:
    """Name the rule that refuses what is not known yet, or ``. What somebody listed, at depth 0, is no trap."""
    refusal = _out_of_scope(link, facts.ledger, policy)
    if refusal or not link.depth or link.kind is not Kind.PAGE or policy.traps == _NO_TRAPS:
        return refusal
    return traps.refusal(link.url, facts, policy)


def _out_of_scope(link: Link, ledger: LedgerRow, policy: Policy) -> str:
    if link.kind is Kind.ROBOTS:
        return ""
    scope = scope_of(policy.scope, ledger.scope_hosts)
    if link.kind is Kind.SITEMAP:
        # It may lie anywhere; whom it serves has to belong to the crawl.
        return "host" if scope.refuses(f"{link.serves}/") == "host" and not link.always else ""
    if policy.depth is not None and link.depth > policy.depth:
        return scope.refuses(link.url) or DEPTH_RULE
    return scope.refuses(link.url)


def _born(link: Link, refusal: str, order: int, policy: Policy) -> TaskMoved:
    origin, host, _ = parts(link.url)
    return born(
        TaskEvent.REFUSED if refusal else TaskEvent.ADMITTED,
        ref=link.ref,
        kind=link.kind,
        url=link.url,
        origin=link.serves or origin,
        host=host,
        queue=host if link.kind is Kind.ROBOTS else origin,
        depth=link.depth,
        order=order,
        reason=refusal,
        found_on=link.found_on,
        hops=link.hops,
        seed=link.seed,
        priority=_priority(link, policy),
        lastmod=link.lastmod,
    )


def _priority(link: Link, policy: Policy) -> int:
    """Return the priority that the first matching rule gives a page, else that of what it was found by."""
    if policy.priorities and link.kind is Kind.PAGE:
        path = parts(link.url).path
        for patterns, priority in _priorities(policy.priorities):
            if patterns.match(path):
                return priority
    return link.priority


@lru_cache(maxsize=8)
def _priorities(rules: tuple[Priority, ...]) -> tuple[tuple[Patterns, int], ...]:
    return tuple((Patterns([rule.match]), rule.priority) for rule in rules)


def _ensure_host(address: Parts, facts: Facts, policy: Policy) -> list[Change]:
    """Make sure that a host exists and that it, or the unit that it is in, knows the origin."""
    if facts.hosts[address.host] is None:
        join(address.host, key_of_name(address.host, policy), facts, policy)
    if facts.hosts[address.host] is None:
        return [HostSet(host=msgspec.structs.replace(new_host(address.host, policy), origins=(address.origin,)))]
    host = facts.host(address.host)
    if address.origin in host.origins:
        return []
    return [HostSet(host=succeed(host, origins=(*host.origins, address.origin)))]
