"""Finds a job's parse engine in the table of engines, and loads it."""

from __future__ import annotations

from crawlfleet.shared.engines import AUTO, PARSE_ENGINES, names
from crawlfleet.shared.errors import UsageError
from crawlfleet.worker.extract.port import ParseEngine


def open_engine(name: str = AUTO) -> ParseEngine:
    """Load the named engine (`auto`: the first); raise `UsageError` if it does not exist or is not installed."""
    able = list(PARSE_ENGINES.values())
    entry = able[0] if name == AUTO else PARSE_ENGINES.get(name)
    if entry is None:
        raise UsageError(f"there is no parse engine {name!r}: set parse.engine to one of {', '.join(names(able))}")
    others = [other.name for other in able if other is not entry]
    engine: ParseEngine = entry.load(f"set parse.engine: {others[0]}" if others else "")()
    return engine
