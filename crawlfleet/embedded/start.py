"""`crawl()`: begins a crawl below the calling process.

Only what starts the process below is imported with this module: the two processes import the rest side by side.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from crawlfleet.embedded.child import Child
from crawlfleet.embedded.hook_function import refuse_while_imported

if TYPE_CHECKING:
    from crawlfleet.embedded.crawl import Crawl
    from crawlfleet.worker.extract.page import Page


def crawl(  # noqa: PLR0913  # the keys of a job that most crawls need
    url: str | Sequence[str],
    *,
    items: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    pages: int | None = None,
    depth: int | None = None,
    delay: str | float | timedelta | None = None,
    follow: Sequence[str] | None = None,
    parse: Callable[[Page], object] | str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    frontier: str | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002  # as `--set` is called
    fresh: bool = False,
    accept_changes: bool = False,
    accept_loss: bool = False,
    workers: int | None = None,
) -> Crawl:
    """Begin a crawl at an address, or several; return it when it has begun: a loop over it yields its rows.

    Without `items` there is one row for each page. `items` are the fields of one rule, or a list of rules, as in a job;
    `parse` is a hook instead: a function of a module or script, or the path of a file. `pages` and `depth` are the
    job's `scope.pages` and `scope.depth`, `delay` is `politeness.delay` (a number: seconds), and `set` has any other
    keys, such as `{"politeness.per_host": 4}`, which beat the other parameters.

    The crawl is kept in `folder`; one that is there already goes on, and its rows come first. `fresh` moves it aside,
    `accept_changes` goes on although seeds or scope have changed, `accept_loss` although it lacks commits. Without
    `folder` it is in a temporary one, which goes with the `Crawl`. `frontier` says where it is stored, as `--frontier`
    does: `sqlite`, or the address of a database, where the crawl has the name of its folder. It beats the environment's
    `CRAWLFLEET_FRONTIER`. `workers` are its processes (default: one a core).

    Raise `JobError` with a sentence for each parameter that is wrong, `UsageError` if the folder cannot be used.
    """
    refuse_while_imported()
    wishes = {"fresh": fresh, "accept_changes": accept_changes, "accept_loss": accept_loss}
    given = {"items": items, "pages": pages, "depth": depth, "delay": delay, "follow": follow, "parse": parse}
    return _begun(url, given, set or {}, folder, workers, frontier=frontier, **wishes)


def _begun(*order: Any, **kept: Any) -> Crawl:
    """Start the process of a crawl, and have it crawl what `begin_of` makes of these."""
    child = Child()
    try:
        # While the child imports what it needs.
        from crawlfleet.embedded.crawl import Crawl
        from crawlfleet.embedded.parameters import begin_of
        from crawlfleet.embedded.process import CrawlProcess

        begin = begin_of(*order, **kept)
    except BaseException:
        child.end()
        raise
    return Crawl(CrawlProcess(child, begin))
