"""The calls of objects that wait: when each gives up, and which were answered. Derived from the store's rows."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from crawlfleet.coordinator.core.changes import Change, Gone, Put
from crawlfleet.coordinator.core.objects.rows import CallerRow, WaitRow
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.objects import Woken

#: The heap is cleaned when it has so many more entries than twice those of calls that wait.
MAX_DEAD = 1_000


class Waits:
    """A heap of deadlines with lazy deletion, and the answers that are to be delivered."""

    def __init__(self, store: Frontier) -> None:
        self._store = store
        self._woken: list[tuple[str, Woken | None]] = []
        self._deadlines = [(row.deadline, row.place) for row in store.resident(WaitRow) if row.deadline is not None]
        heapify(self._deadlines)
        # How many calls with a deadline wait.
        self._live = len(self._deadlines)

    def note(self, changes: Sequence[Change]) -> None:
        """Note the changes of a turn that the store has taken."""
        for change in changes:
            match change:
                case Put(row=WaitRow(deadline=float() as deadline) as wait):
                    heappush(self._deadlines, (deadline, wait.place))
                    self._live += 1
                case Gone(row=WaitRow(deadline=float())):
                    self._live -= 1
                case Put(row=CallerRow(woken=True, reply=reply) as caller) if reply is not None:
                    self._woken.append((caller.session, Woken(slot=caller.slot, number=caller.number, reply=reply)))
                case _:
                    pass
        if len(self._deadlines) > 2 * self._live + MAX_DEAD:
            self._drop_dead()

    def note_end(self, session: str) -> None:
        """Note that a session has ended, and collects no answers any more."""
        self._woken.append((session, None))

    def take_woken(self) -> list[tuple[str, Woken | None]]:
        """Return the answers since the last time, with their sessions; None if one has ended: see `Post.deliver`."""
        woken, self._woken = self._woken, []
        return woken

    def next_deadline(self) -> float | None:
        """Return when the next call gives up, in crawl time; None if none does."""
        while self._deadlines and not self._store.rows(WaitRow, (self._deadlines[0][1],)):
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def take_due(self, now: float) -> list[int]:
        """Return the tickets of calls whose time is over."""
        due: list[int] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            due.append(heappop(self._deadlines)[1])
        return due

    def _drop_dead(self) -> None:
        """Forget the deadlines of calls that do not wait any more."""
        there = self._store.rows(WaitRow, [place for _, place in self._deadlines])
        self._deadlines = [entry for entry in self._deadlines if entry[1] in there]
        heapify(self._deadlines)
