"""Takes up again, when a crawl is resumed, pages for which a machine lacked something, or a robots.txt was not had."""

from __future__ import annotations

from collections.abc import Collection

from crawlfleet.coordinator.conduct.again import Again
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core import admission, gates
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.reasons import SHORTAGES


def taken_up(service: Service, store: Frontier) -> list[tuple[Again, str]]:
    """Return such pages, to be judged again, with sentences that say how many they are."""
    found = []
    short = _count(store, TaskState.FAILED, SHORTAGES)
    if short:
        said = f"{_pages(short)} failed for want of memory, descriptors or disk, and {_are(short)} fetched again"
        found.append((service.judging_again(admission.take_up, SHORTAGES), said))
    if store.ledger().robots_waits.given_up:
        shut = _count(store, TaskState.DROPPED, gates.NOT_HAD)
        said = f"{_pages(shut)} dropped for want of a robots.txt, which is requested again" if shut else ""
        found.append((service.judging_again(gates.look_again, gates.NOT_HAD), said))
    return found


def _count(store: Frontier, state: TaskState, reasons: Collection[str]) -> int:
    verdicts = store.verdicts()
    return sum(verdicts.get((state, str(reason)), 0) for reason in reasons)


def _pages(number: int) -> str:
    return "1 page" if number == 1 else f"{number:,} pages"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
