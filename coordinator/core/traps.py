"""Traps: sites, or parts of sites, without an end.

Only unknown URLs in scope are checked. Some traps show in a single URL: its length, or a sequence of path segments that
repeats. Others show in numbers: how many URLs of a host differ only by their query, differ only by a date, or hold a
session id, and how many origins one domain has. A URL beyond a limit is dropped with the limit as its reason. URLs that
somebody listed (seeds, pages of sitemaps) are not checked.

Patterns are counted for each host with the sketch of Misra and Gries ("Finding repeated elements", 1982): it takes
little memory, never counts too high, and counts too low by at most the number of counted URLs divided by `SKETCH`. So a
trap, which outgrows everything else, reaches its limit, and no other page is refused for it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import TrapRow, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.reasons import Reason, Refusal
from crawlfleet.shared.remembered import remembered
from crawlfleet.shared.web.domains import registrable_domain
from crawlfleet.shared.web.url_policy import holds_session_id
from crawlfleet.shared.web.urls import parts

SKETCH = 64
LAST_SEGMENTS = 64
LONGEST_SEQUENCE = 8

_YEAR = re.compile(r"[12]\d{3}")
_DATE = re.compile(
    r"(?<!\d)(?:[12]\d{3}[-/_.](?:0?[1-9]|1[0-2])|(?:19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?!\d)"
)
_DATE_PARAMETER = re.compile(r"(?:\A|&)(?=[^=&]*(?:date|day|week|month|year|calendar))[^=&]*+=[^&]*\d", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


class TrapPatterns(NamedTuple):
    """The trap patterns that a URL matches, by number (0: none), and whether it has a session id."""

    query: int
    calendar: int
    session: bool


def keys_of(turn: Turn, url: str) -> tuple[str, ...]:
    """Return the keys of the rows that judging a URL will look up."""
    origin, host, _ = parts(url)
    own = (host,) if patterns_of(url) is not None else ()
    return (*own, _domain_key(host)) if _is_another_origin(turn, origin, host) else own


def refusal(turn: Turn, url: str) -> Refusal:
    """Return the trap limit that an unknown URL exceeds, if any."""
    limits = turn.policy.traps
    pure = shape(url, turn.policy)
    if pure:
        return pure
    origin, host, _ = parts(url)
    found = patterns_of(url)
    row = turn.traps[host] if found is not None else None
    if found is not None and row is not None:
        if _is_full(limits.query_variants, row.patterns.get(found.query, 0)):
            return Reason.TRAP_QUERY
        if _is_full(limits.calendar, row.patterns.get(found.calendar, 0)):
            return Reason.TRAP_CALENDAR
        if found.session and _is_full(limits.sessions, row.sessions):
            return Reason.TRAP_SESSION
    if _is_another_origin(turn, origin, host):
        domain = turn.traps[_domain_key(host)]
        if domain is not None and _is_full(limits.subdomains, domain.origins):
            return Reason.TRAP_SUBDOMAIN
    return ""


def shape(url: str, policy: Policy) -> Refusal:
    """Return the trap limit that a URL exceeds by itself, if any."""
    limits = policy.traps
    if limits.url_length is not None and len(url) > limits.url_length:
        return Reason.TRAP_LENGTH
    if limits.repetition is not None and repeats(parts(url).path.partition("?")[0], limits.repetition):
        return Reason.TRAP_REPETITION
    return ""


def count(turn: Turn, url: str) -> None:
    """Count an admitted URL. Call this before its origin is created."""
    limits = turn.policy.traps
    origin, host, _ = parts(url)
    found = patterns_of(url)
    if found is not None:
        row = turn.traps[host] or TrapRow(key=host)
        patterns = row.patterns
        if found.query and limits.query_variants is not None:
            patterns = counted(patterns, found.query)
        if found.calendar and limits.calendar is not None:
            patterns = counted(patterns, found.calendar)
        turn.put(succeed(row, patterns=patterns, sessions=row.sessions + found.session))
    if _is_another_origin(turn, origin, host):
        row = turn.traps[_domain_key(host)] or TrapRow(key=_domain_key(host))
        turn.put(succeed(row, origins=row.origins + 1))


@remembered(2048)
def patterns_of(url: str) -> TrapPatterns | None:
    """Return the trap patterns that a URL matches; None for most URLs."""
    origin, _, path = parts(url)
    query = crc32(f"{origin}{path.partition('?')[0]}".encode()) | 1 << 32 if "?" in path else 0
    calendar = crc32(f"{origin}{_NUMBER.sub('#', path)}".encode()) | 1 << 33 if _has_date(path) else 0
    session = holds_session_id(path)
    return TrapPatterns(query, calendar, session) if query or calendar or session else None


def _has_date(path: str) -> bool:
    if _YEAR.search(path) is not None and _DATE.search(path) is not None:
        return True
    return "?" in path and _DATE_PARAMETER.search(path.partition("?")[2]) is not None


def repeats(path: str, limit: int) -> bool:
    """Say whether a sequence of segments repeats more than `limit` times in a row, near the end of a path."""
    if path.count("/") <= limit:
        return False
    segments = path.split("/")[1:][-LAST_SEGMENTS:]
    names = {segment: chr(number) for number, segment in enumerate(dict.fromkeys(segments))}
    if len(segments) - len(names) < limit:
        return False
    return _repetition(limit).search("".join([names[segment] for segment in segments])) is not None


@lru_cache(maxsize=8)
def _repetition(limit: int) -> re.Pattern[str]:
    return re.compile(rf"(.{{1,{LONGEST_SEQUENCE}}})\1{{{limit}}}", re.DOTALL)


def counted(patterns: dict[int, int], pattern: int) -> dict[int, int]:
    """Return a sketch that has counted a pattern once more."""
    seen = patterns.get(pattern)
    if seen is not None:
        return {**patterns, pattern: seen + 1}
    if len(patterns) < SKETCH:
        return {**patterns, pattern: 1}
    return {each: number - 1 for each, number in patterns.items() if number > 1}


def _is_full(limit: int | None, number: int) -> bool:
    return limit is not None and number >= limit


def _is_another_origin(turn: Turn, origin: str, host: str) -> bool:
    """Say whether a URL would open an origin that the job does not name: of a subdomain, or at another port."""
    policy = turn.policy
    if policy.traps.subdomains is None or turn.origins[origin] is not None:
        return False
    has_usual_port = origin.endswith(host)
    leads_further = policy.scope.subdomains or policy.scope.any_host or policy.links.check_external
    return not has_usual_port or (leads_further and host not in policy.scope.hosts)


def _domain_key(host: str) -> str:
    return f".{registrable_domain(host)}"
