"""The lexbor engine: selectolax over lexbor, a tree as an HTML5 browser would make it."""

from __future__ import annotations

from operator import attrgetter

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, LexborNode, SelectolaxError

from crawlfleet.worker.extract.charset import as_utf8
from crawlfleet.worker.extract.nesting import flattened
from crawlfleet.worker.extract.port import ParseFault, Source

# Events would only copy what is chosen of a `select` into its `selectedcontent`, as a browser does to show it.
_OPTIONS = int(LexborDocumentOptions.WO_EVENTS)


def parse(source: Source) -> LexborHTMLParser:
    """Parse a body in the encoding that it declares; raise `ParseFault` if there is no memory for its tree."""
    # The parser reads UTF-8; what is no UTF-8 becomes U+FFFD where it is asked for.
    try:
        return LexborHTMLParser(flattened(as_utf8(source.body, source.content_type)), options=_OPTIONS)
    except (SelectolaxError, MemoryError) as error:
        raise ParseFault("its tree takes more memory than a worker may have") from error


class LexborEngine:
    """The engine behind the port of `worker.extract.port`."""

    # Of its two signatures the one without a default.
    first: staticmethod[[LexborNode, str], LexborNode | None] = staticmethod(LexborNode.css_first)
    tag = staticmethod(attrgetter("tag"))
    attributes = staticmethod(attrgetter("attributes"))
    text = staticmethod(LexborNode.text)
    parent = staticmethod(attrgetter("parent"))

    @staticmethod
    def root(source: Source) -> LexborNode:
        root = parse(source).root
        assert root is not None, "the standard makes an element html of nothing, too"
        return root

    @staticmethod
    def select(element: LexborNode, css: str) -> list[LexborNode]:
        found = element.css(css)
        # An element that several selectors of a list match is found once for each.
        return found if "," not in css else list({node.mem_id: node for node in found}.values())

    @staticmethod
    def named(root: LexborNode, *tags: str) -> list[LexborNode]:
        return root.parser.tags(*tags) if len(tags) == 1 else root.parser.css(",".join(tags))

    @staticmethod
    def check(css: str) -> bool:
        try:
            LexborHTMLParser("").css(css)
        except SelectolaxError:
            return False
        return True
