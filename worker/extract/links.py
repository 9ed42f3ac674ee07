"""Where a page leads: canonical URLs in scope, in the order of `survey`. Pure.

Most links of a site repeat from page to page, so that what became of (base, href) is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from shared.messages import ScopeSpec, UrlSpec
from shared.scope import Scope
from shared.url_policy import policy_of
from shared.urls import MAX_URL_CHARS, canonicalize, join_plain
from worker.extract.page import Page
from worker.extract.survey import (
    DEFAULT_READING,
    LINKS_BELOW,
    Reading,
    is_untrusted,
    leads_on,
    own_addresses,
    without_fragment,
)

MEMO_SIZE = 100_000
# What is longer is not remembered, so that a hostile page cannot fill the memory.
MEMO_CHARS = 512
AT_A_TIME = 1_000
# Escaping makes an address longer and dot segments shorter; what is far over the limit is not worth parsing.
MAX_HREF_CHARS = 4 * MAX_URL_CHARS

# An address does not depend on the last segment and the query of its base, unless it begins by keeping them: it is
# empty, a query, or `http:` without slashes. What has blanks that the standard removes is not looked at closer.
_NEEDS_WHOLE_BASE = re.compile(r"\Z|[\0-\x20?]|https?:(?![/\\])|[^\t\n\r]*[\t\n\r]", re.IGNORECASE)


class LinkReader:
    """Reads links for one scope. `follow` names the elements whose links count; None means all that lead on."""

    def __init__(
        self,
        scope: ScopeSpec,
        follow: tuple[str, ...] | None,
        urls: UrlSpec,
        reading: Reading = DEFAULT_READING,
    ) -> None:
        self._scope = Scope(scope)
        self._urls = policy_of(urls)
        self._follow = follow
        self._reading = reading
        self._memo: dict[str, dict[str, str | None]] = {}
        self._remembered = 0

    @property
    def scope(self) -> ScopeSpec:
        """The scope that is read for."""
        return self._scope.spec

    def keep(self, url: str) -> str | None:
        """Return the job's canonical URL of one that is canonical by the standard; None if it is out of scope."""
        url = self._urls.apply(url)
        return None if self._scope.refuses(url) else url

    def read(self, page: Page) -> Iterator[list[str | None]]:
        """Yield the page's links, many at a time; repeats, the page itself and None may be among them."""
        if self._reading.obey_nofollow and page.directives.nofollow:
            return
        if self._follow is None and page.header_links:
            yield self._in_header(page)
        if page.is_html:
            hrefs = list(dict.fromkeys(self._hrefs(page)))
            for start in range(0, len(hrefs), AT_A_TIME):
                yield self._resolved(hrefs[start : start + AT_A_TIME], page.base)

    def _in_header(self, page: Page) -> list[str | None]:
        obey = self._reading.obey_nofollow
        return [
            self._in_scope(canonicalize(link.address, page.url))
            for link in page.header_links
            if leads_on(link.rel, link.media_type) and not (obey and is_untrusted(link.rel))
        ]

    def _hrefs(self, page: Page) -> Iterable[str]:
        survey = page.survey
        links = survey.links if self._follow is None else self._followed(page, self._follow)
        return chain(links, survey.assets) if self._reading.assets else links

    def _followed(self, page: Page, follow: tuple[str, ...]) -> Iterator[str]:
        engine = page.engine
        obey = self._reading.obey_nofollow
        for selector in follow:
            for element in engine.select(page.root, selector):
                holds = own_addresses(engine, element)
                for link in [element] if holds else engine.select(element, LINKS_BELOW):
                    if not (obey and is_untrusted(engine.attributes(link).get("rel"))):
                        yield from map(without_fragment, own_addresses(engine, link))

    def _resolved(self, hrefs: list[str], base: str) -> list[str | None]:
        """Join addresses with the base; those that are remembered cost one look each."""
        folder = base.partition("?")[0].rpartition("/")[0] + "/"
        memo = self._memo_of(folder)
        return [memo[href] if href in memo else self._learn(memo, href, folder, base) for href in hrefs]

    def _memo_of(self, folder: str) -> dict[str, str | None]:
        """Return what is known of a folder; if all that is known grows too much, forget it."""
        if self._remembered > MEMO_SIZE:
            # Made anew, since another thread may still read the old one.
            self._memo, self._remembered = {}, 0
        memo = self._memo.get(folder)
        if memo is None:
            memo = self._memo[folder] = {}
            self._remembered += 1
        return memo

    def _learn(self, memo: dict[str, str | None], href: str, folder: str, base: str) -> str | None:
        if len(href) > MEMO_CHARS:
            return self._in_scope(canonicalize(href, base)) if len(href) <= MAX_HREF_CHARS else None
        url = join_plain(folder, href) if href else None
        if url is None:
            if _NEEDS_WHOLE_BASE.match(href):
                return self._in_scope(canonicalize(href, base))
            url = canonicalize(href, folder)
        url = memo[href] = self._in_scope(url)
        self._remembered += 1
        return url

    def _in_scope(self, url: str | None) -> str | None:
        return None if url is None else self.keep(url)
