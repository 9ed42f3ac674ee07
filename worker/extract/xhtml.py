"""Reads XML pages, XHTML first of all, by the rules of XML. Pure.

Engines build their trees of what is read here, so that all have the same. Elements and attributes have their local
names in lower case, as the port has them; an element whose namespace is not that of the one around it has it in its
attribute `xmlns`. Nothing is fetched: no DTD, no entity.
"""

from __future__ import annotations

import re
from functools import cache
from html.entities import html5
from typing import Any
from xml.parsers import expat

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.worker.extract.namespaces import XHTML, XMLNS
from crawlfleet.worker.extract.nesting import MAX_DEPTH
from crawlfleet.worker.extract.port import TreeBuilder

# What entities of a page may make of it: so many times its length, and so many characters more.
MAX_GROWTH = 4
MAX_GROWN_CHARS = 1024 * 1024
# As many characters has the shortest attribute; a DTD may give each element thousands.
ATTRIBUTE_CHARS = 5
# The name of a namespace stands in front of each name that is in it.
MAX_NAME_CHARS = 1_000

# XML of these types is a page if it says so at its beginning.
TYPE = "application/xhtml+xml"
MAYBE_TYPES = frozenset({"application/xml", "text/xml"})
_DECLARED = re.compile(r"\ufeff?\s*<\?xml\s")
_NAMED = re.compile(r"xmlns(?::[\w.-]+)?\s*=\s*[\"']" + re.escape(XHTML) + r"[\"']")
_HEAD_CHARS = 4_096

# The DTDs whose entities browsers know (HTML, 14.2).
_XHTML_DTDS = frozenset((
    "-//W3C//DTD XHTML 1.0 Transitional//EN", "-//W3C//DTD XHTML 1.1//EN", "-//W3C//DTD XHTML 1.0 Strict//EN",
    "-//W3C//DTD XHTML 1.0 Frameset//EN", "-//W3C//DTD XHTML Basic 1.0//EN",
    "-//W3C//DTD XHTML 1.1 plus MathML 2.0//EN", "-//W3C//DTD XHTML 1.1 plus MathML 2.0 plus SVG 1.1//EN",
    "-//W3C//DTD MathML 2.0//EN", "-//WAPFORUM//DTD XHTML Mobile 1.0//EN",
))  # fmt: skip
_PREFIXES = {"http://www.w3.org/XML/1998/namespace": "xml", "http://www.w3.org/1999/xlink": "xlink"}


class NotWellFormed(CrawlfleetError):
    """XML that is not well-formed, or that grows beyond all measure."""


def says_page(text: str) -> bool:
    """Say whether XML is a page by its beginning: an XML declaration, or the namespace of XHTML."""
    head = text[:_HEAD_CHARS]
    return _DECLARED.match(head) is not None or _NAMED.search(head) is not None


def read(text: str, builder: TreeBuilder) -> None:
    """Read an XML page; raise `NotWellFormed` if it is none."""
    reader = _Reader(builder, MAX_GROWTH * len(text) + MAX_GROWN_CHARS)
    try:
        reader.parse(text.removeprefix("\ufeff"))
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise NotWellFormed(f"the page is not well-formed XML ({error})") from error


class _Reader:
    """Drives a builder by the events of expat."""

    def __init__(self, builder: TreeBuilder, most_chars: int) -> None:
        self._builder = builder
        self._left = most_chars
        self._namespaces = [""]
        self._skipped = 0  # elements open within one that is not read, or that are too deep
        self._in_template = 0
        self._public_id: str | None = None
        parser = self._parser = expat.ParserCreate("utf-8", " ")
        parser.namespace_prefixes = True
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartNamespaceDeclHandler = self._namespace
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        parser.SkippedEntityHandler = self._skip
        parser.ExternalEntityRefHandler = self._entities
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_UNLESS_STANDALONE)

    def parse(self, text: str) -> None:
        self._parser.Parse(text.encode(), True)

    def _namespace(self, _prefix: str | None, name: str | None) -> None:
        if len(name or "") > MAX_NAME_CHARS:
            raise NotWellFormed(f"the name of a namespace of the page is longer than {MAX_NAME_CHARS} characters")

    def _start(self, full_name: str, attributes: list[str]) -> None:
        self._count(sum(map(len, attributes[1::2])) + ATTRIBUTE_CHARS * (len(attributes) // 2))
        if any(len(key) > 2 * MAX_NAME_CHARS for key in attributes[::2]):
            raise NotWellFormed(f"the name of an attribute of the page is longer than {2 * MAX_NAME_CHARS} characters")
        if self._skipped or self._in_template or len(self._namespaces) > MAX_DEPTH:
            # Too deep elements are left out, but not what they hold: see `nesting`.
            self._in_template += self._in_template > 0
            self._skipped += not self._in_template
            return
        namespace, local, _ = _split(full_name)
        name = local.lower()
        if namespace == XHTML and name != local:
            namespace = ""  # HTML has no such element
        found: dict[str, str] = {}
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            attribute = _attribute(key)
            if namespace != XHTML or attribute == attribute.lower():  # HTML has none that is not
                found.setdefault(attribute.lower(), value)
        if namespace != self._namespaces[-1]:
            found[XMLNS] = namespace
        self._namespaces.append(namespace)
        self._builder.start(name, found)
        # Its content is no part of the page.
        self._in_template = int(namespace == XHTML and name == "template")

    def _end(self, _name: str) -> None:
        if self._in_template > 1:
            self._in_template -= 1
        elif self._skipped:
            self._skipped -= 1
        else:
            self._in_template = 0
            self._namespaces.pop()
            self._builder.end()

    def _text(self, text: str) -> None:
        self._count(len(text))
        if not self._in_template:
            self._builder.text(text)

    def _count(self, chars: int) -> None:
        self._left -= chars
        if self._left < 0:
            raise NotWellFormed("the page's entities make it too large")

    def _doctype(self, _name: str, _system_id: str | None, public_id: str | None, _has_subset: bool) -> None:
        self._public_id = public_id

    def _skip(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            raise NotWellFormed(f"the page has an entity that it does not define, {name[:40]!r}")

    def _entities(self, context: str | None, _base: str | None, _system_id: str | None, public_id: str | None) -> int:
        if public_id is not None and public_id == self._public_id and public_id in _XHTML_DTDS:
            self._parser.ExternalEntityParserCreate(context, "utf-8").Parse(_dtd(), True)
        return 1


def _split(name: str) -> list[str]:
    """Return namespace, local name and prefix of a name as expat tells it."""
    parts = name.split(" ")
    return ["", *parts, ""] if len(parts) == 1 else [*parts, ""][:3]


def _attribute(full_name: str) -> str:
    namespace, local, prefix = _split(full_name)
    prefix = _PREFIXES.get(namespace, prefix)
    return f"{prefix}:{local}" if prefix else local


@cache
def _dtd() -> bytes:
    """Return the declarations of the entities that browsers know."""
    names: dict[str, Any] = {name[:-1]: text for name, text in html5.items() if name.endswith(";")}
    lines = (f'<!ENTITY {name} "{"".join(_reference(char) for char in text)}">' for name, text in names.items())
    return "".join(lines).encode()


def _reference(char: str) -> str:
    # An `&` or `<` in a value is markup, unless it is escaped twice.
    return f"&#38;#{ord(char)};" if char in "&<" else f"&#{ord(char)};"
