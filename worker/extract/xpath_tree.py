"""A page's tree for XPath: made of that of the parse engine, so that both select the same elements. Pure.

XPath runs in lxml, over elements that have the names, attributes and texts of the page's. What it selects is told in
elements of the engine. What XML cannot hold is left out: attributes with odd names, and control characters.
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from crawlfleet.worker.extract.port import Element, ParseEngine

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*+")
_ODD = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNNAMED = "_"


class XPathTree:
    """The tree of one page."""

    def __init__(self, engine: ParseEngine, root: Element) -> None:
        self._engine = engine
        self._own: dict[int, Any] = {}
        self._of: dict[Any, Element] = {}
        self._build(root)

    def select(self, element: Element, expression: Any) -> list[Any]:
        """Return what a compiled expression selects from an element: elements, or texts, numbers and truths."""
        start = self._own.get(self._engine.key(element))
        if start is None:  # it is no part of the page, as the content of a template
            return []
        try:
            found = expression(start)
        except (etree.XPathError, ValueError):  # of a function that meets what it does not take
            return []
        if isinstance(found, list):
            return [self._of[each] if each in self._of else _text(each) for each in found]
        return [_scalar(found)]

    def _build(self, root: Element) -> None:
        top = self._make(root, None)
        open_elements = [(top, iter(self._engine.children(root)))]
        while open_elements:
            above, children = open_elements[-1]
            child = next(children, None)
            if child is None:
                open_elements.pop()
            elif isinstance(child, str):
                _append(above, child)
            else:
                open_elements.append((self._make(child, above), iter(self._engine.children(child))))

    def _make(self, element: Element, above: Any) -> Any:
        engine = self._engine
        name = engine.tag(element)
        name = name if _NAME.fullmatch(name) else _UNNAMED
        attributes = {
            key: _plain(value or "") for key, value in engine.attributes(element).items() if _NAME.fullmatch(key)
        }
        made = etree.Element(name, attributes) if above is None else etree.SubElement(above, name, attributes)
        # Kept, so that lxml gives the same objects again.
        self._own[engine.key(element)] = made
        self._of[made] = element
        return made


def _append(above: Any, text: str) -> None:
    text = _plain(text)
    if len(above):
        above[-1].tail = (above[-1].tail or "") + text
    else:
        above.text = (above.text or "") + text


def _plain(text: str) -> str:
    return _ODD.sub("\ufffd", text) if not (text.isascii() and text.isprintable()) else text


def _text(found: Any) -> str:
    """Return a text with blanks folded, and the value of an attribute as it is."""
    text = str.__str__(found)
    return text if getattr(found, "is_attribute", False) else " ".join(text.split())


def _scalar(found: Any) -> Any:
    """Return a text, a truth or a number, as a whole one if it is."""
    if isinstance(found, str):
        return _text(found)
    return int(found) if isinstance(found, float) and found.is_integer() else found
