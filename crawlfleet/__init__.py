"""crawlfleet: a distributed crawler. Programs and hooks import names from here and from `crawlfleet.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crawlfleet.embedded.crawl import Crawl
    from crawlfleet.embedded.start import crawl
    from crawlfleet.fleet.fleet import Fleet, connect
    from crawlfleet.fleet.pool.async_result import AsyncResult
    from crawlfleet.fleet.pool.iterators import PageIterator
    from crawlfleet.fleet.pool.pool import Pool
    from crawlfleet.fleet.pool.results import Rows
    from crawlfleet.fleet.results import Results
    from crawlfleet.fleet.work_queue import Queue
    from crawlfleet.shared.status import Status
    from crawlfleet.worker.extract.page import Page
    from crawlfleet.worker.talk.finished import JobFinished
    from crawlfleet.worker.talk.objects.shared_objects import SharedObjects

    __version__: str

__all__ = [
    "AsyncResult",
    "Crawl",
    "Fleet",
    "JobFinished",
    "Page",
    "PageIterator",
    "Pool",
    "Queue",
    "Results",
    "Rows",
    "SharedObjects",
    "Status",
    "__version__",
    "connect",
    "crawl",
]

_HOMES = {
    "AsyncResult": "crawlfleet.fleet.pool.async_result",
    "Crawl": "crawlfleet.embedded.crawl",
    "Fleet": "crawlfleet.fleet.fleet",
    "JobFinished": "crawlfleet.worker.talk.finished",
    "Page": "crawlfleet.worker.extract.page",
    "PageIterator": "crawlfleet.fleet.pool.iterators",
    "Pool": "crawlfleet.fleet.pool.pool",
    "Queue": "crawlfleet.fleet.work_queue",
    "Results": "crawlfleet.fleet.results",
    "Rows": "crawlfleet.fleet.pool.results",
    "SharedObjects": "crawlfleet.worker.talk.objects.shared_objects",
    "Status": "crawlfleet.shared.status",
    "connect": "crawlfleet.fleet.fleet",
    "crawl": "crawlfleet.embedded.start",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that the command line starts without them."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("crawlfleet")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
