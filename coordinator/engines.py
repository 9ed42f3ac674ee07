"""Which parse engine a crawl goes by: it keeps the one that it began with, whatever `auto` means later.

Trees of two engines may differ, and so may the rows of one crawl.
"""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.frontier.port import Keeping
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.engines import AUTO, FIRST_PARSE_ENGINE, PARSE_ENGINES

_KEY = "parse engine"


def with_kept_engine(store: Keeping, work: Brief, *, has_begun: bool) -> Brief:
    """Return a brief that names its parse engine: that of the job, and for `auto` the one that the crawl began with."""
    asked, kept = work.parse.engine, (store.kept(_KEY) or b"").decode()
    if kept not in PARSE_ENGINES:
        first = FIRST_PARSE_ENGINE if has_begun else next(iter(PARSE_ENGINES))
        kept = first if asked == AUTO else asked
        store.keep(_KEY, kept.encode())
    engine = kept if asked == AUTO else asked
    return msgspec.structs.replace(work, parse=msgspec.structs.replace(work.parse, engine=engine))
