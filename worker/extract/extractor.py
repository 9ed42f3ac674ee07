"""Extracts links, items by rules, and a hook's rows from pages, as a job's brief says. Pure except for the hook.

One `Extractor` serves all parse threads of a worker: it keeps nothing of a page except a cache of links.
"""

from __future__ import annotations

from itertools import chain

import msgspec

from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import PAGE_ITEM, Row, Unconverted
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.user_agent import product_token
from crawlfleet.worker.extract.basket import Basket
from crawlfleet.worker.extract.harvest import HookFault, Parse, harvest
from crawlfleet.worker.extract.link_list import LinkList, list_links
from crawlfleet.worker.extract.links import LinkReader
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.page_row import page_row
from crawlfleet.worker.extract.port import ParseFault
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.extract.rules import RuleCompiler
from crawlfleet.worker.extract.sheet import Sheet
from crawlfleet.worker.extract.sitemap import Sitemap, read_sitemap
from crawlfleet.worker.extract.survey import Reading
from crawlfleet.worker.fetch.port import Fetched

URL_OVERHEAD = 5  # the bytes that msgpack adds to a text


class Extracted(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a page.

    `outlinks` are canonical, in scope or to be checked, in the order of `survey`, without repeats or the page itself.
    `links_left_out` and `rows_left_out` are how many were left out because of the brief's limits, as far as they were
    looked at; `noindex` says that there are no rows because the page asks for that. `error` is empty, or one sentence
    about a failed hook or parser, with its `reason`; then there are no rows. If that is `hook_waited` there are no
    outlinks either, since the page is tried again. `unconverted` are the fields of which values could not be converted.
    `links` are all links, packed (`shared.web.link_records`), if the job asks for them. `notes` say what was unusual
    about the text (`shared.notes`).
    """

    rows: tuple[Row, ...] = ()
    outlinks: tuple[str, ...] = ()
    links_left_out: int = 0
    rows_left_out: int = 0
    error: str = ""
    noindex: bool = False
    reason: Reason = Reason.EXTRACT_ERROR
    unconverted: tuple[Unconverted, ...] = ()
    links: bytes = b""
    notes: tuple[str, ...] = ()


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
        self.set_scope(brief.scope)

    def set_scope(self, scope: ScopeSpec) -> None:
        """Use another scope for the next pages."""
        brief, external = self._brief, self._brief.links.check_external
        self._links = LinkReader(scope, brief.follow, brief.urls, self._reading, external=external)

    def extract(self, fetched: Fetched, depth: int = 0) -> Extracted:
        """Extract one complete page of a depth. Its bytes never make this raise anything but `MemoryError`."""
        try:
            return self._extract(fetched, depth)
        except ParseFault as fault:
            return Extracted(error=str(fault))

    def _extract(self, fetched: Fetched, depth: int) -> Extracted:
        links = self._links
        page = Page(fetched, self._fleet, links.keep, self._engine, self._reading)
        sheet = Sheet(page)
        basket, error, reason = Basket(self._brief.limits), "", Reason.EXTRACT_ERROR
        if self._parse is not None or not self._is_noindex(page):
            # Rules come first: a hook may change the tree.
            self._gather(sheet, basket, depth)
        if self._parse is not None:
            try:
                harvest(self._parse, page, basket.put, self._brief.reserved)
            except HookFault as fault:
                if fault.reason is Reason.HOOK_WAITED:
                    return Extracted(error=str(fault), reason=fault.reason)
                basket, error, reason = Basket(self._brief.limits), str(fault), fault.reason
        noindex = self._is_noindex(page)
        if noindex:
            basket = Basket(self._brief.limits)
        outlinks, links_left_out, links_bytes = self._outlinks(links, page)
        listed = self._listed(links, page, outlinks)
        basket.fit(self._brief.limits.report_bytes * 15 // 16 - links_bytes - len(listed.packed))
        return Extracted(
            rows=tuple(basket.rows),
            rows_left_out=basket.left_out,
            outlinks=outlinks,
            links_left_out=max(links_left_out, listed.left_out),
            links=listed.packed,
            error=error,
            reason=reason,
            noindex=noindex,
            unconverted=() if noindex or error else sheet.unconverted,
            notes=page.notes,
        )

    def _is_noindex(self, page: Page) -> bool:
        return self._brief.links.obey_noindex and page.directives.noindex

    def _gather(self, sheet: Sheet, basket: Basket, depth: int) -> None:
        """Put the items of the rules, until no more are wanted; without rules and a hook, the row of the page."""
        if not self._rules and self._parse is None:
            basket.put(PAGE_ITEM, page_row(sheet.page, depth))
        # One by one: nested elements may repeat much text.
        for name, items in self._rules:
            for found in items(sheet):
                if not basket.put(name, found.fields, found.lacks):
                    return

    def read_sitemap(self, fetched: Fetched) -> Sitemap:
        """Read a sitemap, without pages out of scope."""
        return read_sitemap(fetched.body, fetched.url, self._links.keep, cut=fetched.truncated)

    def _outlinks(self, links: LinkReader, page: Page) -> tuple[tuple[str, ...], int, int]:
        """Return the outlinks, how many were left out, and their size: at most half a report."""
        kept: dict[str | None, None] = {None: None, page.url: None}
        for urls in chain(links.read(page), [list[str | None](page.followed)]):
            kept.update(dict.fromkeys(urls))
        del kept[None], kept[page.url]
        return self._within_limits([url for url in kept if url is not None])

    def _listed(self, links: LinkReader, page: Page, outlinks: tuple[str, ...]) -> LinkList:
        """List all links, if the job asks for that: they take a quarter of a report at most."""
        if not self._brief.links.listed:
            return LinkList()
        limits = self._brief.limits
        return list_links(page, outlinks, links, limits.links, limits.report_bytes // 4)

    def _within_limits(self, urls: list[str]) -> tuple[tuple[str, ...], int, int]:
        limits, found = self._brief.limits, len(urls)
        del urls[limits.links :]
        size = sum(map(len, urls)) + URL_OVERHEAD * len(urls)
        while size > limits.report_bytes // 2 and urls:
            size -= len(urls.pop()) + URL_OVERHEAD
        return tuple(urls), found - len(urls), size


def _reading(brief: Brief) -> Reading:
    agent = brief.fetch.user_agent
    names = {product_token(agent), agent.partition("/")[0].strip().lower()} - {""}
    return Reading(brief.links.assets, brief.links.obey_nofollow, frozenset(names), brief.links.listed)
