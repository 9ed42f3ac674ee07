"""What pages say in data: JSON answers, JSON-LD, OpenGraph, microdata. Pure.

JSON-LD and microdata become the same form: a dict that has each object by the name of its type (the first of each),
and all objects in their order under `@graph`. What is broken, or nested too deep, is as if it was not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from crawlfleet.shared.field_types import MAX_JSON_DEPTH
from crawlfleet.worker.extract.port import Element, ParseEngine

#: From an address of a page to its URL; None if it gives none.
Resolve = Callable[[str], str | None]

GRAPH = "@graph"
TYPE = "@type"
MAX_OBJECTS = 10_000
#: Items may name the same elements again and again (`itemref`), and lie in the text of each other.
MAX_STEPS = 1_000_000
CHARS_A_STEP = 64

_LINKED_DATA = "application/ld+json"
# What scripts are wrapped in, so that old browsers do not show them.
_WRAPPED = re.compile(r"\s*+(?:<!--|(?://\s*+)?<!\[CDATA\[)?+")
_NAMED = re.compile(r"og:|[a-z]+:[a-z_:]+", re.IGNORECASE)
_ADDRESSES = dict.fromkeys(("a", "area", "link"), "href")
_ADDRESSES |= dict.fromkeys(("audio", "embed", "iframe", "img", "source", "track", "video"), "src")
_ADDRESSES |= {"object": "data"}
_VALUES = {"data": "value", "meter": "value", "time": "datetime"}


def parsed(text: str | bytes) -> Any:
    """Return a JSON document; None if it cannot be read."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def linked_data(engine: ParseEngine, root: Element) -> dict[str, Any]:
    """Return the objects of a page's JSON-LD."""
    found: list[dict[str, Any]] = []
    for script in engine.named(root, "script"):
        kind = engine.attributes(script).get("type") or ""
        if kind.partition(";")[0].strip().lower() == _LINKED_DATA:
            found += islice(_objects(_tolerant(engine.text(script))), MAX_OBJECTS - len(found))
    return _by_type(found)


def _tolerant(text: str) -> Any:
    """Return a JSON document in which texts may have line ends, which is what is wrong with most that are broken."""
    found = parsed(text)
    if found is None:
        try:
            found = json.loads(_unwrapped(text), strict=False)
        except (ValueError, RecursionError):
            return None
    return found


def _unwrapped(text: str) -> str:
    """Return a script without what it is wrapped in, and without blanks and semicolons at its end."""
    begin, end = _WRAPPED.match(text), len(text)
    assert begin is not None, "it matches nothing at all, too"
    while end and (text[end - 1].isspace() or text[end - 1] == ";"):
        end -= 1
    text = text[begin.end() : end]
    if text.endswith("]]>"):
        return text.removesuffix("]]>").rstrip().removesuffix("//")
    return text.removesuffix("-->")


