"""The story: the log of every change of every task, in the order of commit, as blocks of lines.

Each commit adds one block, a row of the table, with its time. `verify` replays the lines. The numbers of events are
part of the file's format: a new event goes last. Blocks of files before format 6 have no time, workers and answers.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from crawlfleet.coordinator.core.changes import Answer, Start, TaskEvent

EVENTS = ("accepted", *(event.value for event in TaskEvent))
EVENT_NUMBERS = {event: number for number, event in enumerate(EVENTS)}
ACCEPTED = EVENT_NUMBERS["accepted"]
#: Nothing has happened to the task: links of it that were kept have been admitted. Apart from the numbers of events.
LED_ON = 1_000
#: A lease goes to a worker. The line is of no task; those of its grants are in the same block, and follow.
LEASED = 1_001


class StoryLine(msgspec.Struct, frozen=True, array_like=True):
    """One event of one task, by the numbers of both, and the task's lease after it.

    For `accepted` (a report counted) `outlinks` joins the fingerprints of the page's outlinks, `start` is the request
    to its host, if the host has a delay, and `answer` is how the attempt ended. For `LED_ON` the outlinks are those
    that were admitted later. For `LEASED` `worker` has the lease.
    """

    task: int
    event: int
    lease: int
    outlinks: bytes = b""
    start: Start | None = None
    answer: Answer | None = None
    worker: str = ""


class Block(NamedTuple):
    """The lines of one commit, and its time: in seconds since 1970, by the coordinator's clock; None if unknown."""

    at: float | None
    lines: list[StoryLine]


encode_block = msgspec.msgpack.Encoder().encode
decode_block = msgspec.msgpack.Decoder(list[StoryLine]).decode
