"""What the next commit appends to the logs of a store: lines of the story, results, and the links of pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from crawlfleet.coordinator.core.changes import Accepted, Leased, LedOn, Linked, Recorded, TaskMoved
from crawlfleet.coordinator.core.rows import Result, TaskRow
from crawlfleet.coordinator.frontier.sqlite.row_cache import PAGE_BYTES
from crawlfleet.coordinator.frontier.story import ACCEPTED, EVENT_NUMBERS, LEASED, LED_ON, encode_block

_encode = msgspec.msgpack.Encoder().encode

Logged = Accepted | Leased | LedOn | Linked | Recorded


class LogWriter:
    """The lines, results and links since the last commit."""

    def __init__(self) -> None:
        self._story: list[tuple[object, ...]] = []
        self._found: list[tuple[int, int, bytes]] = []
        self._recorded: list[Result] = []
        self._links: list[tuple[int, bytes]] = []

    @property
    def has_story(self) -> bool:
        """Whether anything has happened to a task."""
        return bool(self._story)

    @property
    def pages(self) -> int:
        """About how many pages of the file the results and links take."""
        return (sum(len(row) for _, _, row in self._found) + sum(len(row) for _, row in self._links)) // PAGE_BYTES

    def moved(self, change: TaskMoved) -> None:
        """Take an event of a task."""
        self._story.append((change.task.order, EVENT_NUMBERS[change.event], change.task.lease, b""))

    def take(self, change: Logged, tasks: Mapping[bytes, TaskRow], committed: int) -> None:
        """Take any other event, of one of these tasks; so many results are committed."""
        match change:
            case Recorded(result=result):
                seq = committed + len(self._found) + 1
                self._found.append((seq, tasks[result.ref].order, _encode(result)))
                self._recorded.append(result)
            case Accepted():
                order = tasks[change.ref].order
                self._story.append((order, ACCEPTED, change.lease, change.outlinks, change.start, change.answer))
            case Leased():
                self._story.append((0, LEASED, change.lease, b"", None, None, change.worker))
            case Linked():
                self._links.append((tasks[change.ref].order, change.links))
            case LedOn():
                self._story.append((tasks[change.ref].order, LED_ON, 0, change.outlinks))

    def write(self, db: sqlite3.Connection, at: float) -> None:
        """Append everything to the tables; `at` is the time of the commit."""
        if self._story:
            db.execute("INSERT INTO story (lines, at) VALUES (?, ?)", (encode_block(self._story), at))
        if self._found:
            db.executemany("INSERT INTO results (seq, task, row) VALUES (?, ?, ?)", self._found)
        if self._links:  # a page that was taken up again is there once
            db.executemany("INSERT OR REPLACE INTO links (task, row) VALUES (?, ?)", self._links)

    def take_results(self) -> list[tuple[Result, int]]:
        """Return the results that were committed, each with its size, and begin anew."""
        taken = list(zip(self._recorded, (len(row) for _, _, row in self._found), strict=True))
        self._recorded.clear()
        self._found.clear()
        self._story.clear()
        self._links.clear()
        return taken
