"""robots.txt in its plain form (RFC 9309): what an answer means, and whether a URL may be fetched.

4xx other than 429 means no rules, as do more redirects than are followed; a file that cannot be had (5xx, 429, no
answer) means that nothing is allowed.
"""

from __future__ import annotations

from functools import lru_cache

from protego import Protego

from coordinator.core.rows import Gate, OriginRow
from shared.messages import Outcome, Report

_NO_ANSWER_YET = frozenset({429})


def gate_of(report: Report) -> Gate:
    """Return what the last answer for a robots.txt means for its origin."""
    if report.outcome is Outcome.FETCHED:
        return Gate.RULES
    if report.outcome is Outcome.REDIRECTED:
        return Gate.ALLOW
    if 400 <= report.status < 500 and report.status not in _NO_ANSWER_YET:
        return Gate.ALLOW
    return Gate.DISALLOW


def refuses(origin: OriginRow, url: str, user_agent: str) -> str:
    """Name why robots.txt keeps us from a URL (`robots`, `robots_unreachable`), or return ``."""
    if origin.gate is Gate.RULES:
        return "" if _rules(origin.robots).can_fetch(url, user_agent) else "robots"
    return "" if origin.gate is Gate.ALLOW else "robots_unreachable"


def crawl_delay_s(origin: OriginRow, user_agent: str) -> float:
    """Return the crawl-delay that an origin asks of us, 0 if none."""
    if origin.gate is not Gate.RULES:
        return 0.0
    return float(_rules(origin.robots).crawl_delay(user_agent) or 0.0)


@lru_cache(maxsize=1024)
def _rules(text: bytes) -> Protego:
    return Protego.parse(text.decode("utf-8-sig", errors="replace"))
