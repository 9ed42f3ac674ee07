"""Takes up again, when a crawl is resumed, pages for which a machine lacked something, or a robots.txt was not had."""

from __future__ import annotations

from collections.abc import Collection

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core import admission, gates
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.reasons import SHORTAGES


def take_up(service: Service, store: Frontier, now: float) -> list[str]:
    """Let such pages be fetched again; return sentences that say how many they are."""
    said = []
    short = _count(store, TaskState.FAILED, SHORTAGES)
    if short:
        service.reconsider(now, SHORTAGES, admission.take_up)
        said.append(f"{_pages(short)} failed for want of memory, descriptors or disk, and {_are(short)} fetched again")
    if store.ledger().robots_waits.given_up:
        shut = _count(store, TaskState.DROPPED, gates.NOT_HAD)
        service.reconsider(now, gates.NOT_HAD, gates.look_again)
        if shut:
            said.append(f"{_pages(shut)} dropped for want of a robots.txt, which is requested again")
    return said


def _count(store: Frontier, state: TaskState, reasons: Collection[str]) -> int:
    verdicts = store.verdicts()
    return sum(verdicts.get((state, str(reason)), 0) for reason in reasons)


def _pages(number: int) -> str:
    return "1 page" if number == 1 else f"{number:,} pages"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
