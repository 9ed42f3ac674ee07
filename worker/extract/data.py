"""What pages say in data: JSON answers, JSON-LD, OpenGraph, microdata. Pure.

JSON-LD and microdata become the same form: a dict that has each object by the name of its type (the first of each),
and all objects in their order under `@graph`. What is broken, or nested too deep, is as if it was not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from crawlfleet.shared.field_types import MAX_JSON_DEPTH
from crawlfleet.shared.web.urls import canonicalize
from crawlfleet.worker.extract.port import Element, ParseEngine

GRAPH = "@graph"
TYPE = "@type"
MAX_OBJECTS = 10_000
#: Items may name the same elements again and again (`itemref`).
MAX_STEPS = 1_000_000

_LINKED_DATA = "application/ld+json"
# What scripts are wrapped in, so that old browsers do not show them.
_WRAPPED = re.compile(r"\s*(?:<!--|//\s*<!\[CDATA\[|<!\[CDATA\[)?(.*?)(?:-->|(?://\s*)?\]\]>)?[\s;]*\Z", re.DOTALL)
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
        match = _WRAPPED.match(text)
        try:
            found = json.loads(match[1] if match else text, strict=False)
        except (ValueError, RecursionError):
            return None
    return found


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
        content = attributes.get("content")
        if content is not None and _NAMED.match(name):
            found.setdefault(name, []).append(content.strip())
    return found


def microdata(engine: ParseEngine, root: Element, base: str) -> dict[str, Any]:
    """Return the items of a page's microdata (HTML, 5) as objects."""
    reader = _Microdata(engine, root, base)
    return _by_type(reader.items)


class _Microdata:
    """Reads the items of one page. A property that several elements name is a list."""

    def __init__(self, engine: ParseEngine, root: Element, base: str) -> None:
        self._engine = engine
        self._base = base
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
        attributes = self._engine.attributes(element)
        item: dict[str, Any] = {}
        kinds = [_short(kind) for kind in (attributes.get("itemtype") or "").split()]
        if kinds:
            item[TYPE] = kinds[0] if len(kinds) == 1 else kinds
        if attributes.get("itemid"):
            item["@id"] = canonicalize(attributes["itemid"] or "", self._base) or attributes["itemid"]
        if depth < MAX_JSON_DEPTH - 2:
            self._read(element, item, depth)
            for name in (attributes.get("itemref") or "").split():
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
        attributes = self._engine.attributes(element)
        is_item = "itemscope" in attributes
        names = (attributes.get("itemprop") or "").split()
        if names and self._number < MAX_OBJECTS:
            self._number += 1
            value = self._item(element, depth + 1) if is_item else self._value(element)
            for name in names:
                if name not in item:
                    item[name] = value
                elif isinstance(item[name], list):
                    item[name].append(value)
                else:
                    item[name] = [item[name], value]
        return not is_item

    def _value(self, element: Element) -> str:
        engine = self._engine
        attributes, tag = engine.attributes(element), engine.tag(element)
        if attributes.get("content") is not None:
            return (attributes["content"] or "").strip()
        address = attributes.get(_ADDRESSES.get(tag, ""))
        if address is not None:
            return canonicalize(address, self._base) or address
        value = attributes.get(_VALUES.get(tag, ""))
        return value if value is not None else " ".join(engine.text(element).split())
