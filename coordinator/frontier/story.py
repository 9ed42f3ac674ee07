"""The story: the log of every change of every task, in the order of commit, as blocks of lines.

Each commit adds one block, a row of the table. `verify` replays the lines. The numbers of events are part of the file's
format: a new event goes last.
"""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.core.changes import Start, TaskEvent

EVENTS = ("accepted", *(event.value for event in TaskEvent))
EVENT_NUMBERS = {event: number for number, event in enumerate(EVENTS)}
ACCEPTED = EVENT_NUMBERS["accepted"]
#: Nothing has happened to the task: links of it that were kept have been admitted. Apart from the numbers of events.
LED_ON = 1_000


class StoryLine(msgspec.Struct, frozen=True, array_like=True):
    """One event of one task, by the numbers of both, and the task's lease after it.

    For `accepted` (a report counted) `outlinks` joins the fingerprints of the page's outlinks, and `start` is the
    request to its host, if the host has a delay. For `LED_ON` they are those that were admitted later.
    """

    task: int
    event: int
    lease: int
    outlinks: bytes = b""
    start: Start | None = None


encode_block = msgspec.msgpack.Encoder().encode
decode_block = msgspec.msgpack.Decoder(list[StoryLine]).decode
