"""The messages between a node and its worker processes, over their pipes."""

from __future__ import annotations

import msgspec

from crawlfleet.shared.pipe import PipeMessage
from crawlfleet.shared.ranges import Addresses


class Joined(PipeMessage, frozen=True, kw_only=True):
    """Worker to node: the coordinator of a job has welcomed the session."""

    job: str


class Named(PipeMessage, frozen=True, kw_only=True):
    """Worker to node: the coordinator has named these addresses of the crawl, in the place of those before."""

    addresses: Addresses


class Worked(PipeMessage, frozen=True, kw_only=True):
    """Worker to node: the coordinator has taken so many more reports."""

    reports: int


class Finished(PipeMessage, frozen=True, kw_only=True):
    """Worker to node: the crawl or the drain is over, and the session has said goodbye. `again`: another process is to
    take the place of this one."""

    again: bool = False


class Said(PipeMessage, frozen=True, kw_only=True):
    """Worker to node: a sentence for the user."""

    text: str


class Failed(PipeMessage, frozen=True, kw_only=True):
    """Worker to node: why this process ends. `fatal`: a new process would end the same way."""

    text: str
    exit_code: int
    fatal: bool


class Drain(PipeMessage, frozen=True, kw_only=True):
    """Node to worker: take nothing new, report what runs, end."""


FromWorker = Joined | Named | Worked | Finished | Said | Failed
FROM_WORKER: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
FROM_NODE: msgspec.msgpack.Decoder[Drain] = msgspec.msgpack.Decoder(Drain)
