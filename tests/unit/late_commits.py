"""A service and a store whose commits end when a test says so, in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Conclusion

PATIENCE_S = 30.0


class LateCommits:
    """Commits, of which at most one is under way. `begun` counts them, `ended` those that are concluded."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self._changed = threading.Condition()
        self._ended: Callable[[], None] | None = None
        self._conclusion: Conclusion | Exception | None = None

    def begin(self, ended: Callable[[], None]) -> None:
        with self._changed:
            assert self.begun == self.ended, "a second commit is under way"
            self.begun += 1
            self._ended, self._conclusion = ended, None
            self._changed.notify_all()

    def conclude(self) -> Conclusion | None:
        with self._changed:
            conclusion = self._conclusion
            if conclusion is not None:
                self.ended += 1
        if isinstance(conclusion, Exception):
            raise conclusion
        return conclusion

    def await_begun(self, number: int) -> None:
        """Wait until so many commits have begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.begun >= number, PATIENCE_S), f"{self.begun}, not {number} begun"

    def end(self, conclusion: Conclusion | Exception = Conclusion.DONE) -> None:
        """Let the commit under way end."""
        with self._changed:
            ended, self._conclusion = self._ended, conclusion
        assert ended is not None
        thread = threading.Thread(target=ended)
        thread.start()
        thread.join()


class LateService:
    """Stands in for the service. What calls put into `seen` is `durable` once it is committed."""

    is_behind = False

    def __init__(self) -> None:
        self.commits = LateCommits()
        #: While it is not sure of its crawl, it has something to commit at each flush.
        self.is_surely_owned = True
        self.is_full = False
        self.seen: list[str] = []
        self.durable: list[str] = []
        self._under_way: list[str] = []

    def next_deadline(self) -> None:
        return None

    def flush(self, _now: float, ended: Callable[[], None]) -> Conclusion | None:
        self.is_full = False
        if len(self.seen) == len(self.durable) and self.is_surely_owned:
            ended()
            return Conclusion.DONE
        self._under_way = self.seen[len(self.durable) :]
        self.commits.begin(ended)
        return self.conclude()

    def conclude(self) -> Conclusion | None:
        conclusion = self.commits.conclude()
        if conclusion is Conclusion.DONE:
            self.durable += self._under_way
        return conclusion


class LateStore(MemoryStore):
    """A store whose commits end late, unless there is nothing to commit."""

    def __init__(self) -> None:
        super().__init__()
        self.commits = LateCommits()
        self._is_late = False

    def commit(self, now: float, ended: Callable[[], None]) -> None:
        self._is_late = self._is_changed
        super().commit(now, ended if not self._is_late else lambda: None)
        if self._is_late:
            self.commits.begin(ended)

    def conclude(self) -> Conclusion | None:
        conclusion = self.commits.conclude() if self._is_late else Conclusion.DONE
        if conclusion is Conclusion.DONE:
            self._is_late = False
            return super().conclude()
        return conclusion
