"""Messages over a pipe between processes of one machine: msgpack bytes, never pickles.

The processes that use a pipe define its messages, and a decoder for them.
"""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import TypeVar

import msgspec


class PipeMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all messages; the name of its class is sent with it."""


M = TypeVar("M", bound=PipeMessage)

_encoder = msgspec.msgpack.Encoder()


def send(pipe: Connection, message: PipeMessage) -> bool:
    """Send a message; return False if the other side has ended."""
    try:
        pipe.send_bytes(_encoder.encode(message))
    except OSError:
        return False
    return True


def receive(pipe: Connection, decoder: msgspec.msgpack.Decoder[M]) -> M | None:
    """Wait for the next message and return it; None if the other side has ended."""
    try:
        return decoder.decode(pipe.recv_bytes())
    except (EOFError, OSError):
        return None
