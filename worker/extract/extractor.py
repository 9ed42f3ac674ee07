"""Extracts links, items by rules, and a hook's rows from pages, as a job's brief says. Pure except for the hook.

One `Extractor` serves all parse threads of a worker: it keeps nothing of a page except a cache of links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import msgspec

from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import PAGE_FIELDS, PAGE_ITEM, Row
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.user_agent import product_token
from crawlfleet.worker.extract.harvest import HookFault, Parse, harvest
from crawlfleet.worker.extract.links import LinkReader
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.port import ParseFault
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.extract.rules import RuleCompiler
from crawlfleet.worker.extract.sitemap import Sitemap, read_sitemap
from crawlfleet.worker.extract.survey import Reading
from crawlfleet.worker.fetch.port import Fetched

URL_OVERHEAD = 5  # the bytes that msgpack adds to a text


class Extracted(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a page.

    `outlinks` are canonical, in scope, in the order of `survey`, without repeats or the page itself. `capped` says that
    rows or outlinks were left out because of the brief's limits, `noindex` that all rows were because the page asks for
    it. `error` is empty, or one sentence about a failed hook or parser, with its `reason`; then there are no rows. If
    that is `hook_waited` there are no outlinks either, since the page is tried again.
    """

    rows: tuple[Row, ...] = ()
    outlinks: tuple[str, ...] = ()
    capped: bool = False
    error: str = ""
    noindex: bool = False
    reason: Reason = Reason.EXTRACT_ERROR


class Extractor:
    """Extracts as a brief says. Raises `UsageError` for an invalid selector."""

    def __init__(self, brief: Brief, parse: Parse | None = None, fleet: object | None = None) -> None:
        self._brief = brief
        self._parse = parse
        self._fleet = fleet
        self._engine = open_engine(brief.parse.engine)
        rules = RuleCompiler(self._engine)
        self._rules = [(rule.name, rules.item(rule)) for rule in brief.items]
        for selector in brief.follow or ():
            rules.check(selector, "follow")
        self._reading = _reading(brief)
        self._links = LinkReader(brief.scope, brief.follow, brief.urls, self._reading)

    def set_scope(self, scope: ScopeSpec) -> None:
        """Use another scope for the next pages."""
        self._links = LinkReader(scope, self._brief.follow, self._brief.urls, self._reading)

    def extract(self, fetched: Fetched) -> Extracted:
        """Extract one complete page. Its bytes never make this raise anything but `MemoryError`."""
        try:
            return self._extract(fetched)
        except ParseFault as fault:
            return Extracted(error=str(fault))

    def _extract(self, fetched: Fetched) -> Extracted:
        links = self._links
        page = Page(fetched, self._fleet, links.keep, self._engine, self._reading)
        error, reason = "", Reason.EXTRACT_ERROR
        found: Iterable[tuple[str, dict[str, Any]]] = self._rule_rows(page)
        if self._parse is not None:
            most = self._brief.max_rows + 1
            try:
                # Rules come first: a hook may change the tree.
                found = [*islice(found, most), *harvest(self._parse, page, most)]
            except HookFault as fault:
                if fault.reason is Reason.HOOK_WAITED:
                    return Extracted(error=str(fault), reason=fault.reason)
                error, reason, found = str(fault), fault.reason, []
        noindex = self._brief.links.obey_noindex and page.directives.noindex
        outlinks, links_capped, links_bytes = self._outlinks(links, page)
        rows, rows_capped = self._rows(() if noindex else found, links_bytes)
        capped = links_capped or rows_capped
        return Extracted(rows=rows, outlinks=outlinks, capped=capped, error=error, reason=reason, noindex=noindex)

    def read_sitemap(self, fetched: Fetched) -> Sitemap:
        """Read a sitemap, without pages out of scope."""
        return read_sitemap(fetched.body, fetched.url, self._links.keep, cut=fetched.truncated)

    def _rule_rows(self, page: Page) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the items of rules one by one: nested elements may repeat much text."""
        if not self._rules and self._parse is None:
            values = (page.status, page.content_type, page.title, len(page.body), page.copy_of)
            yield PAGE_ITEM, dict(zip(PAGE_FIELDS, values, strict=True))
        if self._rules and page.root is not None:
            yield from ((name, fields) for name, items in self._rules for fields in items(page.root))

    def _outlinks(self, links: LinkReader, page: Page) -> tuple[tuple[str, ...], bool, int]:
        """Return the outlinks, whether some were left out, and their size: at most half a report."""
        kept: dict[str | None, None] = {None: None, page.url: None}
        for urls in chain(links.read(page), [list[str | None](page.followed)]):
            kept.update(dict.fromkeys(urls))
            if len(kept) > self._brief.max_outlinks + 2:
                break
        del kept[None], kept[page.url]
        return self._within_limits([url for url in kept if url is not None])

    def _within_limits(self, urls: list[str]) -> tuple[tuple[str, ...], bool, int]:
        limit = self._brief.max_report_bytes // 2
        size = sum(map(len, urls)) + URL_OVERHEAD * len(urls)
        capped = size > limit or len(urls) > self._brief.max_outlinks
        del urls[self._brief.max_outlinks :]
        while size > limit and urls:
            size -= len(urls.pop()) + URL_OVERHEAD
        return tuple(urls), capped, size

    def _rows(self, found: Iterable[tuple[str, dict[str, Any]]], taken_bytes: int) -> tuple[tuple[Row, ...], bool]:
        """Number the rows of each kind; leave out rows beyond the limits of number and size."""
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


def _reading(brief: Brief) -> Reading:
    agent = brief.fetch.user_agent
    names = {product_token(agent), agent.partition("/")[0].strip().lower()} - {""}
    return Reading(brief.links.assets, brief.links.obey_nofollow, frozenset(names))
