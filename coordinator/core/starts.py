"""When an attempt started, as far as it can be known, and what the log keeps of that."""

from __future__ import annotations

from zlib import crc32

from crawlfleet.coordinator.core.changes import Start
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow
from crawlfleet.shared.messages import Report


def start_at(report: Report, lease: LeaseRow | None, now: float) -> float | None:
    """Return when an attempt started at the latest; None if it never did. `lease` None is a lease that is over.

    Not before it was allowed to, though its age may say so: over a restart crawl time may stand still.
    """
    if report.age_s is None:
        return None
    at = now - max(0.0, report.age_s)
    if lease is None:
        return at
    if not lease.spacing_s:  # all of them may start at once
        return max([at, *(start for _, start in lease.starts[:1])])
    return max([at, *(start for ref, start in lease.starts if ref == report.ref)])


def logged(host: HostRow, report: Report, lease: LeaseRow | None, at: float | None) -> Start | None:
    """Return what the log keeps of a start on a host; nothing if that has no delay."""
    spacing_s = lease.spacing_s if lease is not None else 0.0
    if at is None or not (host.delay_s or spacing_s):
        return None
    sender = crc32(lease.session.encode()) if lease is not None else 0
    # What was granted before its host joined a unit was held apart from that host's own starts alone.
    return Start(
        host=host.key if lease is None else lease.host, at=at, spacing_s=spacing_s, gap_s=report.gap_s, sender=sender
    )
