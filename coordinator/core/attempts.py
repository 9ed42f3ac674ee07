"""What a report says about the attempt itself: when it began, what its host hears of it, what the log keeps of that."""

from __future__ import annotations

from zlib import crc32

from crawlfleet.coordinator.core import politeness, pressure, retry
from crawlfleet.coordinator.core.changes import Start
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, TaskRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Report


def start_at(report: Report, lease: LeaseRow | None, now: float) -> float | None:
    """Return the latest time at which an attempt can have started; None if it never did. `lease` is None if it ended.

    Never before its planned start, even if its age says so: crawl time may stand still over a restart.
    """
    if report.age_s is None:
        return None
    at = now - max(0.0, report.age_s)
    if lease is None:
        return at
    if not lease.spacing_s:  # all of them may start at once
        return max([at, *(start for _, start in lease.starts[:1])])
    return max([at, *(start for ref, start in lease.starts if ref == report.ref)])


def hear(turn: Turn, task: TaskRow, report: Report, began_at: float | None) -> None:
    """Let the host of a task hear of an answer: its delay follows, and it may be held."""
    policy = turn.policy
    if began_at is not None:
        host = politeness.started(turn.host(task.host), began_at)
        host = pressure.heard(host, report, began_at, policy, turn.now)
        turn.put(politeness.delayed(host, policy, turn.now))
    hold_s = retry.hold_s(policy, task, report)
    if hold_s > 0:
        turn.put(politeness.held(turn.host(task.host), turn.now + hold_s))


def logged(host: HostRow, report: Report, lease: LeaseRow | None, at: float | None) -> Start | None:
    """Return what the log keeps of a start on a host; None if the host has no delay."""
    spacing_s = lease.spacing_s if lease is not None else 0.0
    if at is None or not (host.delay_s or spacing_s):
        return None
    sender = crc32(lease.session.encode()) if lease is not None else 0
    # A lease from before its host joined a unit kept the delay to the starts on that host only.
    return Start(
        host=host.key if lease is None else lease.host, at=at, spacing_s=spacing_s, gap_s=report.gap_s, sender=sender
    )
