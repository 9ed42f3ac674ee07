"""What limits and unavailable files have kept from a crawl, in sentences, for tables and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlfleet.shared.left_out import capped

if TYPE_CHECKING:
    from crawlfleet.coordinator.offline.verify import Proof
    from crawlfleet.coordinator.summary import Summary


def hosts(number: int) -> str:
    """Return a number of hosts in words."""
    return "1 host" if number == 1 else f"{number:,} hosts"


def robots_lines(summary: Summary) -> list[str]:
    """Name the hosts that were given up because of an unavailable robots.txt, and the setting that decided it."""
    lines = []
    if summary.robots_given_up:
        some = ", ".join(summary.robots_given_up_on)
        more = summary.robots_given_up - len(summary.robots_given_up_on)
        lines.append(
            f"robots.txt could not be had, so nothing was fetched from {hosts(summary.robots_given_up)}: "
            f"{some}{f' and {more:,} more' if more else ''}; the same command asks again"
        )
    if summary.robots_waiting:
        lines.append(f"the pages of {hosts(summary.robots_waiting)} still waited for robots.txt")
    return lines


def sitemap_lines(summary: Summary) -> list[str]:
    """Name the sitemaps of which not all was used, a line each."""
    lines = [f"of this sitemap not all was used: {named}" for named in summary.sitemaps_short_named]
    more = summary.sitemaps_short - len(lines)
    sitemaps = "1 sitemap" if more == 1 else f"{more:,} sitemaps"
    return [*lines, *([f"of {sitemaps}{' more' if lines else ''} not all was used: see the log"] if more else [])]


def full_lines(numbers: Summary | Proof) -> list[str]:
    """Name the hosts of which no further URLs were admitted, and the setting that decided it."""
    if not numbers.full_hosts:
        return []
    some = ", ".join(numbers.full_hosts_named)
    more = numbers.full_hosts - len(numbers.full_hosts_named)
    return [
        f"as many URLs are known as limits.known_per_host allows of {hosts(numbers.full_hosts)}: {some}"
        f"{f' and {more:,} more' if more else ''}; {numbers.links_not_admitted:,} links to others were not admitted"
    ]


def capped_lines(numbers: Summary | Proof) -> list[str]:
    """Say how much limits have left out of pages."""
    if not numbers.capped_pages:
        return []
    told = capped(numbers.links_left_out, numbers.rows_left_out)
    pages = "1 page" if numbers.capped_pages == 1 else f"{numbers.capped_pages:,} pages"
    return [
        f"{told} of {pages}: more than limits.links, rows, row_bytes or report_bytes allow; the log names "
        + ("it" if numbers.capped_pages == 1 else "them")
    ]
