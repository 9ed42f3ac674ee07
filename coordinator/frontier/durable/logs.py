"""What the next commit appends to the logs of a store: lines of the story, results, and the links of pages."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from crawlfleet.coordinator.core.changes import Accepted, Change, Leased, LedOn, Linked, Recorded, TaskMoved
from crawlfleet.coordinator.core.rows import Result, TaskRow
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.story import ACCEPTED, EVENT_NUMBERS, LEASED, LED_ON, encode_block

_encode = msgspec.msgpack.Encoder().encode


class Logs:
    """The lines, results and links since the last commit began. `count` is how many results there were before."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._story: list[tuple[object, ...]] = []
        self._found: list[tuple[int, int, bytes]] = []
        self._recorded: list[Result] = []
        self._links: dict[int, bytes] = {}  # a page that is taken up again is there once
        self._under_way: list[tuple[Result, int]] = []

    def moved(self, change: TaskMoved) -> None:
        """Take an event of a task."""
        self._story.append((change.task.order, EVENT_NUMBERS[change.event], change.task.lease, b""))

    def take(self, change: Change, tasks: Mapping[bytes, TaskRow]) -> None:
        """Take any other change, of one of these tasks, if it is logged."""
        if type(change) is Accepted:
            order = tasks[change.ref].order
            self._story.append((order, ACCEPTED, change.lease, change.outlinks, change.start, change.answer))
        elif type(change) is Recorded:
            result = change.result
            self._count += 1
            self._found.append((self._count, tasks[result.ref].order, _encode(result)))
            self._recorded.append(result)
        elif type(change) is Leased:
            self._story.append((0, LEASED, change.lease, b"", None, None, change.worker))
        elif type(change) is Linked:
            self._links[tasks[change.ref].order] = change.links
        elif type(change) is LedOn:
            self._story.append((tasks[change.ref].order, LED_ON, 0, change.outlinks))

    def begin(self, batch: Batch) -> None:
        """Put everything into a batch, whose commit begins, and begin anew."""
        if self._story:
            batch.story = encode_block(self._story)
        batch.results, batch.links = self._found, list(self._links.items())
        self._under_way = [(result, len(row)) for result, (_, _, row) in zip(self._recorded, self._found, strict=True)]
        self._story, self._found, self._recorded, self._links = [], [], [], {}

    def conclude(self) -> list[tuple[Result, int]]:
        """Return the results that are committed now, each with the size of its row."""
        taken, self._under_way = self._under_way, []
        return taken