def _objects(data: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a document: itself, the members of a list, those of a graph."""
    for each in data if isinstance(data, list) else [data]:
        if isinstance(each, dict):
            graph = each.get(GRAPH)
            if TYPE in each or not isinstance(graph, list):
                yield each
            yield from (member for member in graph if isinstance(member, dict)) if isinstance(graph, list) else ()


def _by_type(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for each in objects:
        kinds = each.get(TYPE)
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if isinstance(kind, str):
                named.setdefault(_short(kind), each)
    return {**named, GRAPH: list(objects)}


def _short(kind: str) -> str:
    """Return the name of a type, without the vocabulary that it belongs to."""
    return re.split(r"[/#]", kind.rstrip("/#"))[-1]


def open_graph(engine: ParseEngine, root: Element) -> dict[str, list[str]]:
    """Return the contents of a page's OpenGraph properties, by their names in lower case."""
    found: dict[str, list[str]] = {}
    for meta in engine.named(root, "meta"):
        attributes = engine.attributes(meta)
        name = (attributes.get("property") or attributes.get("name") or "").strip().lower()
        if "content" in attributes and _NAMED.match(name):
            found.setdefault(name, []).append((attributes["content"] or "").strip())
    return found


def microdata(engine: ParseEngine, root: Element, resolve: Resolve) -> dict[str, Any]:
    """Return the items of a page's microdata (HTML, 5) as objects."""
    reader = _Microdata(engine, root, resolve)
    return _by_type(reader.items)


class _Microdata:
    """Reads the items of one page. A property that several elements name is a list."""

    def __init__(self, engine: ParseEngine, root: Element, resolve: Resolve) -> None:
        self._engine = engine
        self._resolve = resolve
        self._number = 0
        self._steps = 0
        self._by_id: dict[str, Element] = {}
        self.items: list[dict[str, Any]] = []
        starts = engine.select(root, "[itemscope]")
        if any("itemref" in engine.attributes(each) for each in starts):
            for each in engine.select(root, "[id]"):
                self._by_id.setdefault(engine.attributes(each).get("id") or "", each)
        for start in starts:
            if "itemprop" not in engine.attributes(start):
                self.items.append(self._item(start, 0))

    def _item(self, element: Element, depth: int) -> dict[str, Any]:
        attributes = self._attributes(element)
        item: dict[str, Any] = {}
        kinds = [_short(kind) for kind in (attributes.get("itemtype") or "").split()]
        if kinds:
            item[TYPE] = kinds[0] if len(kinds) == 1 else kinds
        if attributes.get("itemid"):
            item["@id"] = self._resolve(attributes["itemid"] or "") or attributes["itemid"]
        if depth < MAX_JSON_DEPTH - 2:
            self._read(element, item, depth)
            for name in (attributes.get("itemref") or "").split():
                self._steps += 1
                if self._steps > MAX_STEPS:
                    break
                if name in self._by_id:
                    self._note(self._by_id[name], item, depth)
                    self._read(self._by_id[name], item, depth)
        return item

    def _read(self, element: Element, item: dict[str, Any], depth: int) -> None:
        """Read the properties below an element."""
        levels = [iter(self._engine.children(element))]
        while levels:
            child = next(levels[-1], None)
            self._steps += 1
            if child is None:
                levels.pop()
            elif self._steps > MAX_STEPS:
                return
            elif not isinstance(child, str) and self._note(child, item, depth):
                levels.append(iter(self._engine.children(child)))

    def _note(self, element: Element, item: dict[str, Any], depth: int) -> bool:
        """Add the properties that an element names; say whether those below it belong to the same item."""
        attributes = self._attributes(element)
        is_item = "itemscope" in attributes
        names = (attributes.get("itemprop") or "").split()
        if names and self._number < MAX_OBJECTS and self._steps <= MAX_STEPS:
            self._number += 1
            value = self._item(element, depth + 1) if is_item else self._value(element, attributes)
            for name in names:
                if name not in item:
                    item[name] = value
                elif isinstance(item[name], list):
                    item[name].append(value)
                else:
                    item[name] = [item[name], value]
        return not is_item

    def _value(self, element: Element, attributes: Mapping[str, str | None]) -> str:
        engine = self._engine
        tag = engine.tag(element)
        if "content" in attributes:
            return (attributes["content"] or "").strip()
        place = _ADDRESSES.get(tag, "")
        if place in attributes:
            address = attributes[place] or ""
            return self._resolve(address) or address
        place = _VALUES.get(tag, "")
        if place in attributes:
            return attributes[place] or ""
        text = engine.text(element)
        self._steps += len(text) // CHARS_A_STEP
        return " ".join(text.split())

    def _attributes(self, element: Element) -> Mapping[str, str | None]:
        """Return an element's attributes: each time they are read they are copied."""
        attributes = self._engine.attributes(element)
        self._steps += sum(len(value or "") for value in attributes.values()) // CHARS_A_STEP
        return attributes
