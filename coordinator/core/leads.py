"""The links in a report: a page's outlinks, a sitemap's entries, a robots.txt's sitemaps, the target of a redirect."""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from crawlfleet.coordinator.core import sitemaps
from crawlfleet.coordinator.core.admission import is_beyond
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Policy, Tuning
from crawlfleet.coordinator.core.rows import NOT_REACHED, TaskRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.reasons import Reason, Refusal
from crawlfleet.shared.web.links import SHORT_RUN, Packed, in_runs, pack, unpack
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.web.urls import FINGERPRINT_BYTES, is_canonical, page_fingerprint, split_fingerprints

WITH_OUTLINKS = frozenset({Outcome.FETCHED, Outcome.EXTRACT_ERROR})


class BadRefs(msgspec.Struct, frozen=True):
    """Fingerprints in reports that must be ignored, since no task has them.

    `strangers` were sent without a URL; the URLs of `unsound` are not canonical.
    """

    strangers: Set[bytes] = frozenset()
    unsound: Set[bytes] = frozenset()


class Later(msgspec.Struct, frozen=True):
    """The leads of a report that are not admitted with it: see `leading_on`. `number` is how many they count as.

    `links` are packed URLs, `known` joined fingerprints; `listed` is what a sitemap or a robots.txt lists. `is_all`: it
    is to hold all that the report lists.
    """

    links: bytes = b""
    known: bytes = b""
    listed: Sequence[Link] = ()
    number: int = 0
    is_all: bool = False


NOTHING = Later()


class Room:
    """How many links the turns between two commits look up, and admit, with the reports that have them.

    Most links are of known pages: to look these up takes little.
    """

    def __init__(self, tuning: Tuning) -> None:
        self._at_once = tuning.links_at_once
        self._left = tuning.links_per_turn
        self._looked_up_at_once = tuning.links_at_once * tuning.known_per_link
        self._look_ups_left = tuning.links_per_turn * tuning.known_per_link

    def has_look_ups(self, links: int) -> bool:
        """Take room for the look-up of so many links of one report, if there is."""
        if links > min(self._looked_up_at_once, self._look_ups_left):
            return False
        self._look_ups_left -= links
        return True

    def has(self, links: int) -> bool:
        """Take room for so many links of one report, if there is."""
        if links > min(self._at_once, self._left):
            return False
        self._left -= links
        return True


def outlink_refs(report: Report, limit: int) -> list[bytes]:
    """Return the fingerprints of the first `limit` outlinks that a page's report names by URL, in order."""
    if report.outcome not in WITH_OUTLINKS:
        return []
    return [page_fingerprint(url) for url in report.outlinks[:limit]]


