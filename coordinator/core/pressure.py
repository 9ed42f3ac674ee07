"""The adaptive delay: how much load a host can take, judged by its answers.

Slow answers ask for a delay that leaves the host idle half of the time. 429 and 503 double the delay, once for all
requests that began before. Each good answer takes back a tenth. A host that answers fast is never slowed by this,
however often it is asked.
"""

from __future__ import annotations

from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import HostRow, succeed
from crawlfleet.shared.messages import Outcome, Report

SLOW_S = 1.0
LEAST_DELAY_S = 1.0
NO_DELAY_S = 0.05
LONGEST_S = 3_600.0
IDLE_SHARE = 2.0
WEIGHT = 0.25
HEADROOM = 1.25
RECOVERY = 0.9
BUSY = frozenset({429, 503})
# The host has answered as it should, whatever the worker made of that.
_GOOD = frozenset(
    {
        Outcome.FETCHED,
        Outcome.NOT_MODIFIED,
        Outcome.REDIRECTED,
        Outcome.EXTRACT_ERROR,
        Outcome.HOOK_WAITED,
    }
)


def heard(host: HostRow, report: Report, start_at: float, policy: Policy, now: float) -> HostRow:
    """Return a host after the answer to a request that began at `start_at`."""
    is_good = report.status not in BUSY and (report.outcome in _GOOD or 400 <= report.status < 500)
    is_refusal = report.status in BUSY and start_at > host.pressed_at
    latency_s = host.latency_s + WEIGHT * (min(LONGEST_S, max(0.0, report.elapsed_s)) - host.latency_s)
    # This leaves a slow host idle for its share of the time, for any number of slots.
    wanted_s = IDLE_SHARE * latency_s / policy.politeness.per_host if latency_s > SLOW_S else 0.0
    adaptive_s = host.adaptive_s
    if is_refusal:
        adaptive_s = max(LEAST_DELAY_S, 2 * max(host.delay_s, adaptive_s))
    elif is_good:
        adaptive_s = _recovered(adaptive_s, wanted_s)
    if adaptive_s < wanted_s:
        adaptive_s = wanted_s * HEADROOM
    return succeed(
        host,
        latency_s=latency_s,
        adaptive_s=min(adaptive_s, policy.politeness.max_delay_s) if policy.politeness.adaptive else 0.0,
        pressed_at=now if is_refusal else host.pressed_at,
        refusals=0 if is_good else host.refusals + is_refusal,
    )


def _recovered(adaptive_s: float, wanted_s: float) -> float:
    """Take back some of a delay, unless the result is so short that the next answer might ask for it again."""
    lower = adaptive_s * RECOVERY
    if lower < wanted_s:
        return adaptive_s
    return lower if lower >= NO_DELAY_S else 0.0
