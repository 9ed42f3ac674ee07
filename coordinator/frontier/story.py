"""The story: the log of every change of every task, in the order of their commit, as blocks of lines.

A block is what one commit adds, one row of the table. `verify` replays the lines. The numbers of events are part of the
file's format: a new event of the table of transitions goes last.
"""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.core.changes import Start, TaskEvent

EVENTS = ("accepted", *(event.value for event in TaskEvent))
EVENT_NUMBERS = {event: number for number, event in enumerate(EVENTS)}
ACCEPTED = EVENT_NUMBERS["accepted"]


class StoryLine(msgspec.Struct, frozen=True, array_like=True):
    """What happened to one task, by the numbers of task and event; under which lease it is now.

    For `accepted` (a report counted) `outlinks` are the fingerprints of the page's outlinks, one after another, and
    `start` is when its host was asked, if that has a delay.
    """

    task: int
    event: int
    lease: int
    outlinks: bytes = b""
    start: Start | None = None


encode_block = msgspec.msgpack.Encoder().encode
decode_block = msgspec.msgpack.Decoder(list[StoryLine]).decode
