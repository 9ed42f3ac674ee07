"""The messages between `crawlfleet run` and its two processes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from crawlfleet.coordinator.job.source import JobSource
from crawlfleet.shared.pipe import PipeMessage


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `crawlfleet run`. `quiet`: print only errors; `json`: and the summary, as JSON.

    `remarks` are told first. What else there is, `coordinator.app.Options` has.
    `is_embedded`: what the node says for the user goes to the process that started it, and is not printed.
    """

    job: JobSource
    crawls: Path
    fresh: bool
    accept_changes: bool
    accept_loss: bool
    workers: int
    threads: int | None
    wait: bool
    anew: bool = False
    overwrite: bool = False
    save_job: Path | None = None
    command: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    quiet: bool = False
    json: bool = False
    is_embedded: bool = False


class Serving(PipeMessage, frozen=True, kw_only=True):
    """The coordinator serves: its token, its folder, what was moved aside, and notices for the user."""

    token: str
    folder: bytes
    moved: str = ""
    notices: tuple[str, ...] = ()


class Refused(PipeMessage, frozen=True, kw_only=True):
    """The coordinator cannot start; `problems` are those of the job, if it has any."""

    text: str
    exit_code: int
    problems: tuple[str, ...] = ()


class Said(PipeMessage, frozen=True, kw_only=True):
    """The node has a sentence for the user."""

    text: str


class Leaving(PipeMessage, frozen=True, kw_only=True):
    """The crawl is over, or stopped: the coordinator writes its outputs to their ends, however long that takes."""


class Ended(PipeMessage, frozen=True, kw_only=True):
    """The coordinator is done; `summary` is that of `coordinator.summary`, encoded."""

    summary: bytes


FROM_COORDINATOR: msgspec.msgpack.Decoder[Serving | Refused | Leaving | Ended] = msgspec.msgpack.Decoder(
    Serving | Refused | Leaving | Ended
)
FROM_NODE: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)
