"""What a node and its worker processes tell each other over their pipe: msgpack bytes, never pickles."""

from __future__ import annotations

from multiprocessing.connection import Connection

import msgspec


class Joined(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Worker to node: the coordinator has said welcome."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Worker to node: why this process ends. `fatal`: another one would end the same way."""

    text: str
    exit_code: int
    fatal: bool


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Node to worker: take nothing new, report what runs, end."""


Note = Joined | Failed | Drain

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Note] = msgspec.msgpack.Decoder(Note)


def send(pipe: Connection, note: Note) -> bool:
    """Send a note; False if nobody is there any more to read it."""
    try:
        pipe.send_bytes(_encoder.encode(note))
    except OSError:
        return False
    return True


def receive(pipe: Connection) -> Note | None:
    """Read the next note, waiting for it; None if the other side has ended."""
    try:
        return _decoder.decode(pipe.recv_bytes())
    except (EOFError, OSError):
        return None
