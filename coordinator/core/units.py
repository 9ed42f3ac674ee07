"""Units: hosts with one politeness, of one registrable domain or at one IP address.

A host that has joined a unit keeps its row, which names the unit, its own origins, and when something may wait there.
The unit's row holds all values of politeness. It does not name the hosts that joined: what a turn does must not grow
with their number. A look at the unit looks at some of those on which something may wait (see `granting`), and rows of
their own count the delays that the robots.txt files of all ask for.

A domain is known at once, an address from a host's first answer on: until then each host is its own unit. A unit joins
no other.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from itertools import islice
from typing import Any

from crawlfleet.coordinator.core import politeness
from crawlfleet.coordinator.core.policy import Policy, Unit
from crawlfleet.coordinator.core.politeness import asked_s
from crawlfleet.coordinator.core.rows import Holder, HostRow, OriginRow, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.core.unit_rows import AskedDelayRow, key_of
from crawlfleet.shared.ranges import total
from crawlfleet.shared.web.domains import registrable_domain


def key_of_name(host: str, policy: Policy) -> str:
    """Return the key of the unit that follows from a host's name."""
    return registrable_domain(host) if policy.politeness.unit is Unit.DOMAIN else host


def key_of_address(address: str, policy: Policy) -> str:
    """Return the key of the unit of an IP address, as a URL writes a host; empty if invalid or not wanted."""
    if policy.politeness.unit is not Unit.ADDRESS or not address:
        return ""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped) if found.ipv4_mapped is not None else f"[{found.compressed}]"
    return str(found)


def new_host(key: str, policy: Policy, **values: Any) -> HostRow:
    """Return a host without a history."""
    return HostRow(key=key, delay_s=policy.politeness.delay_s, asked_s=0.0, **values)


def join(turn: Turn, name: str, key: str) -> None:
    """Make a host join a unit, unless it is in one already."""
    host = turn.hosts[name] or new_host(name, turn.policy)
    unit = turn.hosts[key] or new_host(key, turn.policy)
    if key == name or host.unit or host.is_unit or unit.unit:
        return
    for row in _origins(turn, host):
        count_asked(turn, key, 0.0, row.asked_delay_s)
    turn.put(_merged(unit, host))
    # While nobody else may hold it, nobody knows whether something waits there.
    may_wait = host.ready_at is not None or politeness.is_full(host, turn.policy)
    turn.put(succeed(host, unit=key, holders=(), ready_at=turn.now if may_wait else None, links_waiting=0))


def asked_delay_s(turn: Turn, unit: HostRow) -> float:
    """Return the longest delay that a robots.txt of a host, or of any host that joined it, asks for."""
    own = (row.asked_delay_s for row in _origins(turn, unit))
    longest = islice(turn.family(AskedDelayRow, unit.key, backwards=True), 1)
    return max((*own, *(row.delay_s for row in longest)), default=0.0)


def count_asked(turn: Turn, unit: str, before_s: float, delay_s: float) -> None:
    """Note that a robots.txt of a host that joined a unit asks for another delay; 0 if for none."""
    if before_s != delay_s:
        for each_s, step in ((before_s, -1), (delay_s, 1)):
            if each_s > 0:
                _count(turn, unit, each_s, step)


def _count(turn: Turn, unit: str, delay_s: float, step: int) -> None:
    table, key = turn.table(AskedDelayRow), key_of(unit, delay_s)
    table.read((key,))  # it is in memory if there is one
    row: AskedDelayRow | None = table[key]
    if row is None:
        turn.put(AskedDelayRow(unit=unit, delay_s=delay_s, files=step))
    elif row.files + step:
        turn.put(succeed(row, files=row.files + step))
    else:
        turn.remove(succeed(row))


def _origins(turn: Turn, host: HostRow) -> list[OriginRow]:
    turn.origins.read(host.origins)
    return [row for row in map(turn.origins.__getitem__, host.origins) if row is not None]


def _merged(unit: HostRow, host: HostRow) -> HostRow:
    """Return a unit with one more host. Planned starts under open leases come back: they may be too close now."""
    holders = _both(unit.holders, host.holders)
    newest = max((number for holder in holders for number, _ in holder.leases), default=unit.recalled_under)
    starts = [row.last_start_at for row in (unit, host) if row.last_start_at is not None]
    delay_s, last_start_at = max(unit.delay_s, host.delay_s), max(starts, default=None)
    rested_at = last_start_at + delay_s if last_start_at is not None else 0.0
    checks = [row.ready_at for row in (unit, host) if row.ready_at is not None]
    return succeed(
        unit,
        delay_s=delay_s,
        asked_s=max(asked_s(unit), asked_s(host)),
        adaptive_s=max(unit.adaptive_s, host.adaptive_s),
        latency_s=max(unit.latency_s, host.latency_s),
        next_start_at=max(unit.next_start_at, host.next_start_at, rested_at),
        last_start_at=last_start_at,
        hold_until=max(unit.hold_until, host.hold_until),
        ready_at=min(checks, default=None),
        pressed_at=max(unit.pressed_at, host.pressed_at),
        refusals=max(unit.refusals, host.refusals),
        holders=holders,
        pages_reserved=total(unit.pages_reserved, host.pages_reserved),
        pages_fetched=total(unit.pages_fetched, host.pages_fetched),
        bytes_received=total(unit.bytes_received, host.bytes_received),
        began_at=min((row.began_at for row in (unit, host) if row.began_at is not None), default=None),
        links_waiting=total(unit.links_waiting, host.links_waiting),
        recalled_under=newest if delay_s > 0 or unit.hold_until != host.hold_until else unit.recalled_under,
        is_unit=True,
    )


def _both(one: tuple[Holder, ...], other: tuple[Holder, ...]) -> tuple[Holder, ...]:
    leases: dict[str, tuple[tuple[int, int], ...]] = {}
    for holder in (*one, *other):
        leases[holder.session] = tuple(sorted((*leases.get(holder.session, ()), *holder.leases)))
    return tuple(Holder(session, held) for session, held in leases.items())
