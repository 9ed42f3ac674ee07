"""The tables of a crawl: what can be exported besides the rows of its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.offline.link_table import BROKEN, LINKS, broken_rows, link_rows
from crawlfleet.coordinator.offline.url_table import URLS, url_rows
from crawlfleet.coordinator.results.columns import Table
from crawlfleet.shared.errors import UsageError

#: These need the links of pages, which are recorded only if the job asks for one of them.
OF_LINKS = frozenset({LINKS.name, BROKEN.name})


class TableSource(NamedTuple):
    """A table, and where its rows come from: they are in the same order each time."""

    table: Table
    rows: Callable[[StoreReader], Iterator[dict[str, Any]]]


TABLES = {
    source.table.name: source
    for source in (TableSource(URLS, url_rows), TableSource(LINKS, link_rows), TableSource(BROKEN, broken_rows))
}


def source_of(reader: StoreReader, name: str) -> TableSource:
    """Return a table by its name. Raise `UsageError` if it needs links, and the crawl has recorded none."""
    has_asked = any((reader.job.get("tables") or {}).get(each) for each in OF_LINKS)
    if name in OF_LINKS and not has_asked and next(reader.links(), None) is None:
        raise UsageError(
            f"this crawl has recorded no links for the table {name}: "
            f"write `tables: {{{name}: {name}.jsonl}}` into its job, and crawl again with --fresh"
        )
    return TABLES[name]
