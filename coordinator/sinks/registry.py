"""Which sinks there are: a file's ending, and where its sink is found. Loaded only when a job asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from crawlfleet.coordinator.sinks.marks import Mark
from crawlfleet.coordinator.sinks.port import Sink
from crawlfleet.shared.errors import UsageError


class Opener(Protocol):
    """Opens a sink at its mark (None: it is new); with `power` what it takes survives a power cut."""

    def __call__(self, path: Path, mark: Mark | None, *, power: bool) -> Sink: ...


def _jsonl(path: Path, mark: Mark | None, *, power: bool) -> Sink:
    from crawlfleet.coordinator.sinks.jsonl_sink import JsonlSink

    return JsonlSink(path, mark, power=power)


SINKS: dict[str, Opener] = {".jsonl": _jsonl}


def open_sink(path: Path, mark: Mark | None, *, power: bool) -> Sink:
    """Open the sink that a file's ending asks for; raise `UsageError` if there is none, or it cannot go on."""
    opener = SINKS.get(path.suffix)
    if opener is None:
        raise UsageError(f"no sink writes {path.name}: the endings that exist are {', '.join(SINKS)}")
    return opener(path, mark, power=power)
