"""Finds the parse engine that a job names in the table of engines, and loads it."""

from __future__ import annotations

from crawlfleet.shared.engines import AUTO, PARSE_ENGINES, names
from crawlfleet.shared.errors import UsageError
from crawlfleet.worker.extract.port import ParseEngine


def open_engine(name: str = AUTO) -> ParseEngine:
    """Load the engine of that name, `auto` for the first; raise `UsageError` if there is none, or none here."""
    able = list(PARSE_ENGINES.values())
    entry = able[0] if name == AUTO else PARSE_ENGINES.get(name)
    if entry is None:
        raise UsageError(f"there is no parse engine {name!r}: set parse.engine to one of {', '.join(names(able))}")
    others = [other.name for other in able if other is not entry]
    engine: ParseEngine = entry.load(f"set parse.engine: {others[0]}" if others else "")()
    return engine
