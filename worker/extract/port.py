"""The port to an HTML parser: the operations on a tree that links and rules need.

Elements are opaque: only their engine inspects them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.worker.extract.charset import encoding_of, xml_encoding_of
from crawlfleet.worker.extract.encoding import UTF_8, covers_ascii, decoded
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
    """What a page is parsed from: its body as it arrived, and the content type of its header with the parameters.

    Where XML declares its encoding, HTML does not.
    """

    def __init__(self, body: bytes, content_type: str, *, is_xml: bool = False) -> None:
        self.body = body
        self.content_type = content_type
        self._is_xml = is_xml

    @lazy
    def _encoding(self) -> tuple[str, int]:
        return (xml_encoding_of if self._is_xml else encoding_of)(self.body, self.content_type)

    @property
    def encoding(self) -> str:
        """The name of the body's encoding, in lower case."""
        return self._encoding[0]

    @lazy
    def text(self) -> str:
        """The body as text; bytes that are invalid in its encoding become U+FFFD."""
        name, mark = self._encoding
        return decoded(self.body[mark:], name)

    @property
    def is_valid(self) -> bool:
        """Whether all of the body is valid in its encoding."""
        name, mark = self._encoding
        if name != UTF_8 or "\ufffd" not in self.text:
            return "\ufffd" not in self.text
        try:
            self.body[mark:].decode(UTF_8)
        except UnicodeDecodeError:
            return False
        return True

    @property
    def utf8(self) -> bytes:
        """The body in UTF-8; one that is in UTF-8 only loses its mark, even if not all of it is valid."""
        name, mark = self._encoding
        if name == UTF_8:
            return self.body[mark:]
        return self.body if covers_ascii(name) and self.body.isascii() else self.text.encode()


class TreeBuilder(Protocol):
    """Builds a tree from what is read of an XML page, in its order."""

    @property
    def root(self) -> Element:
        """The element in which all others are; it is there at the end."""

    def start(self, name: str, attributes: dict[str, str], /) -> None:
        """Begin an element below the one that is open."""

    def end(self) -> None:
        """End the element that is open."""

    def text(self, text: str, /) -> None:
        """Add a text to the element that is open."""


class ParseFault(CrawlfleetError):
    """A page cannot be parsed. The text is one sentence."""


class ParseEngine(Protocol):
    """A parser. It keeps nothing of a page, and many threads may use it."""

    def root(self, source: Source, /) -> Element:
        """Return the page's element `html`, which any page has; raise only `ParseFault`, and `MemoryError`."""

    def builder(self) -> TreeBuilder:
        """Return what builds a tree of this engine's elements."""

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

    def attribute(self, element: Element, name: str, /) -> str | None:
        """Return one attribute, unchanged, empty if it has no value; None if there is none of this name."""

    def anchors(self, elements: Iterable[Element], /) -> Iterator[tuple[str | None, str | None]]:
        """Yield the attributes `href` and `rel` of elements: pages have many, and little else of them is looked at."""

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
