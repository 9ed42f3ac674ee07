"""The bs4 engine: BeautifulSoup over lxml, with selectors by soupsieve, as in `page.soup` for hooks.

lxml does not follow the HTML5 standard. Where that loses content, or shows content that no browser shows, the tree is
corrected here; `docs/conformance.md` lists the other differences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from operator import attrgetter
from typing import Any, cast

import soupsieve
from bs4 import BeautifulSoup, CData, Comment, Tag
from bs4.builder import HTMLTreeBuilder
from bs4.element import (
    AttributeValueList,
    NavigableString,
    RubyParenthesisString,
    RubyTextString,
    Script,
    Stylesheet,
    TemplateString,
)

from crawlfleet.worker.extract import shadow
from crawlfleet.worker.extract.port import BLOCKS, UNSEEN, Source

# Comments and the like are not text; scripts and styles are, as in a browser's `textContent`.
_TEXTS = (NavigableString, CData, RubyParenthesisString, RubyTextString, Script, Stylesheet, TemplateString)
_VOID_NAMES = "area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr"
_VOID = frozenset(_VOID_NAMES.split())
# Their text is not escaped.
_RAW = frozenset({"style", "script", "xmp", "iframe", "noembed", "noframes", "plaintext"})


_WORD = re.compile(r"\S+")
# The attributes that are lists of words, by the name of their element.
_EVERYWHERE = HTMLTreeBuilder.DEFAULT_CDATA_LIST_ATTRIBUTES["*"]
_LISTED = {
    name: frozenset(listed | _EVERYWHERE) for name, listed in HTMLTreeBuilder.DEFAULT_CDATA_LIST_ATTRIBUTES.items()
}


class Words(AttributeValueList):
    """The words of an attribute, as hooks expect them, and its text as it was written."""

    text = ""


def parse(text: str, **options: Any) -> BeautifulSoup:
    """Parse a page's text with lxml."""
    # The newline has no effect but that BeautifulSoup does not warn about text that looks like XML, as XHTML does, or
    # like a file name.
    return BeautifulSoup("\n" + text, "lxml", **options)


def soup_of(root: Tag) -> BeautifulSoup:
    """Return the soup of an engine's tree, for a hook: some of its attributes become lists of words."""
    for tag in chain((root,), root.descendants):
        if isinstance(tag, Tag):
            attributes = tag.attrs
            for name in _LISTED.get(tag.name, _LISTED["*"]).intersection(attributes):
                text = attributes[name]
                if isinstance(text, str):
                    words = attributes[name] = Words(_WORD.findall(text))
                    words.text = text
    return cast(BeautifulSoup, root.parent)


class _Builder:
    """Builds a tree from what is read of an XML page."""

    root: Tag

    def __init__(self) -> None:
        self._soup = parse("")
        self._open: list[Tag] = [self._soup]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        tag = self._soup.new_tag(name, attrs=dict(attributes))
        self._open[-1].append(tag)
        if len(self._open) == 1:
            self.root = tag
        self._open.append(tag)

    def end(self) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        self._open[-1].append(NavigableString(text))


