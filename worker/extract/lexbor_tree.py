"""The lexbor engine: selectolax over lexbor, with the tree of an HTML5 browser."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, LexborNode, SelectolaxError

from crawlfleet.worker.aside import ASIDE
from crawlfleet.worker.extract.charset import as_utf8
from crawlfleet.worker.extract.nesting import flattened
from crawlfleet.worker.extract.port import BLOCKS, UNSEEN, Source

# Events would only copy the chosen option of a `select` into its `selectedcontent`, as browsers do for display.
_OPTIONS = int(LexborDocumentOptions.WO_EVENTS)

# The tree of larger markup may take seconds to build: it is built aside. Handing it over takes some 50 us.
LARGE_BYTES = 32 * 1024

_TEXT = "-text"
# With what names of comments and the like begin.
_NO_ELEMENT = ("-", "!")


def parse(source: Source) -> LexborHTMLParser:
    """Parse a body in its declared encoding; raise `MemoryError` if there is too little for the tree."""
    # The parser reads UTF-8; invalid bytes become U+FFFD in the texts that are read.
    markup = flattened(as_utf8(source.body, source.content_type))
    try:
        return ASIDE.run(lambda: _tree(markup)) if len(markup) > LARGE_BYTES else _tree(markup)
    except (SelectolaxError, MemoryError) as error:
        raise MemoryError("its tree takes more memory than a worker may have") from error


def _tree(markup: bytes) -> LexborHTMLParser:
    return LexborHTMLParser(markup, options=_OPTIONS)


class LexborEngine:
    """The engine, with the port of `worker.extract.port`."""

    # Of its two signatures the one without a default.
    first: staticmethod[[LexborNode, str], LexborNode | None] = staticmethod(LexborNode.css_first)
    tag = staticmethod(attrgetter("tag"))
    attributes = staticmethod(attrgetter("attributes"))
    parent = staticmethod(attrgetter("parent"))
    key = staticmethod(attrgetter("mem_id"))

    @staticmethod
    def root(source: Source) -> LexborNode:
        root = parse(source).root
        assert root is not None, "the standard makes an element html of nothing, too"
        return root

    @staticmethod
    def text(element: LexborNode) -> str:
        first = element.first_child
        is_plain = first is None or (first.next is None and first.tag == _TEXT)
        if is_plain or element.tag in UNSEEN:
            return element.text()
        return "".join(_texts(element))

    @staticmethod
    def select(element: LexborNode, css: str) -> list[LexborNode]:
        found = element.css(css)
        # An element that matches several selectors of a list is found several times.
        return found if "," not in css else list({node.mem_id: node for node in found}.values())

    @staticmethod
    def named(root: LexborNode, *tags: str) -> list[LexborNode]:
        return root.parser.tags(*tags) if len(tags) == 1 else root.parser.css(",".join(tags))

    @staticmethod
    def children(element: LexborNode) -> Iterator[LexborNode | str]:
        node = element.first_child
        while node is not None:
            if node.tag == _TEXT:
                yield node.text_content or ""
            elif not (node.tag or "-").startswith(_NO_ELEMENT):
                yield node
            node = node.next

    @staticmethod
    def html(element: LexborNode) -> str:
        return element.html or ""

    @staticmethod
    def check(css: str) -> bool:
        try:
            LexborHTMLParser("").css(css)
        except SelectolaxError:
            return False
        return True


def _texts(element: LexborNode) -> Iterator[str]:
    """Yield the texts within an element, and a blank where a block begins or ends."""
    node, inside = element.first_child, 1
    while inside:
        if node is None:
            break
        tag = node.tag
        if tag == _TEXT:
            yield node.text_content or ""
        is_block = tag in BLOCKS
        if is_block:
            yield " "
        below = node.first_child if tag not in UNSEEN else None
        if below is not None:
            node, inside = below, inside + 1
            continue
        while node is not None and node.next is None and inside:
            node, inside = node.parent, inside - 1
            if inside and node is not None and node.tag in BLOCKS:
                yield " "
        node = node.next if node is not None and inside else None
