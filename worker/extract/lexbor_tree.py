"""The lexbor engine: selectolax over lexbor, with the tree of an HTML5 browser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, LexborNode, SelectolaxError

from crawlfleet.worker.aside import ASIDE
from crawlfleet.worker.extract import shadow
from crawlfleet.worker.extract.nesting import flattened, with_few_roots
from crawlfleet.worker.extract.port import BLOCKS, UNSEEN, Source

# Events would only copy the chosen option of a `select` into its `selectedcontent`, as browsers do for display.
_OPTIONS = int(LexborDocumentOptions.WO_EVENTS)

# The tree of larger markup may take seconds to build: it is built aside. Handing it over takes some 50 us.
LARGE_BYTES = 32 * 1024

_TEXT = "-text"
_DOCTYPE = "-doctype"
_ROOT = "html"
# With what names of comments and the like begin.
_NO_ELEMENT = ("-", "!")


def parse(source: Source) -> LexborHTMLParser:
    """Parse a body in its declared encoding; raise `MemoryError` if there is too little for the tree."""
    # The parser reads UTF-8; invalid bytes become U+FFFD in the texts that are read.
    markup = flattened(with_few_roots(source.utf8))
    try:
        tree = ASIDE.run(lambda: _tree(markup)) if len(markup) > LARGE_BYTES else _tree(markup)
        if shadow.may_stand_in(markup):
            _open_shadow_roots(tree)
        return tree
    except (SelectolaxError, MemoryError) as error:
        raise MemoryError("its tree takes more memory than a worker may have") from error


def _tree(markup: bytes) -> LexborHTMLParser:
    return LexborHTMLParser(markup, options=_OPTIONS)


def _open_shadow_roots(tree: LexborHTMLParser) -> None:
    """Put the content of declarative shadow roots in their places."""
    hosts: set[int] = set()
    waiting = tree.css(shadow.SELECTOR)[::-1]
    while waiting:
        template = waiting.pop()
        host = template.parent
        assert host is not None, "a template is never the root"
        if host.mem_id in hosts or not shadow.is_shadow_root(template.attributes.get(shadow.ATTRIBUTE), host.tag):
            continue
        hosts.add(host.mem_id)
        content = template.template_fragments()[0]
        waiting += content.css(shadow.SELECTOR)[::-1]
        node = content.first_child
        while node is not None:
            following = node.next
            template.insert_before(node, move=True)
            node = following
        template.remove()


def _remove_doctype(root: LexborNode) -> None:
    """Remove the document type before the root: to what counts places, such as `:first-child`, it is an element."""
    node = root.prev
    while node is not None:
        before = node.prev
        if node.tag == _DOCTYPE:
            node.remove()
        node = before


class _Builder:
    """Builds a tree from what is read of an XML page."""

    root: LexborNode

    def __init__(self) -> None:
        self._tree: LexborHTMLParser | None = None
        self._open: list[LexborNode] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._tree is None:
            node = self._begin(name)
        else:
            node = self._tree.create_node(name)
            self._open[-1].insert_child(node, move=True)
        for key, value in attributes.items():
            node.attrs[key] = value
        self._open.append(node)

    def end(self) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        self._open[-1].insert_child(text)

    def _begin(self, name: str) -> LexborNode:
        # Without a document type of HTML, names of classes would match in any case.
        self._tree = tree = LexborHTMLParser("<!doctype html>" if name == _ROOT else "")
        assert tree.root is not None, "the standard makes an element html of nothing, too"
        if name == _ROOT:
            for child in (tree.head, tree.body):
                assert child is not None, "it makes these two, too"
                child.remove()
        else:
            tree.root.replace_with(tree.create_node(name), move=True)
        self.root = tree.root
        return self.root


class LexborEngine:
    """The engine, with the port of `worker.extract.port`."""

    # Of its two signatures the one without a default.
    first: staticmethod[[LexborNode, str], LexborNode | None] = staticmethod(LexborNode.css_first)
    tag = staticmethod(attrgetter("tag"))
    attributes = staticmethod(attrgetter("attributes"))
    parent = staticmethod(attrgetter("parent"))
    key = staticmethod(attrgetter("mem_id"))

    builder = staticmethod(_Builder)

    @staticmethod
    def root(source: Source) -> LexborNode:
        root = parse(source).root
        assert root is not None, "the standard makes an element html of nothing, too"
        _remove_doctype(root)
        return root

    @staticmethod
    def attribute(element: LexborNode, name: str) -> str | None:
        attributes = element.attributes
        return (attributes[name] or "") if name in attributes else None

    @staticmethod
    def anchors(elements: Iterable[LexborNode]) -> Iterator[tuple[str | None, str | None]]:
        for attributes in map(attrgetter("attributes"), elements):
            yield (attributes["href"] or "") if "href" in attributes else None, attributes.get("rel")

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
