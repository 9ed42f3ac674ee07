"""robots.txt (RFC 9309): what an answer means for its origin, and whether a URL may be fetched.

4xx other than 429, too many redirects, or any 3xx that leads nowhere means that there are no rules, as Google documents
it. All else that is no file (5xx, 429, no answer, a part of it, a status that HTTP does not know) means that nothing is
allowed.
"""

from __future__ import annotations

from functools import lru_cache

from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.robots_file import RobotsFile
from crawlfleet.coordinator.core.rows import MAX_DETAIL_CHARS, Gate, OriginRow
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.reasons import KEPT_OUT, UNSERVED, Reason, Refusal, bare, meaning_of
from crawlfleet.shared.web.urls import fingerprint, parts
from crawlfleet.shared.web.user_agent import product_token

# Parsed rules take about forty times the memory of their text: cache many small files and a few large ones.
_SMALL_BYTES = 8 * 1024
_read_small = lru_cache(maxsize=1024)(RobotsFile)
_read_large = lru_cache(maxsize=16)(RobotsFile)


def url_of(origin: str) -> str:
    """Return the URL of an origin's robots.txt."""
    return f"{origin}/robots.txt"


def task_ref(origin: str) -> bytes:
    """Return the key of the task that requests an origin's robots.txt."""
    return fingerprint(Kind.ROBOTS, origin, url_of(origin))


def is_ignored(origin: str, policy: Policy) -> bool:
    """Say whether the job ignores the robots.txt of an origin's host."""
    return bool(policy.politeness.ignore_robots) and parts(url_of(origin)).host in policy.politeness.ignore_robots


def gate_of(report: Report) -> Gate:
    """Return the gate that follows from the last answer for a robots.txt."""
    if report.outcome is Outcome.FETCHED:
        return Gate.RULES
    has_none = 300 <= report.status < 500 and report.status != 429
    return Gate.ALLOW if has_none or report.outcome is Outcome.REDIRECTED else Gate.DISALLOW


def refuses(origin: OriginRow, url: str, policy: Policy) -> Refusal:
    """Return why robots.txt forbids a URL: `robots`, or why it could not be had; empty if it does not."""
    if is_ignored(origin.origin, policy):
        return ""
    if origin.gate is Gate.RULES:
        return "" if _read(origin.robots, policy.politeness.user_agent).allows(url) else Reason.ROBOTS
    if origin.gate is Gate.ALLOW:
        return ""
    if bare(origin.why) in KEPT_OUT:
        return Reason(bare(origin.why))
    return Reason(origin.why) if origin.why in UNSERVED else Reason.ROBOTS_UNREACHABLE


def about(origin: OriginRow, reason: Refusal) -> str:
    """Return why the robots.txt of an origin is unavailable, in words, if that is the reason of a refusal."""
    if not origin.why or reason == Reason.ROBOTS:
        return ""
    if reason == origin.why:
        text = f"{url_of(origin.origin)} could not be had{': ' if origin.detail else ''}{origin.detail}"
    else:
        text = f"{url_of(origin.origin)}: {origin.why}. {meaning_of(bare(origin.why))} {origin.detail}".rstrip()
    return text[:MAX_DETAIL_CHARS]


def asked_delay_s(origin: OriginRow, user_agent: str) -> float:
    """Return the seconds between requests that `Crawl-delay` or `Request-rate` asks for, 0 if neither does."""
    if origin.gate is not Gate.RULES:
        return 0.0
    rules = _read(origin.robots, user_agent)
    return max(rules.crawl_delay_s, rules.request_interval_s)


def _read(text: bytes, user_agent: str) -> RobotsFile:
    read = _read_small if len(text) <= _SMALL_BYTES else _read_large
    return read(text, product_token(user_agent))
