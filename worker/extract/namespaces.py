"""Whether an element is one of HTML, of SVG or of MathML: their names overlap. Pure.

Engines know elements by name alone, so the namespace is worked out from those above: in HTML as its parser assigns it,
in an XML page by the attribute `xmlns` of the nearest one (see `xhtml`).
"""

from __future__ import annotations

from crawlfleet.worker.extract.port import Element, ParseEngine

HTML, SVG, MATHML, OTHER = "html", "svg", "math", ""
XHTML = "http://www.w3.org/1999/xhtml"
XMLNS = "xmlns"

_OF_XML = {XHTML: HTML, "http://www.w3.org/2000/svg": SVG, "http://www.w3.org/1998/Math/MathML": MATHML}

_ROOTS = frozenset({SVG, MATHML})
# What stands below these is HTML again (HTML, 13.2.6.5: integration points).
_BACK = frozenset(["annotation-xml", "desc", "foreignobject", "mi", "mn", "mo", "ms", "mtext", "title"])


class Namespaces:
    """The namespaces of one page's elements: no element is looked at twice."""

    def __init__(self, engine: ParseEngine, *, is_xml: bool = False) -> None:
        self._engine = engine
        self._is_xml = is_xml
        self._inside: dict[int, str] = {}

    def of(self, element: Element) -> str:
        """Return the namespace of an element."""
        if self._is_xml:
            return self._within(element)
        tag = self._engine.tag(element).lower()
        return tag if tag in _ROOTS else self._within(self._engine.parent(element))

    def _within(self, element: Element | None) -> str:
        """Return the namespace of what stands below an element, unless it begins another one."""
        passed = []
        found = OTHER if self._is_xml else HTML
        while element is not None:
            key = self._engine.key(element)
            if key in self._inside:
                found = self._inside[key]
                break
            passed.append(key)
            begun = self._begun_by(element)
            if begun is not None:
                found = begun
                break
            element = self._engine.parent(element)
        self._inside.update(dict.fromkeys(passed, found))
        return found

    def _begun_by(self, element: Element) -> str | None:
        """Return the namespace that begins with an element; None if it is that of the one above."""
        if self._is_xml:
            attributes = self._engine.attributes(element)
            return _OF_XML.get(attributes[XMLNS] or "", OTHER) if XMLNS in attributes else None
        tag = self._engine.tag(element).lower()
        return tag if tag in _ROOTS else HTML if tag in _BACK else None