class Bs4Engine:
    """The engine, with the port of `worker.extract.port`."""

    tag = staticmethod(attrgetter("name"))

    builder = staticmethod(_Builder)

    @staticmethod
    def root(source: Source) -> Tag:
        # Attributes unchanged: not as lists of words, as some are in a hook's soup.
        soup = parse(source.text, multi_valued_attributes=None)
        if "<template" in source.text.lower():
            _read_templates(soup)
        return _one_root(soup)

    @staticmethod
    def select(element: Tag, css: str) -> list[Tag]:
        found: list[Tag] = soupsieve.select(css, element)
        return [element, *found] if soupsieve.match(css, element) else found

    @staticmethod
    def named(root: Tag, *tags: str) -> list[Tag]:
        # A fourth of the time of `find_all`, which also checks prefixes of names: lxml has none.
        wanted = frozenset(tags)
        return [node for node in root.descendants if isinstance(node, Tag) and node.name in wanted]

    @staticmethod
    def first(element: Tag, css: str) -> Tag | None:
        return element if soupsieve.match(css, element) else soupsieve.select_one(css, element)

    @staticmethod
    def attributes(element: Tag) -> Mapping[str, str | None]:
        attributes = element.attrs
        if set(map(type, attributes.values())) <= {str}:
            return cast(Mapping[str, str | None], attributes)
        return {name: _text(value) for name, value in attributes.items()}

    @staticmethod
    def attribute(element: Tag, name: str) -> str | None:
        return _text(element.attrs.get(name))

    @staticmethod
    def anchors(elements: Iterable[Tag]) -> Iterator[tuple[str | None, str | None]]:
        for element in elements:
            attributes = element.attrs
            yield _text(attributes.get("href")), _text(attributes.get("rel"))

    @staticmethod
    def text(element: Tag) -> str:
        return element.get_text(types=_TEXTS) if element.name in UNSEEN else "".join(_texts(element))

    @staticmethod
    def parent(element: Tag) -> Tag | None:
        above = element.parent
        # The document itself is not an element.
        return None if above is None or above.parent is None else above

    key = staticmethod(id)

    @staticmethod
    def children(element: Tag) -> Iterator[Tag | str]:
        yield from (
            node if isinstance(node, Tag) else str(node)
            for node in element.contents
            if isinstance(node, Tag) or type(node) in _TEXTS
        )

    @staticmethod
    def html(element: Tag) -> str:
        return "".join(_markup(element))

    @staticmethod
    def check(css: str) -> bool:
        try:
            soupsieve.compile(css)
        except (soupsieve.SelectorSyntaxError, NotImplementedError):
            return False
        return True


def _text(value: object) -> str | None:
    """Return an attribute as a text; in the soup of a hook it may be anything."""
    if value is None or isinstance(value, str):
        return value
    return (
        value.text if isinstance(value, Words) else " ".join(map(str, value)) if isinstance(value, list) else str(value)
    )


def _texts(element: Tag) -> Iterator[str]:
    """Yield the texts within an element, and a blank where a block begins or ends."""
    above = [iter(element.contents)]
    blocks = [False]
    while above:
        node = next(above[-1], None)
        if node is None:
            above.pop()
            if blocks.pop():
                yield " "
        elif not isinstance(node, Tag):
            if type(node) in _TEXTS:
                yield str(node)
        elif node.name not in UNSEEN:
            blocks.append(node.name in BLOCKS)
            if blocks[-1]:
                yield " "
            above.append(iter(node.contents))


def _markup(element: Tag) -> Iterator[str]:
    """Yield the parts of an element as the standard serialises it (HTML, 13.3)."""
    yield _start(element)
    above = [(element, iter(element.contents))]
    while above:
        tag, nodes = above[-1]
        node = next(nodes, None)
        if node is None:
            above.pop()
            if tag.name not in _VOID:
                yield f"</{tag.name}>"
        elif isinstance(node, Tag):
            yield _start(node)
            above.append((node, iter(node.contents)))
        elif type(node) in _TEXTS:
            yield str(node) if tag.name in _RAW else _escaped(str(node))
        elif isinstance(node, Comment):
            yield f"<!--{node}-->"


def _start(tag: Tag) -> str:
    attributes = (
        f' {name}="{_escaped(_text(value) or "").replace(chr(34), "&quot;")}"' for name, value in tag.attrs.items()
    )
    return f"<{tag.name}{''.join(attributes)}>"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("\xa0", "&nbsp;").replace("<", "&lt;").replace(">", "&gt;")


def _read_templates(soup: BeautifulSoup) -> None:
    """Put the content of declarative shadow roots in their places; that of other templates is no part of the page."""
    hosts: set[int] = set()
    for template in soup.find_all("template"):
        host = template.parent
        if host is None:  # it stood in another one
            continue
        if id(host) not in hosts and shadow.is_shadow_root(cast(str, template.get(shadow.ATTRIBUTE)), host.name):
            hosts.add(id(host))
            template.unwrap()
        else:
            template.clear()


def _one_root(soup: BeautifulSoup) -> Tag:
    """Return the element `html`, maybe empty; content that lxml found after its end is moved into its body."""
    roots = [node for node in soup.contents if isinstance(node, Tag)]
    if len(roots) > 1:
        place = roots[0].find("body", recursive=False)
        for late in roots[1:]:
            (place if isinstance(place, Tag) else roots[0]).extend(list(late.contents))
            late.extract()
    if not roots:
        soup.append(soup.new_tag("html"))
    return roots[0] if roots else _one_root(soup)
