"""Where a page leads: canonical URLs in scope, in document order. Pure.

Most links of a site repeat from page to page, so that what became of (base, href) is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from shared.messages import ScopeSpec
from shared.scope import Scope
from shared.urls import MAX_URL_CHARS, canonicalize
from worker.extract.page import Page

MEMO_SIZE = 50_000
EVERY_LINK = "a[href],area[href]"
# Escaping makes an address longer and dot segments shorter; what is far over the limit is not worth parsing.
MAX_HREF_CHARS = 4 * MAX_URL_CHARS

# An address does not depend on the last segment and the query of its base, unless it begins by keeping them: it is
# empty, a query, or `http:` without slashes. What has blanks that the standard removes is not looked at closer.
_NEEDS_WHOLE_BASE = re.compile(r"\Z|[\0-\x20?]|https?:(?![/\\])|[^\t\n\r]*[\t\n\r]", re.IGNORECASE)


class LinkReader:
    """Reads links for one scope. `follow` None means every `a[href]` and `area[href]`."""

    def __init__(self, scope: ScopeSpec, follow: tuple[str, ...] | None) -> None:
        self._scope = Scope(scope)
        self._follow = follow
        self._memo: dict[tuple[str, str], str | None] = {}

    @property
    def scope(self) -> ScopeSpec:
        """The scope that is read for."""
        return self._scope.spec

    def keep(self, url: str) -> str | None:
        """Return a canonical URL if it is in scope, else None."""
        return None if self._scope.refuses(url) else url

    def read(self, page: Page) -> Iterator[str]:
        """Yield the page's links, canonical and in scope; repeats and the page itself may be among them."""
        base = page.base
        folder = base.partition("?")[0].rpartition("/")[0] + "/"
        for href in dict.fromkeys(self._hrefs(page)):
            url = self._resolve(href, base if _NEEDS_WHOLE_BASE.match(href) else folder)
            if url is not None:
                yield url

    def _hrefs(self, page: Page) -> Iterator[str]:
        for node in self._nodes(page):
            href = (node.attributes.get("href") or "").partition("#")[0]
            if len(href) <= MAX_HREF_CHARS:
                yield href

    def _nodes(self, page: Page) -> Iterator[LexborNode]:
        if self._follow is None:
            yield from page.tree.css(EVERY_LINK)
            return
        for selector in self._follow:
            for node in page.tree.css(selector):
                if "href" in node.attributes:
                    yield node
                else:
                    yield from node.css("a[href]")

    def _resolve(self, href: str, base: str) -> str | None:
        key = (base, href)
        try:
            return self._memo[key]
        except KeyError:
            url = canonicalize(href, base)
            if url is not None:
                url = self.keep(url)
            if len(self._memo) >= MEMO_SIZE:
                self._memo.clear()
            self._memo[key] = url
            return url
