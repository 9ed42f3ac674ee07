"""The tables of a crawl: what can be exported besides the rows of its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.offline.url_table import URLS, url_rows
from crawlfleet.coordinator.results.columns import Table


class TableSource(NamedTuple):
    """A table, and where its rows come from: they are in the same order each time."""

    table: Table
    rows: Callable[[StoreReader], Iterator[dict[str, Any]]]


TABLES = {source.table.name: source for source in (TableSource(URLS, url_rows),)}
