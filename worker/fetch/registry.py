"""Finds a job's fetch engine in the table of engines, and loads it."""

from __future__ import annotations

from functools import partial

from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.engines import AUTO, FETCH_ENGINES, names, that_prepare_sessions
from crawlfleet.shared.errors import UsageError
from crawlfleet.worker.fetch.names import of_process
from crawlfleet.worker.fetch.port import FetchEngine, Fetcher, Prepare

# What all pages between fetching and parsing may take: so much, or so many of the largest pages.
BYTES_BETWEEN = 64 * 1024 * 1024
PAGES_BETWEEN = 4


def engine_for(spec: FetchSpec, prepare: Prepare | None = None) -> FetchEngine:
    """Return the engine that the spec names; `auto` is the first one, with `prepare` the first that prepares sessions.

    Raises `UsageError` if there is no such engine, or it cannot be used.
    """
    able = list(FETCH_ENGINES.values()) if prepare is None else that_prepare_sessions()
    entry = able[0] if spec.engine == AUTO else FETCH_ENGINES.get(spec.engine)
    if entry is None:
        known = ", ".join(names(FETCH_ENGINES.values()))
        raise UsageError(f"there is no fetch engine {spec.engine!r}: set fetch.engine to one of {known}")
    if entry not in able:
        needed = " or ".join(names(able))
        raise UsageError(f"the hook's session() needs fetch.engine: {needed}; {entry.name} has no such session")
    others = [other.name for other in able if other is not entry]
    make = entry.load(f"set fetch.engine: {others[0]}" if others else "")
    arguments = (spec, prepare) if entry.prepares_sessions else (spec,)
    names_of = of_process(spec.dns_timeout_s) if entry.takes_addresses else None
    return FetchEngine(
        partial(make, *arguments),
        entry.many_at_once,
        entry.fetches,
        names_of,
        max(BYTES_BETWEEN, PAGES_BETWEEN * spec.max_size_bytes),
        entry.most_fetches,
    )


def open_fetcher(spec: FetchSpec) -> Fetcher:
    """Open one fetcher of the engine that the spec names; raise `UsageError` as `engine_for` does."""
    fetcher: Fetcher = engine_for(spec).open()
    return fetcher
