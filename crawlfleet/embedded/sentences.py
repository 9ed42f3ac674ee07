"""What the caller of an embedded crawl is told at its end, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from crawlfleet.coordinator.summary import ALREADY_FINISHED, Summary
from crawlfleet.screen.sentences import capped_lines, full_lines, robots_lines, sitemap_lines
from crawlfleet.shared.status import Cause

NAMED = 3


def failure_of(summary: Summary, said: str) -> str:
    """Return why a crawl failed, if it did; `said` is what its workers ended with."""
    if summary.ended == "finished":
        return ""
    if summary.ended == "interrupted":
        return said or "the crawl was stopped from outside: crawl() with the same folder= goes on with it"
    return summary.detail


def sentences_of(summary: Summary) -> Iterator[str]:
    """Yield what did not go as the caller may think it did."""
    yield from _failed(summary)
    yield from (notice for notice in summary.notices if notice != ALREADY_FINISHED)
    for lines in (robots_lines(summary), sitemap_lines(summary), full_lines(summary), capped_lines(summary)):
        yield from lines
    yield from summary.warnings
    yield from summary.unmet


def _failed(summary: Summary) -> Iterator[str]:
    causes = [cause for cause in summary.causes if cause.ended == "failed"]
    if not summary.failed or not causes:
        return
    pages = "1 page" if summary.failed == 1 else f"{summary.failed:,} pages"
    named = "; ".join(map(_cause, causes[:NAMED]))
    more = "; and more reasons" if len(causes) > NAMED else ""
    yield f"{pages} failed: {named}{more}. status().causes has all reasons."


def _cause(cause: Cause) -> str:
    more = " ".join(filter(None, (cause.detail, cause.url and f"last: {cause.url}")))
    return f"{cause.number:,} {cause.reason}{f' ({more})' if more else ''}"
