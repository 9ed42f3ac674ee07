"""How a URL becomes known: whether there is a place for it, its task, its host."""

from __future__ import annotations

from functools import lru_cache

from crawlfleet.coordinator.core.changes import Full, TaskEvent
from crawlfleet.coordinator.core.figures import FullHosts
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Policy, Priority
from crawlfleet.coordinator.core.rows import TaskRow, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.core.units import join, key_of_name, new_host
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.ranges import total
from crawlfleet.shared.web.patterns import Patterns
from crawlfleet.shared.web.urls import Parts, parts

FULL_HOSTS_NAMED = 5


def has_place(turn: Turn, url: str) -> bool:
    """Say whether one more URL of a host may become known; count it there if not."""
    host = turn.hosts[parts(url).host]
    if host is None or host.known < turn.policy.limits.known_per_host:
        return True
    full = turn.ledger.full
    hosts, named = full.hosts, full.named
    if not host.beyond:
        turn.note(Full(host=host.key, url=url))
        hosts, named = hosts + 1, named if hosts >= FULL_HOSTS_NAMED else (*named, host.key)
    turn.put(succeed(host, beyond=total(host.beyond, 1)))
    turn.put(succeed(turn.ledger, full=FullHosts(hosts, named, total(full.links, 1))))
    return False


def create_task(turn: Turn, link: Link, refusal: str = "", detail: str = "") -> TaskRow:
    """Create the task of a link; `detail` is what is known about the refusal."""
    origin, host, _ = parts(link.url)
    if link.kind is not Kind.ROBOTS:
        row = turn.hosts[host]
        turn.put(succeed(row, known=row.known + 1) if row is not None else new_host(host, turn.policy, known=1))
    return turn.create(
        TaskEvent.REFUSED if refusal else TaskEvent.ADMITTED,
        ref=link.ref,
        kind=link.kind,
        url=link.url,
        origin=link.serves or origin,
        host=host,
        queue=host if link.kind is Kind.ROBOTS else origin,
        depth=link.depth,
        reason=refusal,
        detail=detail,
        found_on=link.found_on,
        hops=link.hops,
        seed=link.seed,
        priority=priority_of(link, turn.policy),
        lastmod=link.lastmod,
        asked=link.asked,
        seed_line=link.seed_line,
    )


def priority_of(link: Link, policy: Policy) -> int:
    """Return the priority that the first matching rule gives a page; without a match, the link's own."""
    if policy.priorities and link.kind is Kind.PAGE and not link.has_own_priority:
        path = parts(link.url).path
        for patterns, priority in _priorities(policy.priorities):
            if patterns.match(path):
                return priority
    return link.priority


@lru_cache(maxsize=8)
def _priorities(rules: tuple[Priority, ...]) -> tuple[tuple[Patterns, int], ...]:
    return tuple((Patterns([rule.match]), rule.priority) for rule in rules)


def ensure_host(turn: Turn, address: Parts) -> None:
    """Make sure that a host exists and that it lists the origin."""
    row = turn.hosts[address.host]
    if row is None or not (row.origins or row.unit):  # no URL of it was let in yet
        join(turn, address.host, key_of_name(address.host, turn.policy))
    host = turn.hosts[address.host]
    if host is None:
        turn.put(new_host(address.host, turn.policy, origins=(address.origin,)))
    elif address.origin not in host.origins:
        turn.put(succeed(host, origins=(*host.origins, address.origin)))
