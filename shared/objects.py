"""The messages about named objects that programs and hooks share through the coordinator.

A *slot* of a session makes one call after another. Each call that may change something has the next number of its slot,
from 1 on: a call that is sent again gets its first answer. A call that waits is answered at once with `waits`, and its
answer is collected later.
"""

from __future__ import annotations

from typing import Any

from crawlfleet.shared.message import Message
from crawlfleet.shared.ranges import Number, ObjectName, Seconds, SessionId, Word

#: The method that gives up a call: it has the number of that call.
WITHDRAW = "withdraw"
#: The method that creates an object, or checks that it is what the caller expects.
OPEN = "open"

#: The names of refusals that concern the caller's session, or that the object does not exist.
FORGOTTEN = "SessionForgotten"
PLACE_LOST = "PlaceLost"
GONE = "ObjectGone"


#: The values of one call have at most so many bytes together, so that it and its answer fit into a frame.
CALL_BYTES = 8 * 1024 * 1024
#: A call changes at most so many entries of a dict or set, each of which is a row.
CALL_ENTRIES = 20_000
#: Contents are read in pages: of about so many bytes, and at most so many items.
PAGE_BYTES = 4 * 1024 * 1024
PAGE_ITEMS = 20_000


class ObjectCall(Message, frozen=True, kw_only=True):
    """One call of a method of an object. `thread` is the session's own number for the calling thread.

    `number` is 0 for a method that only reads. `args` are plain: values that are shared are encoded (`wire.values`).
    A call waits at most `timeout_s` (None: without limit, 0: not at all). `hook`: a worker's hook made it.
    """

    session: SessionId
    thread: Number
    slot: Number
    number: Number
    kind: Word
    name: ObjectName
    method: Word
    args: tuple[Any, ...] = ()
    timeout_s: Seconds | None = None
    hook: bool = False


class ObjectReply(Message, frozen=True, kw_only=True):
    """The answer to a call: a plain value, or the name and the text of an error; or that the call waits."""

    value: Any = None
    error: str = ""
    text: str = ""
    waits: bool = False


class Woken(Message, frozen=True, kw_only=True):
    """The answer to a call that has waited."""

    slot: Number
    number: Number
    reply: ObjectReply


class Collected(Message, frozen=True, kw_only=True):
    """Answers to calls of a session that have waited, up to the cursor `upto`. After `finished` none will come.

    `epoch` identifies this run of the coordinator, as in the `value` of an answer that a call waits: a call that waits
    since another run is to be sent again.
    """

    upto: Number
    epoch: Number
    woken: tuple[Woken, ...] = ()
    finished: bool = False
