"""The messages between a calling process and the supervisor of its crawl."""

from __future__ import annotations

from typing import Any

import msgspec

from crawlfleet.run.messages import Refused, Said
from crawlfleet.shared.pipe import PipeMessage


class Begin(PipeMessage, frozen=True, kw_only=True):
    """What to crawl, as `crawl()` was told; `settings` are pairs of a job's key and a value.

    `folder` is empty for a crawl in a temporary folder. `frontier` is where the crawl is stored, if that is said.
    `caller` is the process id of the caller; its arguments and
    where it looks for modules are for a hook, which may be its script.
    """

    urls: tuple[str, ...]
    pages: Any = None
    depth: Any = None
    delay: Any = None
    items: Any = None
    follow: Any = None
    parse: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    folder: str = ""
    frontier: Any = None
    fresh: bool = False
    accept_changes: bool = False
    accept_loss: bool = False
    workers: int
    caller: int
    arguments: tuple[str, ...] = ()
    python_path: tuple[str, ...] = ()


class AskStatus(PipeMessage, frozen=True, kw_only=True):
    """The caller wants the crawl's numbers."""


class Stop(PipeMessage, frozen=True, kw_only=True):
    """The crawl is to end before it is finished; `at_once`: without what is in flight."""

    at_once: bool


class Begun(PipeMessage, frozen=True, kw_only=True):
    """The crawl has begun, in this folder. `notices` are sentences for the user, `moved` tells of an earlier run."""

    folder: bytes
    moved: str = ""
    notices: tuple[str, ...] = ()


class StatusIs(PipeMessage, frozen=True, kw_only=True):
    """The encoded `Status`; empty if the coordinator cannot be asked just now."""

    status: bytes


class Over(PipeMessage, frozen=True, kw_only=True):
    """The crawl has ended, and its store is closed.

    `summary` is that of `coordinator.summary`, encoded; empty if there is none. `failure` says why the crawl failed,
    `notices` are further sentences for the user.
    """

    summary: bytes = b""
    failure: str = ""
    notices: tuple[str, ...] = ()


FromCaller = Begin | AskStatus | Stop
FROM_CALLER: msgspec.msgpack.Decoder[FromCaller] = msgspec.msgpack.Decoder(FromCaller)
FromSupervisor = Begun | Refused | Said | StatusIs | Over
FROM_SUPERVISOR: msgspec.msgpack.Decoder[FromSupervisor] = msgspec.msgpack.Decoder(FromSupervisor)
