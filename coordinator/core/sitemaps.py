"""The links in sitemaps: which sitemaps are read, and which of their entries count (sitemaps.org/protocol).

A sitemap is found in a robots.txt, in an index, or in the job. It *serves* an origin: the one whose robots.txt named it
or led to it, else its own. An entry counts if its host is the sitemap's or that of the origin served, which so vouches
for a sitemap on another host; the job vouches for the sitemaps that it names. Pages must also be in the job's scope.
Entries need not be below the sitemap's folder: hardly any site follows that rule.
"""

from __future__ import annotations

from collections.abc import Iterable

from crawlfleet.coordinator.core.figures import ShortMaps
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.robots_file import sitemaps_of
from crawlfleet.coordinator.core.rows import TaskRow, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.web.urls import canonicalize, is_canonical, parts

NAMED = 5
MAX_DEPTH = 2  # an index of indexes of sitemaps
MAX_NAMED = 1_000  # by one robots.txt
PRIORITY = 1_000  # before any page, since sitemaps rank pages


def seed_link(url: str) -> Link:
    """Return the link to a sitemap that the job names."""
    return Link(
        url=url, depth=0, seed=True, always=True, kind=Kind.SITEMAP, serves=parts(url).origin, priority=PRIORITY
    )


def named_by(robots: TaskRow, report: Report, policy: Policy) -> list[Link]:
    """Return the sitemaps that a robots.txt names, if the job asks for them."""
    if not policy.extent.sitemaps or report.outcome is not Outcome.FETCHED:
        return []
    written = sitemaps_of(report.body)[:MAX_NAMED]
    urls = dict.fromkeys(url for url in (canonicalize(text, robots.url) for text in written) if url is not None)
    return [_link(robots, url, depth=0) for url in urls]


def listed_in(sitemap: TaskRow, report: Report) -> list[Link]:
    """Return the links of a sitemap: pages at depth 0, like seeds, and the sitemaps of an index, one step deeper."""
    links = [
        Link(url=entry.url, depth=0, found_on=sitemap.ref, priority=_ranked(entry.priority), lastmod=entry.lastmod)
        for entry in report.entries
    ]
    if sitemap.depth < MAX_DEPTH:
        links += [_link(sitemap, url, depth=sitemap.depth + 1) for url in report.sitemaps if is_canonical(url)]
    return links


def vouched_for(sitemap: TaskRow, links: Iterable[Link]) -> list[Link]:
    """Return those of a sitemap's links, all canonical, whose hosts it may list."""
    if sitemap.seed:
        return list(links)
    hosts = {parts(sitemap.url).host, parts(f"{sitemap.origin}/").host}
    return [link for link in links if parts(link.url).host in hosts]


def tell_short(turn: Turn, sitemap: TaskRow, why: str) -> None:
    """Count a sitemap that gave nothing, or not all, and name it for the summary."""
    short = turn.ledger.short_maps
    named = short.named if len(short.named) >= NAMED else (*short.named, (sitemap.url, why))
    turn.put(succeed(turn.ledger, short_maps=ShortMaps(short.number + 1, named)))


def tell_no_more(turn: Turn, sitemap: TaskRow) -> None:
    """Take back what was told of a sitemap: it is read again."""
    short = turn.ledger.short_maps
    named = tuple(each for each in short.named if each[0] != sitemap.url)
    turn.put(succeed(turn.ledger, short_maps=ShortMaps(max(0, short.number - 1), named)))


def origin_served(url: str, origin: str) -> str:
    """Return the origin that a sitemap serves if found through `origin`: its own if both have the same host."""
    own = parts(url)
    return own.origin if own.host == parts(f"{origin}/").host else origin


def _ranked(priority: int) -> int:
    """Return a page's priority, bounded to what jobs may set: no worker may rank a page before all others."""
    return max(-PRIORITY, min(PRIORITY, priority))


def _link(source: TaskRow, url: str, depth: int) -> Link:
    return Link(
        url=url,
        depth=depth,
        found_on=source.ref,
        seed=source.seed,
        always=source.seed,
        kind=Kind.SITEMAP,
        serves=origin_served(url, source.origin),
        priority=PRIORITY,
    )
