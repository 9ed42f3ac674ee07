"""A fetched page as rules and hooks see it: each part is parsed at its first use, and only once.

It must not fetch, and knows no job: `keep` decides what belongs to the crawl.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from crawlfleet.shared.notes import Note
from crawlfleet.shared.web.urls import canonicalize
from crawlfleet.worker.extract import media_type, xhtml
from crawlfleet.worker.extract.directives import Directives, read_directives
from crawlfleet.worker.extract.embedded import HeaderLink, header_links, refresh_address
from crawlfleet.worker.extract.encoding import UTF_8, query_escaped
from crawlfleet.worker.extract.lazy import lazy
from crawlfleet.worker.extract.lexbor_tree import LexborEngine, parse
from crawlfleet.worker.extract.namespaces import HTML
from crawlfleet.worker.extract.port import Element, ParseEngine, Source
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.extract.survey import DEFAULT_READING, Reading, Survey
from crawlfleet.worker.fetch.port import Fetched, Headers

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from selectolax.lexbor import LexborHTMLParser

    from crawlfleet.worker.talk.objects.shared_objects import SharedObjects

_HTML_TYPE = "text/html"
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
        self._content_type = media_type.field_of(fetched.headers)
        self._notes: list[Note] = []
        self._keep = keep
        self._reading = reading

    @lazy
    def content_type(self) -> str:
        """The media type without its parameters, in lower case; empty if there is none, or it says nothing."""
        return media_type.essence_of(self._content_type)

    @lazy
    def is_html(self) -> bool:
        """Whether the page is HTML, maybe in XML: by its content type, or by its first bytes if it has none."""
        if self._xml_source is not None:
            return True
        if self.content_type:
            return self.content_type == _HTML_TYPE
        head = self.body[:_SNIFF_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip(b"\t\n\f\r ").lower()
        return any(head.startswith(start) and head[len(start) :][:1] in b" >" for start in _HTML_STARTS)

    @lazy
    def _xml_source(self) -> Source | None:
        """What is read by the rules of XML; None if the page is not served as XML."""
        if self.content_type != xhtml.TYPE and self.content_type not in xhtml.MAYBE_TYPES:
            return None
        source = Source(self.body, self._content_type, is_xml=True)
        return source if self.content_type == xhtml.TYPE or xhtml.says_page(source.text) else None

    @lazy
    def _xml_root(self) -> Element:
        """The root of a well-formed XML page; None if it is none."""
        source = self._xml_source
        if source is None:
            return None
        builder = self.engine.builder()
        try:
            if source.is_valid:
                xhtml.read(source.text, builder)
                return builder.root
        except xhtml.NotWellFormed:
            pass
        self._notes.append(Note.NOT_WELL_FORMED)
        return None

    @lazy
    def _source(self) -> Source:
        """What the page is read from."""
        xml = self._xml_source if self.is_xml else None
        return xml if xml is not None else Source(self.body, self._content_type)

    @property
    def is_xml(self) -> bool:
        """Whether the page was read by the rules of XML."""
        return self._xml_root is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was unusual about the text, as far as it was read (`shared.notes`)."""
        return tuple(self._notes)

    @lazy
    def text(self) -> str:
        """The body as text, in its declared encoding."""
        return self._source.text

    @lazy
    def tree(self) -> LexborHTMLParser:
        """The page parsed by selectolax (lexbor), as an HTML5 browser would: anew, unless that is the engine."""
        root = self._root_for_hook if isinstance(self.engine, LexborEngine) else None
        if root is None and self.is_xml:
            builder = LexborEngine.builder()
            xhtml.read(self._source.text, builder)
            root = builder.root
        return parse(self._source) if root is None else root.parser

    @lazy
    def dom(self) -> Element:
        """The element `html` of the page parsed by turbohtml; that of links and rules if that is the engine."""
        # Imported at the first use, as `soup` is.
        from crawlfleet.worker.extract.turbohtml_tree import TurbohtmlEngine

        root = self._root_for_hook if isinstance(self.engine, TurbohtmlEngine) else None
        if root is not None:
            return root
        if self.is_xml:
            builder = TurbohtmlEngine.builder()
            xhtml.read(self._source.text, builder)
            return builder.root
        return TurbohtmlEngine.root(self._source)

    @lazy
    def soup(self) -> BeautifulSoup:
        """The page parsed by BeautifulSoup with lxml: about forty times the CPU time of `tree`; that of links and rules
        if that is the engine."""
        # Imported at the first use: the import takes long, and most jobs do not need it.
        from crawlfleet.worker.extract import bs4_tree

        root = self._root_for_hook if isinstance(self.engine, bs4_tree.Bs4Engine) and not self.is_xml else None
        return bs4_tree.parse(self.text) if root is None else bs4_tree.soup_of(root)

    @property
    def _root_for_hook(self) -> Element:
        """The `root`, of which a hook may change anything: the links of the page are read before."""
        _ = self.survey
        return self.root

    @lazy
    def root(self) -> Element:
        """The element `html` of the job's parse engine; None if the page is not HTML."""
        if self._xml_root is not None:
            return self._xml_root
        return self.engine.root(self._source) if self.is_html else None

    @lazy
    def survey(self) -> Survey:
        """The addresses and directives that the page holds."""
        return Survey(self.engine, self.root, self._reading, is_xml=self.is_xml)

    @lazy
    def title(self) -> str | None:
        """The text of the first `title` of HTML, not of SVG, with whitespace folded; None if there is none."""
        node = self.engine.first(self.root, "title") if self.root is not None else None
        if node is not None and self.survey.namespaces.of(node) != HTML:
            others = self.engine.named(self.root, "title")
            node = next((each for each in others if self.survey.namespaces.of(each) == HTML), None)
        return None if node is None else " ".join(self.engine.text(node).split())

    @lazy
    def base(self) -> str:
        """The base of relative links: the first `base[href]`, or the page's URL (HTML, 2.4.3)."""
        href = self.survey.base
        # A base with another scheme gives no URL here; the standard ignores `data:` and `javascript:`.
        return (href is not None and canonicalize(self.address(href), self.url)) or self.url

    @lazy
    def header_links(self) -> tuple[HeaderLink, ...]:
        """The links of the header field Link (RFC 8288)."""
        return tuple(header_links(self.headers.get_all("link"))) if "link" in self.headers else ()

    @lazy
    def refresh(self) -> str | None:
        """The canonical address to which the header field Refresh leads; None if it only reloads, or leads nowhere."""
        address = refresh_address(self.headers["refresh"]) if "refresh" in self.headers else None
        return canonicalize(address, self.url) if address else None

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
        named.update(map(self.resolve, self.survey.canonicals))
        named.discard(None)
        return named.pop() if len(named) == 1 else None

    @property
    def copy_of(self) -> str | None:
        """The canonical address if it differs from the page's URL."""
        url = self.canonical
        is_own = url is None or url == self.url or (self._keep is not None and self._keep(url) == self.url)
        return None if is_own else url

    @property
    def encoding(self) -> str:
        """The name of the page's encoding, in lower case (Encoding Standard)."""
        return self._source.encoding

    def address(self, href: str) -> str:
        """Return an address of the page, its query escaped in the page's encoding, as browsers do."""
        return href if self.encoding == UTF_8 else query_escaped(href, self.encoding)

    def resolve(self, href: str) -> str | None:
        """Return the canonical URL of an address of the page; None if it is not an http(s) URL."""
        return canonicalize(self.address(href), self.base)

    def json(self) -> Any:
        """Return the body parsed as JSON; raise `ValueError` if it is invalid."""
        return json.loads(self.text)

    def follow(self, href: str) -> str | None:
        """Add an outlink; return its canonical URL, or None if the job's scope (or the standard) refuses it."""
        url = self.resolve(href)
        if url is not None and self._keep is not None:
            url = self._keep(url)
        if url is None:
            return None
        self.followed.append(url)
        return url
