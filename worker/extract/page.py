"""One fetched page as rules and hooks see it: nothing is parsed before it is asked for, and nothing twice.

It must not fetch, and knows no job: what belongs to the crawl is told to it as `keep`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from selectolax.lexbor import LexborHTMLParser

from shared.urls import canonicalize
from worker.extract.charset import declared_codec, decode
from worker.extract.nesting import flattened
from worker.fetch import Fetched, Headers

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_SNIFF_BYTES = 512
# The tags by which a body without a content type is taken for HTML (WHATWG MIME Sniffing, 7.1).
_HTML_STARTS = tuple(
    b"<" + tag
    for tag in b"!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--".split(b"|")
)


class Page:
    """A fetched page. `url` is canonical; `headers` is a mapping in any case; `fleet` is None outside of a crawl."""

    def __init__(
        self, fetched: Fetched, fleet: object | None = None, keep: Callable[[str], str | None] | None = None
    ) -> None:
        self.url = fetched.url
        self.status = fetched.status
        self.headers: Headers = fetched.headers
        self.body = fetched.body
        self.fleet = fleet
        self.followed: list[str] = []
        self._keep = keep

    @cached_property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case; empty if none was told."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def is_html(self) -> bool:
        """Whether the page is HTML: by its content type, or by its first bytes if it has none."""
        if self.content_type:
            return self.content_type in _HTML_TYPES
        head = self.body[:_SNIFF_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip(b"\t\n\f\r ").lower()
        return any(head.startswith(start) and head[len(start) :][:1] in b" >" for start in _HTML_STARTS)

    @cached_property
    def text(self) -> str:
        """The body as text, in the encoding that it declares."""
        return decode(self.body, self.headers.get("content-type", ""))

    @cached_property
    def tree(self) -> LexborHTMLParser:
        """The page parsed by selectolax (lexbor), as an HTML5 browser would. Rules and links read the same tree."""
        codec, mark = declared_codec(self.body, self.headers.get("content-type", ""))
        source = self.body[mark:] if codec == "utf-8" else self.text.encode()
        # The parser reads UTF-8; what is no UTF-8 becomes U+FFFD where it is asked for.
        return LexborHTMLParser(flattened(source))

    @cached_property
    def soup(self) -> BeautifulSoup:
        """The page parsed by BeautifulSoup with lxml: some forty times the CPU time of `tree`."""
        from bs4 import BeautifulSoup

        return BeautifulSoup(self.text, "lxml")

    @cached_property
    def title(self) -> str | None:
        """The text of the first `title`, whitespace folded; None if there is none or the page is not HTML."""
        node = self.tree.css_first("title") if self.is_html else None
        return None if node is None else " ".join(node.text().split())

    @cached_property
    def base(self) -> str:
        """The address that links are relative to: the first `base[href]`, or the page's own (HTML, 2.4.3)."""
        # A walk over the tree costs as much as finding all links, and hardly any page has a base.
        if not self.is_html or (b"<base" not in self.body.lower() and b"\0" not in self.body):
            return self.url
        node = self.tree.css_first("base[href]")
        return (node is not None and canonicalize(node.attributes["href"] or "", self.url)) or self.url

    def json(self) -> Any:
        """Return the body as JSON; raise `ValueError` if it is none."""
        return json.loads(self.text)

    def follow(self, href: str) -> str | None:
        """Add an outlink; return its canonical URL, or None if the job's scope (or the standard) refuses it."""
        url = canonicalize(href, self.base)
        if url is None or (self._keep is not None and self._keep(url) is None):
            return None
        self.followed.append(url)
        return url
