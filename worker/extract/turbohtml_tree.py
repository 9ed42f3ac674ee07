"""The turbohtml engine: its tree, which is that of an HTML5 browser, parsed in C.

turbohtml's own queries see into templates and know no blocks: the port's walks are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import cast

from turbohtml import Document, Element, SelectorSyntaxError, Text, parse, parse_xml

from crawlfleet.worker.extract import shadow
from crawlfleet.worker.extract.encoding import UTF_8
from crawlfleet.worker.extract.nesting import with_few_roots
from crawlfleet.worker.extract.port import BLOCKS, UNSEEN, Source


class _Builder:
    """Builds a tree from what is read of an XML page: by way of its text.

    Elements that are put together one by one all have the same hash.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._prefixes: set[str] = set()
        self._open: list[str] = []

    @property
    def root(self) -> Element:
        declared = {f"xmlns:{prefix}": f"urn:{prefix}" for prefix in self._prefixes - {"xml"}}
        start = "".join((self._parts[0], *(f' {name}="{value}"' for name, value in declared.items()), ">"))
        root = parse_xml(start + "".join(self._parts[2:])).root
        assert root is not None, "XML has a root"
        for name in declared:
            del root.attrs[name]
        return root

    def start(self, name: str, attributes: dict[str, str]) -> None:
        values = (f' {key}="{_escaped(value)}"' for key, value in attributes.items())
        self._prefixes.update(key.partition(":")[0] for key in attributes if ":" in key)
        self._parts += (f"<{name}{''.join(values)}", ">")
        self._open.append(name)

    def end(self) -> None:
        self._parts.append(f"</{self._open.pop()}>")

    def text(self, text: str) -> None:
        self._parts.append(_escaped(text))


def _escaped(text: str) -> str:
    """Escape what is markup, and what a parser of XML would make blanks of."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return escaped.replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")


class TurbohtmlEngine:
    """The engine, with the port of `worker.extract.port`."""

    builder = staticmethod(_Builder)
    key = staticmethod(hash)
    tag = staticmethod(attrgetter("tag"))

    @staticmethod
    def root(source: Source) -> Element:
        try:
            markup = with_few_roots(source.utf8)
            document = parse(markup, encoding=UTF_8, positions=False, allow_declarative_shadow_roots=False)
        except MemoryError as error:
            raise MemoryError("its tree takes more memory than a worker may have") from error
        _read_templates(document)
        root = document.root
        assert root is not None, "the standard makes an element html of nothing, too"
        return root

    @staticmethod
    def select(element: Element, css: str) -> list[Element]:
        found = element.select(css)
        return [element, *found] if element.matches(css) else found

    @staticmethod
    def first(element: Element, css: str) -> Element | None:
        return element if element.matches(css) else element.select_one(css)

    @staticmethod
    def named(root: Element, *tags: str) -> list[Element]:
        return list(root.iter_elements(tags))

    @staticmethod
    def attributes(element: Element) -> Mapping[str, str | None]:
        found = element.attrs.copy()
        for name, value in found.items():
            if isinstance(value, list):  # how turbohtml shows words of `class` and some others
                found[name] = element.attr(name)
        return cast(dict[str, str | None], found)

    @staticmethod
    def attribute(element: Element, name: str) -> str | None:
        value = element.attrs.get(name)
        return element.attr(name) if isinstance(value, list) else value

    @staticmethod
    def anchors(elements: Iterable[Element]) -> Iterator[tuple[str | None, str | None]]:
        for element in elements:
            yield cast("str | None", element.attrs.get("href")), element.attr("rel")

    @staticmethod
    def parent(element: Element) -> Element | None:
        above = element.parent
        return above if isinstance(above, Element) else None

    @staticmethod
    def children(element: Element) -> Iterator[Element | str]:
        for node in element.children:
            if isinstance(node, Element):
                yield node
            elif isinstance(node, Text):
                yield node.data

    html = staticmethod(attrgetter("html"))

    @staticmethod
    def text(element: Element) -> str:
        return element.text if element.tag in UNSEEN else "".join(_texts(element))

    @staticmethod
    def check(css: str) -> bool:
        try:
            parse("").select(css)
        except (SelectorSyntaxError, ValueError):
            return False
        return True


def _texts(element: Element) -> Iterator[str]:
    """Yield the texts within an element, and a blank where a block begins or ends."""
    above = [iter(element.children)]
    blocks = [False]
    while above:
        node = next(above[-1], None)
        if node is None:
            above.pop()
            if blocks.pop():
                yield " "
        elif isinstance(node, Text):
            yield node.data
        elif isinstance(node, Element) and (tag := node.tag) not in UNSEEN:
            blocks.append(tag in BLOCKS)
            if blocks[-1]:
                yield " "
            above.append(iter(node.children))


def _read_templates(document: Document) -> None:
    """Put the content of declarative shadow roots in their places; that of other templates is no part of the page."""
    hosts: set[Element] = set()
    for template in list(document.iter_elements("template")):
        host = template.parent
        if not isinstance(host, Element):  # it stood in another one
            template.clear()
        elif host not in hosts and shadow.is_shadow_root(template.attr(shadow.ATTRIBUTE), host.tag):
            hosts.add(host)
            template.insert_before(*(node for content in template.children for node in content.children))
            template.extract()
        else:
            template.clear()
