"""Commits of stores, in one step."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.port import Conclusion, Frontier

T = TypeVar("T")


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


def once_run(
    callers: ThreadPoolExecutor, how: Callable[[Callable[[float], T]], T], step: Callable[[float], T], patience_s: float
) -> Future[T]:
    """Let a thread hand a step to a loop by one of its methods; return once it has been run, maybe not yet answered."""
    ran = Event()

    def tell(now: float) -> T:
        try:
            return step(now)
        finally:
            ran.set()

    answer = callers.submit(how, tell)
    assert ran.wait(patience_s)
    return answer
