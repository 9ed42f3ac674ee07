"""A fetched page as rules and hooks see it: each part is parsed at its first use, and only once.

It must not fetch, and knows no job: `keep` decides what belongs to the crawl.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from crawlfleet.shared.web.urls import canonicalize
from crawlfleet.worker.extract.directives import Directives, read_directives
from crawlfleet.worker.extract.embedded import HeaderLink, header_links
from crawlfleet.worker.extract.lazy import lazy
from crawlfleet.worker.extract.lexbor_tree import LexborEngine, parse
from crawlfleet.worker.extract.port import Element, ParseEngine, Source
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.extract.survey import DEFAULT_READING, Reading, Survey
from crawlfleet.worker.fetch.port import Fetched, Headers

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from selectolax.lexbor import LexborHTMLParser

    from crawlfleet.worker.talk.objects.shared_objects import SharedObjects

_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_SNIFF_BYTES = 512
# The tags by which a body without a content type is recognised as HTML (WHATWG MIME Sniffing, 7.1).
_HTML_STARTS = tuple(
    b"<" + tag
    for tag in b"!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--".split(b"|")
)


class Page:
    """A fetched page. `url` is canonical; names in `headers` are case-insensitive; `fleet` is None outside a crawl."""

    def __init__(
        self,
        fetched: Fetched,
        fleet: object | None = None,
        keep: Callable[[str], str | None] | None = None,
        engine: ParseEngine | None = None,
        reading: Reading = DEFAULT_READING,
    ) -> None:
        """`engine` parses for rules and links (default: the fastest); `reading` says what to search for."""
        self.url = fetched.url
        self.status = fetched.status
        self.headers: Headers = fetched.headers
        self.body = fetched.body
        #: What hooks use in a crawl. Outside of one it is None, whatever its type says.
        self.fleet = cast("SharedObjects", fleet)
        self.followed: list[str] = []
        self.engine = engine if engine is not None else open_engine()
        self._source = Source(fetched.body, fetched.headers.get("content-type", ""))
        self._keep = keep
        self._reading = reading

    @lazy
    def content_type(self) -> str:
        """The media type without its parameters, in lower case; empty if there is none."""
        return self._source.content_type.partition(";")[0].strip().lower()

    @lazy
    def is_html(self) -> bool:
        """Whether the page is HTML: by its content type, or by its first bytes if it has none."""
        if self.content_type:
            return self.content_type in _HTML_TYPES
        head = self.body[:_SNIFF_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip(b"\t\n\f\r ").lower()
        return any(head.startswith(start) and head[len(start) :][:1] in b" >" for start in _HTML_STARTS)

    @lazy
    def text(self) -> str:
        """The body as text, in its declared encoding."""
        return self._source.text

    @lazy
    def tree(self) -> LexborHTMLParser:
        """The page parsed by selectolax (lexbor), as an HTML5 browser would."""
        # The parse engine's own tree, if that is lexbor.
        root = self.root if isinstance(self.engine, LexborEngine) else None
        return parse(self._source) if root is None else root.parser

    @lazy
    def soup(self) -> BeautifulSoup:
        """The page parsed by BeautifulSoup with lxml: about forty times the CPU time of `tree`."""
        # Imported at the first use: the import takes long, and most jobs do not need it.
        from crawlfleet.worker.extract import bs4_tree

        return bs4_tree.parse(self.text)

    @lazy
    def root(self) -> Element:
        """The element `html` of the job's parse engine; None if the page is not HTML."""
        return self.engine.root(self._source) if self.is_html else None

    @lazy
    def survey(self) -> Survey:
        """The addresses and directives that the page holds."""
        return Survey(self.engine, self.root, self._reading)

    @lazy
    def title(self) -> str | None:
        """The text of the first `title`, with whitespace folded; None without one, or if the page is not HTML."""
        node = self.engine.first(self.root, "title") if self.root is not None else None
        return None if node is None else " ".join(self.engine.text(node).split())

    @lazy
    def base(self) -> str:
        """The base of relative links: the first `base[href]`, or the page's URL (HTML, 2.4.3)."""
        href = self.survey.base
        # A base with another scheme gives no URL here; the standard ignores `data:` and `javascript:`.
        return (href is not None and canonicalize(href, self.url)) or self.url

    @lazy
    def header_links(self) -> tuple[HeaderLink, ...]:
        """The links of the header field Link (RFC 8288)."""
        return tuple(header_links(self.headers.get_all("link"))) if "link" in self.headers else ()

    @lazy
    def directives(self) -> Directives:
        """What the page asks of this crawler, in `<meta>` or X-Robots-Tag."""
        values = self.headers.get_all("x-robots-tag") if "x-robots-tag" in self.headers else ()
        return read_directives(self.survey.robots, values, self._reading.names)

    @lazy
    def canonical(self) -> str | None:
        """The canonical address that the page names, in `<link rel=canonical>` or Link: a hint, maybe its own URL.

        None if it names none, or several.
        """
        named = {canonicalize(link.address, self.url) for link in self.header_links if "canonical" in link.rel.split()}
        named.update(canonicalize(href, self.base) for href in self.survey.canonicals)
        named.discard(None)
        return named.pop() if len(named) == 1 else None

    @property
    def copy_of(self) -> str | None:
        """The canonical address if it differs from the page's URL."""
        url = self.canonical
        is_own = url is None or url == self.url or (self._keep is not None and self._keep(url) == self.url)
        return None if is_own else url

    def json(self) -> Any:
        """Return the body parsed as JSON; raise `ValueError` if it is invalid."""
        return json.loads(self.text)

    def follow(self, href: str) -> str | None:
        """Add an outlink; return its canonical URL, or None if the job's scope (or the standard) refuses it."""
        url = canonicalize(href, self.base)
        if url is not None and self._keep is not None:
            url = self._keep(url)
        if url is None:
            return None
        self.followed.append(url)
        return url
