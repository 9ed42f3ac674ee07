"""Which outcomes are retried, and when. Jitter is a hash, so that decisions are reproducible."""

from __future__ import annotations

from hashlib import blake2b

from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import HostRow, LedgerRow, TaskRow, succeed
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.ranges import total
from crawlfleet.shared.reasons import Reason

# 206 and 304 answer a request that was not made: broken caches do that.
_PASSING_STATUS = frozenset({206, 304, 408, 425, 429}) | (frozenset(range(500, 600)) - {501, 505})
_MOST_REASONS = 100


def is_passing(report: Report) -> bool:
    """Say whether another attempt may succeed."""
    if report.reason == Reason.REPORT_REFUSED:  # another worker may do better
        return True
    if report.outcome is Outcome.HTTP_ERROR:
        return report.status in _PASSING_STATUS
    # A server that exceeds one of our limits once does so again: a retry would change nothing.
    return report.outcome is Outcome.NETWORK_ERROR and report.reason != Reason.HEAD_TOO_LARGE


def counted(ledger: LedgerRow, reason: str) -> LedgerRow:
    """Return the crawl's numbers with one more retry, by reason; `_MOST_REASONS` bounds what workers can add."""
    retried = ledger.retried
    name = reason if reason in retried or len(retried) < _MOST_REASONS else Reason.OTHER
    named = {**retried, name: total(retried.get(name, 0), 1)}
    return succeed(ledger, retries=total(ledger.retries, 1), retried=named)


def is_refusal(report: Report) -> bool:
    """Say whether an answer means that the whole host is busy: 429, or 503 with a `Retry-After`."""
    return report.status == 429 or (report.status == 503 and report.retry_after_s is not None)


def is_excused(report: Report, task: TaskRow, host: HostRow, policy: Policy) -> bool:
    """Say whether an attempt does not count: the host was busy, or the hook waited. `patience` limits how often."""
    if report.outcome is Outcome.HOOK_WAITED:
        return task.refusals < policy.politeness.patience
    if task.kind is Kind.ROBOTS or not is_refusal(report):
        return False
    return task.refusals < policy.politeness.patience and host.refusals <= policy.politeness.patience


def hold_s(policy: Policy, task: TaskRow, report: Report) -> float:
    """Return how long nothing may start on the host after an answer (RFC 9110, 10.2.3); 0 if there is no hold.

    As long as the host asks for; after a refusal at least our own pause; `hold_max_s` at most.
    """
    asked_s = report.retry_after_s or 0.0
    if is_refusal(report):
        return min(policy.tuning.hold_max_s, max(asked_s, pause_s(policy, task)))
    return min(policy.tuning.hold_max_s, asked_s) if 300 <= report.status < 400 else 0.0


def pause_s(policy: Policy, task: TaskRow) -> float:
    """Return the pause before a task's next attempt."""
    return backoff_s(policy, task.ref, task.attempt + task.refusals)


def backoff_s(policy: Policy, ref: bytes, attempt: int) -> float:
    """Return the pause after `attempt`. It doubles with each attempt; jitter makes it 75 % to 125 % of that."""
    digest = blake2b(ref + attempt.to_bytes(4, "big"), digest_size=4).digest()
    jitter = 0.75 + int.from_bytes(digest, "big") / 2**33
    pause: float = policy.tuning.retry_base_s * 2.0 ** min(attempt, 30)
    return min(policy.tuning.retry_max_s, pause) * jitter
