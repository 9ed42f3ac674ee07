"""Takes pages up again, when a crawl is resumed, that had failed because a machine lacked something."""

from __future__ import annotations

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core import admission
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.reasons import SHORTAGES


def take_up(service: Service, store: Frontier, now: float) -> int:
    """Let such pages be fetched again; return how many they are."""
    found = sum(store.verdicts().get((TaskState.FAILED, reason.value), 0) for reason in SHORTAGES)
    if found:
        service.reconsider(now, SHORTAGES, admission.take_up)
    return found
