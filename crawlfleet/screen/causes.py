"""Why pages ended as they did, as lines under a heading for each way."""

from __future__ import annotations

from collections.abc import Sequence

from crawlfleet.shared.status import Cause

SHOWN = 20
# Each way to end, with its heading, in the order in which users need them.
HEADINGS = {
    "failed": "failed:",
    "dropped": "dropped:",
    "done": "fetched, but without rows:",
    "sitemap": "sitemaps that failed or were dropped:",
    "broken": "broken external links:",
    "unchecked": "external links that were not checked:",
    "retried": "retried:",
}


def cause_lines(causes: Sequence[Cause]) -> list[str]:
    """Return the causes by heading: how many, the sentence of the reason, what was said last, and at which page."""
    lines: list[str] = []
    for ended, heading in HEADINGS.items():
        some = [each for each in causes if each.ended == ended]
        if some:
            lines.append(heading)
        for each in some[:SHOWN]:
            lines.append(f"  {each.number:,} {each.reason}: {each.meaning}")
            lines += [f"      {text}" for text in (each.detail, each.url and f"last: {each.url}") if text]
        if len(some) > SHOWN:
            lines.append(f"  and {len(some) - SHOWN:,} reasons more")
    return lines
