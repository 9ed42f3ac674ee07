"""Bytes in, values out: links, items by rules, and what the job's hook adds. Pure but for the hook.

One `Extractor` serves all parse threads of a worker: it keeps nothing of a page but a memo of links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import msgspec

from shared.messages import Brief, Row, ScopeSpec
from worker.extract.harvest import HookFault, Parse, harvest
from worker.extract.links import LinkReader
from worker.extract.page import Page
from worker.extract.rules import check_selector, compile_item
from worker.fetch import Fetched

__all__ = ["Extracted", "Extractor", "Page"]

PAGE_ITEM = "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What a page holds. `outlinks` are canonical, in scope, in document order, without repeats or the page itself.

    `capped` says that rows or outlinks were left out for the brief's limits. `error` is empty, or one sentence about
    the hook; then there are no rows.
    """

    rows: tuple[Row, ...] = ()
    outlinks: tuple[str, ...] = ()
    capped: bool = False
    error: str = ""


class Extractor:
    """Reads pages as a brief says. Raise `UsageError` for a selector that cannot be used."""

    def __init__(self, brief: Brief, parse: Parse | None = None, fleet: object | None = None) -> None:
        self._brief = brief
        self._parse = parse
        self._fleet = fleet
        self._rules = [(rule.name, compile_item(rule)) for rule in brief.items]
        for selector in brief.follow or ():
            check_selector(selector, "follow")
        self._links = LinkReader(brief.scope, brief.follow)

    @property
    def scope(self) -> ScopeSpec:
        """The scope that outlinks are judged by."""
        return self._links.scope

    def set_scope(self, scope: ScopeSpec) -> None:
        """Judge the pages to come by another scope."""
        self._links = LinkReader(scope, self._brief.follow)

    def extract(self, fetched: Fetched) -> Extracted:
        """Read one page that arrived whole. Whatever its bytes are, this does not raise for them."""
        links = self._links
        page = Page(fetched, self._fleet, links.keep)
        error, found = "", self._rule_rows(page)
        if self._parse is not None:
            try:
                found = [*found, *harvest(self._parse, page, self._brief.max_rows + 1)]
            except HookFault as fault:
                error, found = str(fault), []
        outlinks, links_capped, links_bytes = self._outlinks(links, page)
        rows, rows_capped = self._rows(found, links_bytes)
        return Extracted(rows=rows, outlinks=outlinks, capped=links_capped or rows_capped, error=error)

    def _rule_rows(self, page: Page) -> list[tuple[str, dict[str, Any]]]:
        if not self._rules:
            return [(PAGE_ITEM, _page_fields(page))] if self._parse is None else []
        root = page.tree.root if page.is_html else None
        if root is None:
            return []
        found = ((name, fields) for name, items in self._rules for fields in items(root))
        return list(islice(found, self._brief.max_rows + 1))

    def _outlinks(self, links: LinkReader, page: Page) -> tuple[tuple[str, ...], bool, int]:
        """Return the outlinks, whether some were left out, and their size; they fill half a report at most."""
        kept: dict[str, None] = {}
        size, limit = 0, self._brief.max_report_bytes // 2
        for url in chain(_read_links(links, page), page.followed):
            if url in kept or url == page.url:
                continue
            size += len(url) + 5
            if len(kept) >= self._brief.max_outlinks or size > limit:
                return tuple(kept), True, size
            kept[url] = None
        return tuple(kept), False, size

    def _rows(self, found: Iterable[tuple[str, dict[str, Any]]], taken_bytes: int) -> tuple[tuple[Row, ...], bool]:
        """Number the rows of each kind; leave out those that pass the limits of number and size."""
        rows: list[Row] = []
        counts: dict[str, int] = {}
        left = self._brief.max_report_bytes * 15 // 16 - taken_bytes
        for item, fields in found:
            row = Row(item=item, index=counts.get(item, 0), fields=fields)
            left -= len(_encoder.encode(row))
            if len(rows) >= self._brief.max_rows or left < 0:
                return tuple(rows), True
            counts[item] = row.index + 1
            rows.append(row)
        return tuple(rows), False


_encoder = msgspec.msgpack.Encoder()


def _read_links(links: LinkReader, page: Page) -> Iterator[str]:
    return links.read(page) if page.is_html else iter(())


def _page_fields(page: Page) -> dict[str, Any]:
    return {
        "status": page.status,
        "content_type": page.content_type,
        "title": page.title,
        "size": len(page.body),
    }
