"""Which fetch and parse engines there are. A job names one; a worker loads it.

A new engine is a module behind the port in `worker.fetch.port` or `worker.extract.port`, and an entry here. `auto`
takes the first entry that can do what the job asks for.
"""

from __future__ import annotations

from collections.abc import Iterable

from crawlfleet.shared.registry import Entry, table

AUTO = "auto"


class FetchEntry(Entry, frozen=True, kw_only=True):
    """A fetch engine. It is called with the job's `FetchSpec`, and returns a fetcher.

    An engine that `prepares_sessions` is also called with the hook's `session`, or None. With `many_at_once` the
    fetcher fetches many pages at once in one thread. `fetches` is how many pages a worker fetches at once by default,
    and `most_fetches` how many if most of the hosts do not answer; 0 means no more.
    An engine that `takes_addresses` has them from the resolver of its process (`worker.fetch.names`), which resolves
    names before a fetch begins; any other one looks names up itself.
    """

    kind = "fetch engine"

    many_at_once: bool = False
    prepares_sessions: bool = False
    takes_addresses: bool = False
    fetches: int = 16
    most_fetches: int = 0


class ParseEntry(Entry, frozen=True, kw_only=True):
    """A parse engine: a class that is called without arguments."""

    kind = "parse engine"


#: What `auto` meant in crawls that do not say which parse engine they began with.
FIRST_PARSE_ENGINE = "lexbor"

FETCH_ENGINES = table(
    FetchEntry(
        name="curl",
        place="crawlfleet.worker.fetch.curl_multi:CurlFetcher",
        package="pycurl",
        many_at_once=True,
        takes_addresses=True,
        fetches=256,
    ),
    FetchEntry(
        name="requests",
        place="crawlfleet.worker.fetch.requests_pool:RequestsFetcher",
        package="requests",
        prepares_sessions=True,
        takes_addresses=True,
        most_fetches=256,
    ),
)
PARSE_ENGINES = table(
    ParseEntry(name="turbohtml", place="crawlfleet.worker.extract.turbohtml_tree:TurbohtmlEngine", package="turbohtml"),
    ParseEntry(name="lexbor", place="crawlfleet.worker.extract.lexbor_tree:LexborEngine", package="selectolax"),
    ParseEntry(name="bs4", place="crawlfleet.worker.extract.bs4_tree:Bs4Engine", package="beautifulsoup4 lxml"),
)


def names(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return the names by which a job may choose one of these engines."""
    return AUTO, *(entry.name for entry in entries)


def that_prepare_sessions() -> list[FetchEntry]:
    """Return the fetch engines that can be used with a hook's `session`."""
    return [entry for entry in FETCH_ENGINES.values() if entry.prepares_sessions]
