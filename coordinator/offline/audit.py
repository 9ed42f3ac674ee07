"""`crawlfleet audit-politeness`: how far apart the requests to each host were, according to the crawl's own log.

A session keeps its own starts apart by its own clock. Between sessions, and for the first start of a session, the log's
time counts: it is the latest time at which the start can have happened, and the next session's starts are granted from
then on. So neither gap is ever shorter than allowed, unless a rule is broken.

The log does not hold requests of workers that died before they reported them (their host then rests from the moment of
the loss), nor hosts without a delay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from math import inf, isfinite
from pathlib import Path

import msgspec

from crawlfleet.coordinator.core.changes import Start
from crawlfleet.coordinator.frontier.registry import open_reader

ROUNDING_S = 1e-6


class HostAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The starts on one host: how many, the gap with the smallest margin, and how many came too soon.

    `gap_s` is None if no two starts had to keep a delay.
    """

    host: str
    starts: int
    gap_s: float | None
    allowed_s: float
    too_soon: int


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """All hosts with a delay, smallest margin first."""

    hosts: tuple[HostAudit, ...]

    @property
    def holds(self) -> bool:
        """Whether no request came too soon."""
        return not any(host.too_soon for host in self.hosts)


def audit(crawl: Path | str) -> Audit:
    """Audit the log of a crawl, named by its folder or its address, also while it runs; raise `UsageError` if there is
    no readable one."""
    hosts: dict[str, list[Start]] = {}
    with closing(open_reader(crawl)) as reader:
        for line in reader.story():
            if line.start is not None:
                hosts.setdefault(line.start.host, []).append(line.start)
    found = [audit_host(host, starts) for host, starts in hosts.items()]
    return Audit(hosts=tuple(sorted(found, key=lambda host: (_margin_s(host), host.host))))


def audit_host(host: str, starts: Sequence[Start]) -> HostAudit:
    """Judge the starts on one host, in the order of the log."""
    gaps = [gap for gap in (*_within_sessions(starts), *_between_sessions(starts)) if gap[1] > 0]
    gap_s, allowed_s = min(gaps, key=lambda gap: gap[0] - gap[1], default=(None, 0.0))
    too_soon = sum(gap < allowed - ROUNDING_S for gap, allowed in gaps)
    return HostAudit(host=host, starts=len(starts), gap_s=gap_s, allowed_s=allowed_s, too_soon=too_soon)


def _within_sessions(starts: Iterable[Start]) -> Iterator[tuple[float, float]]:
    """Yield the gaps between starts of one session, each with the delay that it had to keep.

    A start without a measured gap is compared with the session's last start in the log, unless that one is later, or
    was itself measured from a start that the log does not hold yet: reports of one grant come in any order.
    """
    last_at: dict[int, float] = {}
    is_owed: dict[int, bool] = {}
    for start in starts:
        before_at = last_at.get(start.sender)
        if start.gap_s is not None and isfinite(start.gap_s):
            yield start.gap_s, start.spacing_s
            is_owed[start.sender] = before_at is None or before_at < start.at - start.gap_s - ROUNDING_S
        else:
            if before_at is not None and before_at <= start.at and not is_owed.get(start.sender):
                yield start.at - before_at, start.spacing_s
            is_owed[start.sender] = False
        last_at[start.sender] = start.at if before_at is None else max(before_at, start.at)


def _between_sessions(starts: Iterable[Start]) -> Iterator[tuple[float, float]]:
    """Yield the gaps between the last start of one session and the next one of another.

    A start that was reported late, under an ended lease, has no sender: starts before it in the log may be of the same
    session.
    """
    by_time = sorted(enumerate(starts), key=lambda numbered: numbered[1].at)
    for (place, before), (next_place, start) in pairwise(by_time):
        if before.sender != start.sender and (before.sender or place < next_place):
            yield start.at - before.at, start.spacing_s


def _margin_s(host: HostAudit) -> float:
    return inf if host.gap_s is None else host.gap_s - host.allowed_s
