"""Which outcomes are tried again, and when. Jitter is a hash, so that a decision can be repeated."""

from __future__ import annotations

from hashlib import blake2b

from coordinator.core.policy import Policy
from shared.messages import Outcome, Report

_PASSING_STATUS = frozenset({408, 425, 429}) | (frozenset(range(500, 600)) - {501, 505})


def is_passing(report: Report) -> bool:
    """Say whether what went wrong may go right another time."""
    if report.outcome is Outcome.HTTP_ERROR:
        return report.status in _PASSING_STATUS
    return report.outcome is Outcome.NETWORK_ERROR


def backoff_s(policy: Policy, ref: bytes, attempt: int) -> float:
    """Return the pause before the attempt after `attempt`: doubling, between 75 % and 125 % of the round value."""
    digest = blake2b(ref + attempt.to_bytes(4, "big"), digest_size=4).digest()
    jitter = 0.75 + int.from_bytes(digest, "big") / 2**33
    pause: float = policy.retry_base_s * 2.0 ** min(attempt, 30)
    return min(policy.retry_max_s, pause) * jitter
