"""Commits of stores, in one step."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.port import Conclusion, Frontier


def commit(store: Frontier, now: float) -> None:
    """Make what was applied durable."""
    over = Event()
    store.commit(now, over.set)
    over.wait()
    assert store.conclude() is Conclusion.DONE


class AwaitedStore(DurableStore):
    """A store whose commits are over when they have begun, whatever its database is."""

    def commit(self, now: float, ended: Callable[[], None]) -> None:
        over = Event()
        super().commit(now, over.set)
        over.wait()
        ended()
