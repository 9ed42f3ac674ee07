"""Which sinks there are: a file's ending, and where its sink is found. Loaded only when a job asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from coordinator.sinks.port import Sink
from shared.errors import UsageError


def _jsonl(path: Path) -> Sink:
    from coordinator.sinks.jsonl_sink import JsonlSink

    return JsonlSink(path)


SINKS: dict[str, Callable[[Path], Sink]] = {".jsonl": _jsonl}


def open_sink(path: Path) -> Sink:
    """Open the sink that a file's ending asks for; raise `UsageError` if there is none."""
    factory = SINKS.get(path.suffix)
    if factory is None:
        raise UsageError(f"no sink writes {path.name}: the endings that exist are {', '.join(SINKS)}")
    return factory(path)
