"""A coordinator whose service breaks says so to whoever calls it, now and later."""

from __future__ import annotations

from typing import cast

import pytest

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.conduct.turns import TRIES, Turns
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Conflict
from crawlfleet.shared.errors import CrawlFailed
from tests.unit.core_crawl import POLICY


class BrokenService:
    """A service whose commit fails."""

    is_full = False

    def next_deadline(self) -> None:
        return None

    def flush(self, now: float, _ended: object) -> None:
        raise RuntimeError(f"no commit at {now >= 0}")


def test_no_caller_waits_for_a_loop_that_broke() -> None:
    loop = Loop(cast(Service, BrokenService()), on_commit=lambda: None)
    loop.start()
    for _ in range(3):
        with pytest.raises(CrawlFailed, match="no commit"):
            loop.call(lambda now: now)
    assert isinstance(loop.failure, CrawlFailed)
    loop.stop()


class RefusingStore(MemoryStore):
    """A store that takes no change."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def apply(self, _changes: object) -> None:
        self.asked += 1
        raise Conflict("never")


def test_a_decision_that_never_fits_the_store_is_a_bug_and_no_endless_loop() -> None:
    store = RefusingStore()
    turns = Turns(store, POLICY, journal=lambda _: None)
    with pytest.raises(Conflict, match="never"):
        turns.run(lambda _turn: None, 0.0)
    assert store.asked == TRIES
