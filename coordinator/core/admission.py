"""What becomes a task, and at which depth.

A URL's depth is the shortest distance known: what was DROPPED for its depth is revived when it is found nearer, and a
page that is found nearer passes that on to its outlinks, so the pages fetched do not depend on the order of events.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from coordinator.core import budget, politeness
from coordinator.core.changes import Change, HostSet, LedgerSet, OriginSet, TaskMoved
from coordinator.core.facts import Facts
from coordinator.core.policy import Policy
from coordinator.core.rows import Gate, HostRow, LedgerRow, OriginRow, TaskRow, TaskState, succeed
from coordinator.core.transitions import TaskEvent, born, move
from shared.messages import Kind, Outcome, ScopeSpec
from shared.scope import Scope
from shared.urls import Parts, canonicalize, fingerprint, parts

DEPTH_RULE = "depth"
RECONSIDERED = frozenset({DEPTH_RULE, budget.BUDGET_RULE, "host", "include", "exclude"})


class Nearer(msgspec.Struct, frozen=True):
    """A known task was found at this depth, too."""

    ref: bytes
    depth: int


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Something discovered: a canonical URL (as the sender says) and where it was found.

    `always` asks for a row even when the scope refuses it (seeds and redirect targets, so that they can be explained).
    `ref`, the fingerprint of the task that it names, is not given but computed.
    """

    url: str
    depth: int
    found_on: bytes = b""
    hops: tuple[str, ...] = ()
    seed: bool = False
    always: bool = False
    kind: Kind = Kind.PAGE
    serves: str = ""
    ref: bytes = b""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "ref", fingerprint(self.kind, self.serves, self.url))


@lru_cache(maxsize=8)
def scope_of(spec: ScopeSpec, joined: tuple[str, ...]) -> Scope:
    """Return the scope of a job with the hosts that joined it."""
    return Scope(msgspec.structs.replace(spec, hosts=tuple(dict.fromkeys((*spec.hosts, *joined)))))


def is_canonical(url: str) -> bool:
    """Say whether a URL is what it claims to be; a worker's word is not taken for it."""
    return canonicalize(url) == url


def admit(links: Iterable[Link], facts: Facts, policy: Policy, now: float) -> list[Nearer]:
    """Admit what is not known; the changes go to `facts`. Return what is known, but was found nearer now."""
    nearer = []
    for link in links:
        task = facts.tasks[link.ref]
        if task is None:
            _admit_new(link, facts, policy, now)
        elif link.depth < task.depth:
            nearer.append(Nearer(task.ref, link.depth))
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
    refusal = "" if task.seed else _refusal(link, facts.ledger, policy)
    if task.state is TaskState.PENDING and refusal:
        facts.take(budget.give_back(task, facts.ledger))
        facts.take([move(task, TaskEvent.REFUSED, reason=refusal, lease=0, reserved=False)])
    elif task.state is TaskState.DROPPED and task.reason in RECONSIDERED and not refusal:
        facts.take([move(task, TaskEvent.REVIVED, reason="")])
        _open(task.url, facts, policy, now)


def awaken_host(facts: Facts, key: str, policy: Policy, now: float, not_before: float = 0.0) -> None:
    """Let a host be looked at, since something may be waiting there."""
    host = facts.host(key)
    after = politeness.awaken(host, now, policy, not_before)
    if after is not host:
        facts.take([HostSet(host=after)])


def _lower(task: TaskRow, depth: int, facts: Facts, policy: Policy, now: float) -> list[Nearer]:
    too_deep = policy.depth is not None and depth > policy.depth
    if task.state is TaskState.DROPPED and task.reason == DEPTH_RULE and not too_deep:
        facts.take([move(task, TaskEvent.REVIVED, depth=depth, reason="")])
        _open(task.url, facts, policy, now)
        return []
    facts.take([move(task, TaskEvent.LOWERED, depth=depth)])
    step = 0 if task.outcome is Outcome.REDIRECTED else 1
    return [Nearer(ref, depth + step) for ref in task.outlinks]


def _admit_new(link: Link, facts: Facts, policy: Policy, now: float) -> None:
    refusal = _refusal(link, facts.ledger, policy)
    if refusal and not (link.always or refusal == DEPTH_RULE):
        return
    order = facts.ledger.next_order
    facts.take([LedgerSet(ledger=succeed(facts.ledger, next_order=order + 1)), _born(link, refusal, order)])
    if link.kind is Kind.PAGE and not refusal:
        _open(link.url, facts, policy, now)
    elif not refusal:
        facts.take(_ensure_host(parts(link.url), facts, policy))
        awaken_host(facts, parts(link.url).host, policy, now)


def _open(url: str, facts: Facts, policy: Policy, now: float) -> None:
    """Make sure that a page's host is known and its robots.txt asked for, once; let the host be looked at."""
    address = parts(url)
    facts.take(_ensure_host(address, facts, policy))
    if facts.origins[address.origin] is None:
        facts.take([OriginSet(origin=OriginRow(origin=address.origin, host=address.host, gate=Gate.WAITING))])
        order = facts.ledger.next_order
        robots = Link(url=f"{address.origin}/robots.txt", depth=0, kind=Kind.ROBOTS, serves=address.origin)
        facts.take([LedgerSet(ledger=succeed(facts.ledger, next_order=order + 1)), _born(robots, "", order)])
    awaken_host(facts, address.host, policy, now)


def _refusal(link: Link, ledger: LedgerRow, policy: Policy) -> str:
    if link.kind is not Kind.PAGE:
        return ""
    scope = scope_of(policy.scope, ledger.scope_hosts)
    if policy.depth is not None and link.depth > policy.depth:
        return scope.refuses(link.url) or DEPTH_RULE
    return scope.refuses(link.url)


def _born(link: Link, refusal: str, order: int) -> TaskMoved:
    origin, host, _ = parts(link.url)
    return born(
        TaskEvent.REFUSED if refusal else TaskEvent.ADMITTED,
        ref=link.ref,
        kind=link.kind,
        url=link.url,
        origin=link.serves or origin,
        host=host,
        queue=origin if link.kind is Kind.PAGE else host,
        depth=link.depth,
        order=order,
        reason=refusal,
        found_on=link.found_on,
        hops=link.hops,
        seed=link.seed,
    )


def _ensure_host(address: Parts, facts: Facts, policy: Policy) -> list[Change]:
    """Make sure that a host exists and knows the origin."""
    host = facts.hosts[address.host]
    if host is None:
        return [HostSet(host=HostRow(key=address.host, delay_s=policy.delay_s, origins=(address.origin,)))]
    if address.origin in host.origins:
        return []
    return [HostSet(host=succeed(host, origins=(*host.origins, address.origin)))]
