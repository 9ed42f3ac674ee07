"""Barrier: a number of threads of the whole fleet wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.worker.talk.objects.base import SharedObject, Source, limit_s


class Barrier(SharedObject):
    """A barrier of the whole fleet, as a manager's `Barrier`; `action` and `timeout` are those of this program.

    A barrier breaks if a thread waits for too long, is interrupted, or is lost while it waits.
    """

    kind = "Barrier"

    def __init__(
        self,
        source: Source,
        name: str,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__(source, name, parties)
        self.parties = parties
        self._action = action
        self._timeout = timeout

    @property
    def n_waiting(self) -> int:
        """How many threads wait now."""
        number: int = self._read("n_waiting")
        return number

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""
        is_broken: bool = self._read("broken")
        return is_broken

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties do; return the number of this one among them, from 0 on.

        If parties have an action, the one of these that came last runs it before any goes on. Raise
        `BrokenBarrierError` if the barrier is broken, or breaks: also because the time is over, or the action failed.
        """
        timeout_s = limit_s(self._timeout if timeout is None else timeout)
        try:
            index, acts = self._call("wait", self._action is not None, timeout_s=timeout_s)
        except Exception:
            raise
        except BaseException:
            if self._action is not None:  # this thread may be the one that runs it, and not know that yet
                self._fail()
            raise
        if acts:
            self._act()
        return int(index)

    def reset(self) -> None:
        """Make the barrier whole again. Whoever waits gets `BrokenBarrierError`."""
        self._call("reset")

    def abort(self) -> None:
        """Break the barrier: whoever waits, or comes later, gets `BrokenBarrierError`."""
        self._call("abort")

    def _act(self) -> None:
        assert self._action is not None, "the coordinator lets only a party act that has an action"
        try:
            self._action()
            self._call("passed")
        except BaseException:
            self._fail()
            raise

    def _fail(self) -> None:
        """Break the barrier if its others wait for this thread's action, whose error or interruption says why."""
        with suppress(CrawlfleetError, ValueError):  # without a coordinator the end of the session breaks it
            self._call("failed")