def within_reach(turn: Turn, report: Report, room: Room) -> tuple[Report, Later]:
    """Return a report with the leads that are admitted with it, and the others: all if its page is beyond the crawl."""
    task = turn.tasks[report.ref]
    if task is None:
        return report, NOTHING
    if task.kind is not Kind.PAGE:
        listed = _number_listed(report, turn.policy)
        return report, NOTHING if not listed or room.has(listed) else Later(number=listed, is_all=True)
    if report.outcome not in WITH_OUTLINKS or not (report.outlinks or report.known or report.kept):
        return report, NOTHING
    most = turn.policy.max_outlinks
    if is_beyond(task.depth, turn.policy):
        # They are named if the page was granted under a deeper limit than the job has now.
        return _bare(report), Later(links=report.kept or pack(report.outlinks[:most]))
    if in_runs(report.kept):  # they came in parts, and are too many to be looked at
        number = Packed(report.kept, turn.policy.limits.links).number
        return _bare(report), Later(links=report.kept, known=report.known, number=number)
    if report.kept:
        report = msgspec.structs.replace(report, outlinks=tuple(unpack(report.kept, most)), kept=b"")
    if room.has_look_ups(len(report.outlinks) + len(report.known) // FINGERPRINT_BYTES):
        return report, NOTHING
    return _put_off(report, most)


def that_fit(turn: Turn, report: Report, refs: Sequence[bytes], room: Room) -> tuple[Report, Later]:
    """Return a report with the outlinks that are admitted with it, and the others: all, if there is no room for the new
    ones. `refs` are the fingerprints of those that it names by URL, whose depths were read."""
    task = turn.tasks[report.ref]
    is_page = task is not None and task.kind is Kind.PAGE and report.outcome in WITH_OUTLINKS
    if not is_page or not (refs or report.known):
        return report, NOTHING
    fresh = list(map(turn.depths.__getitem__, refs)).count(None)
    others = len(refs) - fresh + len(report.known) // FINGERPRINT_BYTES
    if room.has(fresh + others // turn.policy.tuning.known_per_link):
        return report, NOTHING
    return _put_off(report, turn.policy.max_outlinks)


def _put_off(report: Report, most: int) -> tuple[Report, Later]:
    outlinks, known = report.outlinks[:most], report.known[: most * FINGERPRINT_BYTES]
    number = len(outlinks) + len(known) // FINGERPRINT_BYTES
    return _bare(report), Later(links=pack(outlinks, SHORT_RUN), known=known, number=number)


def _bare(report: Report) -> Report:
    return msgspec.structs.replace(report, outlinks=(), known=b"", kept=b"")


def known_refs(report: Report) -> Sequence[bytes]:
    """Return the outlinks that a page's report names by fingerprint only."""
    return split_fingerprints(report.known) if report.outcome in WITH_OUTLINKS else []


def leads_of_page(
    turn: Turn, task: TaskRow, report: Report, refs: Sequence[bytes], bad: BadRefs
) -> tuple[list[Link], bytes]:
    """Return links to the outlinks that are new or have a smaller depth now, and the joined fingerprints of the others.

    `refs` are the fingerprints of the URLs that the report names. Those in `bad` are left out: workers are not trusted.
    """
    links, depths, depth = [], turn.depths, task.depth + 1
    known = [_known_bytes(report, bad.strangers)] if report.known and report.outcome in WITH_OUTLINKS else []
    for ref, url in zip(refs, report.outlinks, strict=False):
        at = depths[ref]
        if at is not None and at <= depth:
            known.append(ref)
        elif ref not in bad.unsound:
            links.append(Link(url=url, depth=depth, found_on=task.ref, ref=ref))
    return links, b"".join(known)


def other_leads(task: TaskRow, report: Report, policy: Policy, limit: int) -> list[Link]:
    """Return all links but a page's outlinks: the target of a redirect, the contents of a sitemap, named sitemaps.

    An answered check has none.
    """
    if report.outcome is Outcome.REDIRECTED:
        return [] if redirect_error(task, report.location, policy) else [_redirect_target(task, report.location)]
    if task.kind is Kind.ROBOTS:
        return sitemaps.named_by(task, report, policy)[:limit]
    return sitemaps.listed_in(task, report)[:limit] if report.outcome in WITH_OUTLINKS else []


def with_listed(later: Later, task: TaskRow, report: Report, policy: Policy) -> Later:
    """Return the leads that are admitted later, with all that the report lists if it is to hold these."""
    if not later.is_all:
        return later
    listed = other_leads(task, report, policy, policy.max_outlinks)
    return msgspec.structs.replace(later, listed=listed, number=len(listed))


def number_of_links(report: Report, later: Later) -> int:
    """Return how many links a report has, with those that are admitted later."""
    at_once = 0 if later.is_all else len(report.entries) + len(report.sitemaps)
    return len(report.outlinks) + len(report.known) // FINGERPRINT_BYTES + at_once + later.number


def _number_listed(report: Report, policy: Policy) -> int:
    """Return how many links a sitemap or a robots.txt lists at most."""
    if report.outcome not in WITH_OUTLINKS:
        return 0
    named = report.body.lower().count(b"sitemap") if policy.extent.sitemaps else 0
    return len(report.entries) + len(report.sitemaps) + named


def is_sound(link: Link, policy: Policy) -> bool:
    """Say whether a URL is canonical. The job's `urls` does not apply to the URL of a sitemap."""
    is_of_page = link.kind in (Kind.PAGE, Kind.CHECK)
    return policy_of(policy.urls).is_canonical(link.url) if is_of_page else is_canonical(link.url)


def redirect_error(task: TaskRow, location: str, policy: Policy) -> Refusal:
    """Return why a redirect is not followed, if it is not."""
    limit = policy.tuning.robots_hops if task.kind is Kind.ROBOTS else policy.tuning.max_hops
    if not policy_of(policy.urls).is_canonical(location):
        return Reason.REDIRECT_INVALID
    if location == task.url or location in task.hops:
        return Reason.REDIRECT_LOOP
    return Reason.TOO_MANY_REDIRECTS if len(task.hops) >= limit else ""


def _known_bytes(report: Report, strangers: Set[bytes]) -> bytes:
    """Return the fingerprints in a report without the strangers: usually the same bytes."""
    if strangers:
        return b"".join(ref for ref in split_fingerprints(report.known) if ref not in strangers)
    return report.known[: len(report.known) // FINGERPRINT_BYTES * FINGERPRINT_BYTES]


def _redirect_target(task: TaskRow, location: str) -> Link:
    """Return the link to which a task redirects. Nothing in the crawl leads to where a check does."""
    serves = task.origin if task.kind is Kind.ROBOTS else ""
    if task.kind is Kind.SITEMAP:
        serves = sitemaps.origin_served(location, task.origin)
    return Link(
        url=location,
        depth=task.depth if task.kind is not Kind.CHECK else NOT_REACHED,
        found_on=task.ref,
        hops=(*task.hops, task.url),
        seed=task.seed,
        seed_line=task.seed_line,
        asked=task.asked,
        always=True,
        kind=task.kind,
        serves=serves,
        priority=task.priority,
    )
