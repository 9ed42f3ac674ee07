"""What the coordinator's answer to a call is to the caller: a value, or an error."""

from __future__ import annotations

import queue
import threading
from typing import Any

from crawlfleet.shared.errors import RemoteError
from crawlfleet.shared.objects import ObjectReply

#: The errors of the standard library that an object's method raises at its caller, by name.
CLIENT_ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        *(AssertionError, AttributeError, BrokenPipeError, EOFError, IndexError, KeyError, OSError, OverflowError),
        *(RuntimeError, TypeError, ValueError, queue.Empty, queue.Full, threading.BrokenBarrierError),
    )
}

Answer = ObjectReply | Exception


def value_of(reply: ObjectReply) -> Any:
    """Return the value of an answer, or raise its error."""
    if not reply.error:
        return reply.value
    kind = CLIENT_ERRORS.get(reply.error)
    if kind is None:
        raise RemoteError(reply.error, reply.text)
    raise kind(reply.text) if reply.text else kind
