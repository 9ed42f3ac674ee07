"""The links of a page: canonical URLs in scope, in the order of `survey`. Pure.

If links that lead out of the scope are checked, external ones count as well.

Most links of a site repeat from page to page, so results for (base, href) are cached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from crawlfleet.shared.brief import ScopeSpec, UrlSpec
from crawlfleet.shared.reasons import Reason, Refusal
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
from crawlfleet.worker.extract import survey
from crawlfleet.worker.extract.encoding import UTF_8
from crawlfleet.worker.extract.page import Page

MEMO_SIZE = 100_000
HOSTS_REMEMBERED = 4_096
# Longer ones are not cached, so that a hostile page cannot fill the memory.
MEMO_CHARS = 512
AT_A_TIME = 1_000
# Escapes make an address longer, dot segments shorter; an address far over the limit is not parsed.
MAX_HREF_CHARS = 4 * MAX_URL_CHARS

# An address depends on the last segment and the query of its base only if it keeps them: if it is empty, a query, or
# `http:` without slashes. Addresses with whitespace that the standard removes are not examined.
_NEEDS_WHOLE_BASE = re.compile(r"\Z|[\0-\x20?]|https?:(?![/\\])|[^\t\n\r]*[\t\n\r]", re.IGNORECASE)


class _Folder(NamedTuple):
    """The cached results for addresses, as written, on the pages of one folder.

    `url` ends in a slash. With `keeps_all` every URL of its host is in scope, and the standard's canonical form is also
    the job's. `judged` is what `judge_all` found.
    """

    url: str
    keeps_all: bool
    known: dict[str, str | None]
    judged: dict[str, tuple[str, Refusal]]


class LinkReader:
    """Reads links for one scope. `follow` names the elements whose links count; None means all that lead to pages."""

    def __init__(
        self,
        scope: ScopeSpec,
        follow: tuple[str, ...] | None,
        urls: UrlSpec,
        reading: survey.Reading = survey.DEFAULT_READING,
        *,
        external: bool = False,
    ) -> None:
        self._scope = Scope(scope)
        self._urls = policy_of(urls)
        self._follow = follow
        self.reading = self._reading = reading
        self._external = external
        self._folders: dict[str, _Folder] = {}
        self._remembered = 0
        self._refuses_host = lru_cache(HOSTS_REMEMBERED)(self._judge_host)

    def keep(self, url: str) -> str | None:
        """Return the job's form of a URL that is canonical by the standard; None if it is out of scope."""
        url = self._urls.apply(url)
        return None if self._scope.refuses(url) else url

    @property
    def is_selective(self) -> bool:
        """Whether only links in some elements count."""
        return self._follow is not None

    def judge_all(self, hrefs: Iterable[str], base: str) -> dict[str, tuple[str, Refusal]]:
        """Return for each address its URL, or the address if it gives none, and which rule of the scope refuses it."""
        folder = self._folder_of(base)
        return {href: self._judge(folder, href, base) for href in hrefs}

    def _judge(self, folder: _Folder, href: str, base: str) -> tuple[str, Refusal]:
        url = folder.known.get(href)
        if url is not None and not self._external:  # else it may be one that is only checked
            return url, ""
        judged = folder.judged.get(href)
        if judged is None:
            judged = self._judge_anew(href, base)
            if len(href) <= MEMO_CHARS and not _NEEDS_WHOLE_BASE.match(href):
                folder.judged[href] = judged
                self._remembered += 1
        return judged

    def _judge_anew(self, href: str, base: str) -> tuple[str, Refusal]:
        if len(href) > MAX_HREF_CHARS:
            return href, Reason.LENGTH
        url = canonicalize(href, base) if href else base
        if url is None:
            return href, Reason.NOT_HTTP
        url = self._urls.apply(url)
        return url, self._scope.refuses(url)

    def read(self, page: Page) -> Iterator[list[str | None]]:
        """Yield the page's links in batches; they may hold repeats, the page itself and None."""
        if self._reading.obey_nofollow and page.directives.nofollow:
            return
        if self._follow is None and (page.header_links or page.refresh):
            yield self._in_header(page)
        if page.is_html:
            links = page.survey.links if self._follow is None else self._followed(page, self._follow)
            written = chain(links, page.survey.assets) if self._reading.assets else links
            hrefs = list(dict.fromkeys(written if page.encoding == UTF_8 else map(page.address, written)))
            for start in range(0, len(hrefs), AT_A_TIME):
                some = hrefs[start : start + AT_A_TIME]
                # A cached address costs one look-up.
                folder = self._folder_of(page.base)
                known = folder.known
                yield [known[href] if href in known else self._learn(folder, href, page.base) for href in some]

    def _in_header(self, page: Page) -> list[str | None]:
        obey = self._reading.obey_nofollow
        found = [
            canonicalize(link.address, page.url)
            for link in page.header_links
            if survey.leads_on(link.rel, link.media_type) and not (obey and survey.is_untrusted(link.rel))
        ]
        return list(map(self._in_scope, (*found, page.refresh)))

    def _followed(self, page: Page, follow: tuple[str, ...]) -> Iterator[str]:
        engine, found = page.engine, page.survey
        obey = self._reading.obey_nofollow
        for selector in follow:
            for element in engine.select(page.root, selector):
                holds = found.own_addresses(element)
                for link in [element] if holds else engine.select(element, survey.LINKS_BELOW):
                    if not (obey and survey.is_untrusted(engine.attributes(link).get("rel"))):
                        yield from map(survey.without_fragment, found.own_addresses(link))

    def _folder_of(self, base: str) -> _Folder:
        """Return the cache of a base's folder; clear all caches if they are too large."""
        if self._remembered > MEMO_SIZE:
            # A new dict, since another thread may still read the old one.
            self._folders, self._remembered = {}, 0
        url = base.partition("?")[0].rpartition("/")[0] + "/"
        folder = self._folders.get(url)
        if folder is None:
            keeps_all = self._urls.is_plain and self._scope.is_of_hosts_alone and not self._scope.refuses(url)
            folder = self._folders[url] = _Folder(url, keeps_all, {}, {})
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
        """Say whether an address is out of scope by its beginning: that check is as fast as the cache."""
        if has_other_scheme(href):
            return True
        host = plain_host(href)
        return host is not None and self._refuses_host(host)

    def _judge_host(self, host: str) -> bool:
        url = canonicalize(f"http://{host}/")
        return url is None or (not self._external and self._scope.refuses(url) == "host")

    def _in_scope(self, url: str | None) -> str | None:
        if url is None:
            return None
        url = self._urls.apply(url)
        is_kept = not self._scope.refuses(url) or (self._external and self._scope.is_external(url))
        return url if is_kept else None
