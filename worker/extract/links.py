"""Where a page leads: canonical URLs in scope, in the order of `survey`. Pure.

Most links of a site repeat from page to page, so that what became of (base, href) is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from crawlfleet.shared.messages import ScopeSpec, UrlSpec
from crawlfleet.shared.web.scope import Scope
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.web.urls import (
    LONGEST_URL_CHARS,
    MAX_URL_CHARS,
    canonicalize,
    has_other_scheme,
    join_plain,
    plain_host,
)
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.survey import (
    DEFAULT_READING,
    LINKS_BELOW,
    Reading,
    is_untrusted,
    leads_on,
    own_addresses,
    without_fragment,
)

MEMO_SIZE = 100_000
HOSTS_REMEMBERED = 4_096
# What is longer is not remembered, so that a hostile page cannot fill the memory.
MEMO_CHARS = 512
AT_A_TIME = 1_000
# Escaping makes an address longer and dot segments shorter; what is far over the limit is not worth parsing.
MAX_HREF_CHARS = 4 * MAX_URL_CHARS

# An address does not depend on the last segment and the query of its base, unless it begins by keeping them: it is
# empty, a query, or `http:` without slashes. What has blanks that the standard removes is not looked at closer.
_NEEDS_WHOLE_BASE = re.compile(r"\Z|[\0-\x20?]|https?:(?![/\\])|[^\t\n\r]*[\t\n\r]", re.IGNORECASE)


class _Folder(NamedTuple):
    """What is known of the addresses on pages of one folder, by how they stand there.

    `url` ends in a slash. With `keeps_all` whatever lies on its host is in scope, and the standard's canonical form is
    the job's.
    """

    url: str
    keeps_all: bool
    known: dict[str, str | None]


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
        self._folders: dict[str, _Folder] = {}
        self._remembered = 0
        self._refuses_host = lru_cache(HOSTS_REMEMBERED)(self._judge_host)

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
            links = page.survey.links if self._follow is None else self._followed(page, self._follow)
            hrefs = list(dict.fromkeys(chain(links, page.survey.assets) if self._reading.assets else links))
            for start in range(0, len(hrefs), AT_A_TIME):
                yield self._resolved(hrefs[start : start + AT_A_TIME], page.base)

    def _in_header(self, page: Page) -> list[str | None]:
        obey = self._reading.obey_nofollow
        return [
            self._in_scope(canonicalize(link.address, page.url))
            for link in page.header_links
            if leads_on(link.rel, link.media_type) and not (obey and is_untrusted(link.rel))
        ]

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
        folder = self._folder_of(base)
        known = folder.known
        return [known[href] if href in known else self._learn(folder, href, base) for href in hrefs]

    def _folder_of(self, base: str) -> _Folder:
        """Return what is known of a base's folder; if all that is known grows too much, forget it."""
        if self._remembered > MEMO_SIZE:
            # Made anew, since another thread may still read the old one.
            self._folders, self._remembered = {}, 0
        url = base.partition("?")[0].rpartition("/")[0] + "/"
        folder = self._folders.get(url)
        if folder is None:
            keeps_all = self._urls.is_plain and self._scope.is_of_hosts_alone and not self._scope.refuses(url)
            folder = self._folders[url] = _Folder(url, keeps_all, {})
            self._remembered += 1
        return folder

    def _learn(self, folder: _Folder, href: str, base: str) -> str | None:
        if len(href) > MEMO_CHARS:
            return self._in_scope(canonicalize(href, base)) if len(href) <= MAX_HREF_CHARS else None
        url = join_plain(folder.url, href)
        if url is None:
            if self._leads_out(href):
                return None
            if _NEEDS_WHOLE_BASE.match(href):
                return self._in_scope(canonicalize(href, base) if href else base)
            url = self._in_scope(canonicalize(href, folder.url))
        elif not folder.keeps_all or len(url) > LONGEST_URL_CHARS:
            url = self._in_scope(url)
        folder.known[href] = url
        self._remembered += 1
        return url

    def _leads_out(self, href: str) -> bool:
        """Say whether an address is out of scope by what it begins with: to see that is as quick as to remember it."""
        if has_other_scheme(href):
            return True
        host = plain_host(href)
        return host is not None and self._refuses_host(host)

    def _judge_host(self, host: str) -> bool:
        url = canonicalize(f"http://{host}/")
        return url is None or self._scope.refuses(url) == "host"

    def _in_scope(self, url: str | None) -> str | None:
        return None if url is None else self.keep(url)
