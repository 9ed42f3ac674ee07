"""What the story tells of each task: when it was found and last asked for, by which worker, and how often.

The story is in the order of time, the tasks in that of their admission. So the story is read once for each million of
tasks, and what it tells of them is kept in arrays: memory does not grow with the crawl.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

from crawlfleet.coordinator.core.rows import TaskRow
from crawlfleet.coordinator.core.transitions import SETTLING
from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.frontier.story import ACCEPTED, EVENT_NUMBERS, LEASED, Block

WINDOW = 1_000_000

_GRANTED = EVENT_NUMBERS["granted"]
_SETTLING = frozenset(EVENT_NUMBERS[event] for event in SETTLING)
# A time that the story does not have: the block was written by an older version.
_UNKNOWN = -1.0


class History(NamedTuple):
    """The history of one task. Times are in seconds since 1970, None if there is none, or it is unknown.

    `attempts` are the reports that counted; `answered_at` is the time of the last one, `worker` who made it.
    """

    found_at: float | None
    answered_at: float | None
    worker: str
    attempts: int


def with_histories(reader: StoreReader, window: int = WINDOW) -> Iterator[tuple[TaskRow, History]]:
    """Yield each task with its history, in the order of admission."""
    histories = _Window(0, 0)
    for number, _, task in reader.tasks():
        if number >= histories.end:
            histories = _Window(number, window)
            for block in reader.blocks():
                histories.play(block)
        yield task, histories.of(number)


class _Window:
    """The histories of the tasks with so many numbers from `first` on."""

    def __init__(self, first: int, length: int) -> None:
        self._first = first
        self._length = length
        self.end = first + length
        self._found_at = array("d", bytes(8 * length))
        self._answered_at = array("d", bytes(8 * length))
        self._attempts = array("I", bytes(4 * length))
        # Workers by their places in `_workers`: who has it, and whose report was the last one.
        self._granted_to = array("I", bytes(4 * length))
        self._worker = array("I", bytes(4 * length))
        self._workers = {"": 0}
        self._names = [""]

    def play(self, block: Block) -> None:
        """Take the lines of one commit."""
        at = _UNKNOWN if block.at is None else block.at
        lessees: dict[int, int] = {}
        for line in block.lines:
            event, place = line.event, line.task - self._first
            if event == LEASED:
                lessees[line.lease] = self._place_of(line.worker)
            elif 0 <= place < self._length:
                if not self._found_at[place]:
                    self._found_at[place] = at
                if event == _GRANTED:
                    self._granted_to[place] = lessees.get(line.lease, 0)
                elif event == ACCEPTED:
                    self._answered_at[place] = at
                    self._worker[place] = self._granted_to[place]
                elif event in _SETTLING:
                    self._attempts[place] += 1

    def of(self, number: int) -> History:
        """Return the history of a task."""
        place = number - self._first
        times = (self._found_at[place], self._answered_at[place])
        found_at, answered_at = (at if at > 0.0 else None for at in times)
        return History(found_at, answered_at, self._names[self._worker[place]], self._attempts[place])

    def _place_of(self, worker: str) -> int:
        place = self._workers.setdefault(worker, len(self._names))
        if place == len(self._names):
            self._names.append(worker)
        return place
