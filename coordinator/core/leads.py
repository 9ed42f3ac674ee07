"""What a report leads to: a page's outlinks, a sitemap's entries, a robots.txt's sitemaps, the target of a redirect."""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from crawlfleet.coordinator.core import sitemaps
from crawlfleet.coordinator.core.admission import Link
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import TaskRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.reasons import Reason, Refusal
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.web.urls import (
    FINGERPRINT_BYTES,
    is_canonical,
    page_fingerprint,
    split_fingerprints,
)

WITH_OUTLINKS = frozenset({Outcome.FETCHED, Outcome.EXTRACT_ERROR})


class BadRefs(msgspec.Struct, frozen=True):
    """What workers name that leads nowhere: `strangers` are fingerprints without a URL that are no tasks, `unsound`
    those of URLs that are no tasks and not what they claim to be."""

    strangers: Set[bytes] = frozenset()
    unsound: Set[bytes] = frozenset()


def outlink_refs(report: Report, limit: int) -> list[bytes]:
    """Return the fingerprints of the first URLs that a page's report names as outlinks, in their order."""
    if report.outcome not in WITH_OUTLINKS:
        return []
    return [page_fingerprint(url) for url in report.outlinks[:limit]]


def known_refs(report: Report) -> Sequence[bytes]:
    """Return what a page's report names by fingerprint alone."""
    return split_fingerprints(report.known) if report.outcome in WITH_OUTLINKS else []


def leads_of_page(
    turn: Turn, task: TaskRow, report: Report, refs: Sequence[bytes], bad: BadRefs
) -> tuple[list[Link], bytes]:
    """Return the outlinks that are new or nearer now, and the joined fingerprints of those that are known as they are.

    `refs` are the fingerprints of the URLs that the report names. A worker's word is not taken for what leads nowhere:
    that is left out. No link is made for what is known.
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
    """Return what is discovered but for the outlinks of a page: where a redirect leads, what a sitemap lists."""
    if report.outcome is Outcome.REDIRECTED:
        return [] if redirect_error(task, report.location, policy) else [_redirect_target(task, report.location)]
    if task.kind is Kind.ROBOTS:
        return sitemaps.named_by(task, report, policy)[:limit]
    return sitemaps.listed_in(task, report)[:limit] if report.outcome in WITH_OUTLINKS else []


def is_sound(link: Link, policy: Policy) -> bool:
    """Say whether a URL is canonical. A sitemap's is kept as it is found, whatever `urls` of the job says."""
    return policy_of(policy.urls).is_canonical(link.url) if link.kind is Kind.PAGE else is_canonical(link.url)


def redirect_error(task: TaskRow, location: str, policy: Policy) -> Refusal:
    """Name why a redirect is not followed, if it is not."""
    limit = policy.tuning.robots_hops if task.kind is Kind.ROBOTS else policy.tuning.max_hops
    if not policy_of(policy.urls).is_canonical(location):
        return Reason.REDIRECT_INVALID
    if location == task.url or location in task.hops:
        return Reason.REDIRECT_LOOP
    return Reason.TOO_MANY_REDIRECTS if len(task.hops) >= limit else ""


def _known_bytes(report: Report, strangers: Set[bytes]) -> bytes:
    """Return what a report names by fingerprint, less the strangers: mostly as it came."""
    if strangers:
        return b"".join(ref for ref in split_fingerprints(report.known) if ref not in strangers)
    return report.known[: len(report.known) // FINGERPRINT_BYTES * FINGERPRINT_BYTES]


def _redirect_target(task: TaskRow, location: str) -> Link:
    serves = task.origin if task.kind is Kind.ROBOTS else ""
    if task.kind is Kind.SITEMAP:
        serves = sitemaps.origin_served(location, task.origin)
    return Link(
        url=location,
        depth=task.depth,
        found_on=task.ref,
        hops=(*task.hops, task.url),
        seed=task.seed,
        always=True,
        kind=task.kind,
        serves=serves,
        priority=task.priority,
    )
