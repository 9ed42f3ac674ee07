"""The port to an HTML parser: the operations on a tree that links and rules need.

Elements are opaque: only their engine inspects them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.worker.extract.charset import decode
from crawlfleet.worker.extract.lazy import lazy

Element: TypeAlias = Any


class Source:
    """What a page is parsed from: its body as it arrived, and the content type of its header with the parameters."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self.content_type = content_type

    @lazy
    def text(self) -> str:
        """The body as text, in the encoding that it declares."""
        return decode(self.body, self.content_type)


class ParseFault(CrawlfleetError):
    """A page cannot be parsed. The text is one sentence."""


class ParseEngine(Protocol):
    """A parser. It keeps nothing of a page, and many threads may use it."""

    def root(self, source: Source, /) -> Element:
        """Return the page's element `html`, which any page has; raise only `ParseFault`, and `MemoryError`."""

    def select(self, element: Element, css: str, /) -> list[Element]:
        """Return the matches of a selector, among `element` and its descendants, in document order, each once."""

    def first(self, element: Element, css: str, /) -> Element | None:
        """Return the first match of `select`, or None."""

    def named(self, root: Element, /, *tags: str) -> list[Element]:
        """Return the elements with these names (in lower case) below the page's `html`, in document order."""

    def tag(self, element: Element, /) -> str:
        """Return an element's name, in lower case."""

    def attributes(self, element: Element, /) -> Mapping[str, str | None]:
        """Return an element's attributes, unchanged, by names in lower case; None for one without a value."""

    def text(self, element: Element, /) -> str:
        """Return the text of an element and of all elements below it."""

    def parent(self, element: Element, /) -> Element | None:
        """Return the parent of an element."""

    def check(self, css: str, /) -> bool:
        """Say whether a selector is valid."""
