"""Messages over a pipe between processes of one machine: msgpack bytes, never pickles.

Who talks over a pipe defines its messages, and a decoder of them.
"""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import TypeVar

import msgspec


class PipeMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all messages; the name of its class travels with it."""


M = TypeVar("M", bound=PipeMessage)

_encoder = msgspec.msgpack.Encoder()


def send(pipe: Connection, message: PipeMessage) -> bool:
    """Send a message; False if nobody is there any more to read it."""
    try:
        pipe.send_bytes(_encoder.encode(message))
    except OSError:
        return False
    return True


def receive(pipe: Connection, decoder: msgspec.msgpack.Decoder[M]) -> M | None:
    """Read the next message, waiting for it; None if the other side has ended."""
    try:
        return decoder.decode(pipe.recv_bytes())
    except (EOFError, OSError):
        return None
