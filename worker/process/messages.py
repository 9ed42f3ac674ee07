"""The messages between a node and its worker processes, over their pipes."""

from __future__ import annotations

import msgspec

from crawlfleet.shared.pipe import PipeMessage


class Joined(PipeMessage, frozen=True, kw_only=True):
    """Worker to node: the coordinator has welcomed the session."""


class Failed(PipeMessage, frozen=True, kw_only=True):
    """Worker to node: why this process ends. `fatal`: a new process would end the same way."""

    text: str
    exit_code: int
    fatal: bool


class Drain(PipeMessage, frozen=True, kw_only=True):
    """Node to worker: take nothing new, report what runs, end."""


FROM_WORKER: msgspec.msgpack.Decoder[Joined | Failed] = msgspec.msgpack.Decoder(Joined | Failed)
FROM_NODE: msgspec.msgpack.Decoder[Drain] = msgspec.msgpack.Decoder(Drain)
