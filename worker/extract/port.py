"""The port to an HTML parser: the operations on a tree that links and rules need.

Elements are opaque: only their engine inspects them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.worker.extract.charset import decode
from crawlfleet.worker.extract.lazy import lazy

Element: TypeAlias = Any

# Elements that a browser shows apart from what is before and behind them, and the line break.
_BLOCKS = """
address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption
figure footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li listing main menu nav
noframes ol optgroup option p plaintext pre search section select summary table tbody td tfoot th thead title
tr ul xmp
"""
BLOCKS = frozenset(_BLOCKS.split())
# Elements whose text nobody reads: it is no part of the text of an element that contains them.
UNSEEN = frozenset({"script", "style"})


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
        """Return the text of an element and of all below it, but for `UNSEEN` ones, with blanks at `BLOCKS`."""

    def parent(self, element: Element, /) -> Element | None:
        """Return the parent of an element."""

    def children(self, element: Element, /) -> Iterator[Element | str]:
        """Yield the elements and the texts directly below an element."""

    def key(self, element: Element, /) -> int:
        """Return a number that only this element of its page has."""

    def html(self, element: Element, /) -> str:
        """Return an element as the standard serialises it (HTML, 13.3)."""

    def check(self, css: str, /) -> bool:
        """Say whether a selector is valid."""
