"""What a crawl may reach.

Pages and sitemaps that the job itself names as seeds make their hosts *trusted*. Lines of seeds files, what programs
ask for, links and redirects do not: strangers may have written them.

A trusted host may be private: one that is an address at that address; one that is a name at the addresses of its first
answer in this crawl, if they were all private. It is so at the ports of its seeds, and at 80 and 443. A name that was
public at first never leads inside later. All else that is not public needs the job's `fetch.allow_private`; so do the
addresses of metadata services, whatever the seeds.

Workers judge the address of each connection (`worker.fetch.guard`). What a URL itself says is judged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.rows import HostRow, TaskRow, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.core.units import new_host
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.reasons import Reason, Refusal
from crawlfleet.shared.remembered import remembered
from crawlfleet.shared.web.addresses import Nets, Reach, is_metadata_name, literal_of, reach_of
from crawlfleet.shared.web.ports import BAD_PORTS
from crawlfleet.shared.web.urls import host_key, origin, port

USUAL_PORTS = (80, 443)
NAMED = 5
MOST_ADDRESSES = 64
_METADATA_SERVICE = "169.254.169.254"
# What only a server answers. A worker of a user's own says nothing about addresses.
_ANSWERED = frozenset(
    {Outcome.FETCHED, Outcome.REDIRECTED, Outcome.HTTP_ERROR, Outcome.TOO_LARGE, Outcome.EXTRACT_ERROR}
)


class _Odd(NamedTuple):
    """What an origin says about where it leads, if that is not anywhere in public at a usual port."""

    host: str
    port: int
    address: str
    reach: Reach


def trust(turn: Turn, seeds: Sequence[Link]) -> None:
    """Trust the hosts of seeds that the job names itself, and note the ports of these seeds."""
    turn.hosts.read(host_key(seed.url) for seed in seeds)
    for seed in seeds:
        name, at = host_key(seed.url), port(seed.url)
        row = turn.hosts[name]
        if row is None:
            turn.put(new_host(name, turn.policy, seed_ports=(at,)))
        elif at not in row.seed_ports:
            turn.put(succeed(row, seed_ports=(*row.seed_ports, at)))


def refusal_of(turn: Turn, url: str) -> Refusal:
    """Return why a canonical URL must not be requested, by what it says itself; empty if it may."""
    odd = _odd(origin(url))
    if odd is None:
        return ""
    row = turn.hosts[odd.host]
    ports = row.seed_ports if row is not None else ()
    is_open = odd.reach is Reach.PUBLIC or (odd.reach is Reach.PRIVATE and _is_at_seed(ports, odd.port))
    if not (is_open or _opened(turn.policy.fetch.allow_private).covers(odd.host, odd.address)):
        return Reason.PRIVATE_ADDRESS
    return Reason.BAD_PORT if odd.port in BAD_PORTS and odd.port not in ports else ""


def way_to(turn: Turn, lead: Link | TaskRow) -> str:
    """Return how a URL was reached, in words."""
    if lead.hops:
        return f"redirect from {lead.hops[-1]}"
    source = turn.tasks[lead.found_on] if lead.found_on else None
    if source is not None:
        by = {Kind.PAGE: "link from", Kind.SITEMAP: "listed in the sitemap"}
        return f"{by.get(source.kind, 'named in')} {source.url}"
    if lead.kind is Kind.ROBOTS:
        return "robots.txt of a page that is wanted"
    if lead.seed_line:
        return "line of a seeds file"
    return "seed" if lead.seed else "asked for"


def keep_out(turn: Turn, lead: Link | TaskRow, what: str = "") -> str:
    """Return the detail of a URL that must not be requested: `what` is wrong, and how the URL was reached.

    If its host was meant to be reached, whoever runs the crawl is to be told: the scope names it, it is that of a seed,
    or a seed that the job itself names redirects there. A seed that was public at first is no such host.
    """
    name = host_key(lead.url)
    row, kept_out = turn.hosts[name], turn.ledger.kept_out
    was_public = row is not None and bool(row.seed_ports) and row.first_addresses == ()
    is_of_seed = lead.seed and not (lead.seed_line and lead.hops)
    is_meant = is_of_seed or name in turn.policy.scope.hosts
    if is_meant and not was_public and name not in kept_out and len(kept_out) < NAMED:
        turn.put(succeed(turn.ledger, kept_out=(*kept_out, name)))
    return f"{what or _about(lead.url)}; {way_to(turn, lead)}"


def let_in(turn: Turn, task: TaskRow) -> None:
    """Tell no more that the crawl is kept out of the host of a task."""
    kept_out = tuple(name for name in turn.ledger.kept_out if name != task.host)
    if kept_out != turn.ledger.kept_out:
        turn.put(succeed(turn.ledger, kept_out=kept_out))


def inside(host: HostRow, url: str) -> tuple[str, ...]:
    """Return the private addresses at which a URL of a host may be requested."""
    if not _is_at_seed(host.seed_ports, port(url)):
        return ()
    literal = literal_of(host.key)
    if literal is None:
        return host.first_addresses or ()
    return (literal,) if reach_of(literal) is Reach.PRIVATE else ()


def is_first(host: HostRow, url: str) -> bool:
    """Say whether a request for a URL may get the first answer for the name of its host."""
    return _is_unknown(host) and _is_at_seed(host.seed_ports, port(url))


def one_at_first(turn: Turn, tasks: Sequence[TaskRow]) -> list[TaskRow]:
    """Return tasks that may be granted: of a trusted name without a first answer one, and none while one is leased."""
    kept: list[TaskRow] = []
    taken: set[str] = set()
    for task in tasks:
        row = turn.hosts[task.host]
        if row is not None and _is_unknown(row):
            if row.key in taken or (row.first_lease and turn.leases[row.first_lease] is not None):
                continue
            taken.add(row.key)
        kept.append(task)
    return kept


def note_first(turn: Turn, tasks: Sequence[TaskRow], lease: int) -> None:
    """Note the lease under which a trusted name gets its first answer."""
    for task in tasks:
        row = turn.hosts[task.host]
        if row is not None and _is_unknown(row):
            turn.put(succeed(row, first_lease=lease))


def hear(turn: Turn, task: TaskRow, report: Report) -> None:
    """Keep the first answer for the name of a trusted host, once and for all."""
    row = turn.hosts[task.host]
    if row is None or not _is_unknown(row):
        return
    first = report.first_addresses
    if first is None and report.outcome in _ANSWERED:
        first = ()
    if first is not None:
        turn.put(succeed(row, first_addresses=first if _are_private(first) else ()))


def _is_at_seed(ports: Sequence[int], at: int) -> bool:
    return at in ports or (bool(ports) and at in USUAL_PORTS)


def _is_unknown(row: HostRow) -> bool:
    return bool(row.seed_ports) and row.first_addresses is None and literal_of(row.key) is None


def _are_private(addresses: Sequence[str]) -> bool:
    try:
        return len(addresses) <= MOST_ADDRESSES and all(reach_of(each) is Reach.PRIVATE for each in addresses)
    except ValueError:
        return False


def _about(url: str) -> str:
    odd = _odd(origin(url))
    assert odd is not None
    if odd.reach is Reach.PUBLIC:
        return f"port {odd.port}"
    return f"{odd.host} is {'a metadata service' if odd.reach is Reach.METADATA else 'no public address'}"


@remembered(8192)
def _odd(origin: str) -> _Odd | None:
    url = f"{origin}/"
    host, at = host_key(url), port(url)
    literal = literal_of(host)
    reach = Reach.METADATA if is_metadata_name(host) else Reach.PUBLIC
    if literal is not None:
        reach = reach_of(literal)
    odd = _Odd(host, at, literal or _METADATA_SERVICE, reach)
    return odd if reach is not Reach.PUBLIC or at in BAD_PORTS else None


_opened = lru_cache(maxsize=8)(Nets)
