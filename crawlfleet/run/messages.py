"""The messages between `crawlfleet run` and its two processes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from crawlfleet.shared.pipe import PipeMessage


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `crawlfleet run`. `quiet`: print only errors; `json`: and the summary, as JSON."""

    job: Path
    crawls: Path
    fresh: bool
    accept_changes: bool
    workers: int
    threads: int | None
    wait: bool
    quiet: bool = False
    json: bool = False


class Serving(PipeMessage, frozen=True, kw_only=True):
    """The coordinator serves: its token, its folder, the place of a moved earlier run, and notices for the user."""

    token: str
    folder: bytes
    moved_to: str = ""
    notices: tuple[str, ...] = ()


class Refused(PipeMessage, frozen=True, kw_only=True):
    """The coordinator cannot start; `problems` are those of the job, if it has any."""

    text: str
    exit_code: int
    problems: tuple[str, ...] = ()


class Ended(PipeMessage, frozen=True, kw_only=True):
    """The coordinator is done; `summary` is that of `coordinator.summary`, encoded."""

    summary: bytes


FROM_COORDINATOR: msgspec.msgpack.Decoder[Serving | Refused | Ended] = msgspec.msgpack.Decoder(
    Serving | Refused | Ended
)
