"""The nearest CSS selector that would match, for one that matches nothing: the cheapest of some changes. Pure.

A selector is changed a step at a time, cheap changes first (Dijkstra): another name that the page has (by `difflib`),
`.x` for `#x`, a descendant for a child, a simple selector less, a step less. The first one that matches is the nearest.
How many are tried, and for how long, is bounded.
"""

from __future__ import annotations

import difflib
import heapq
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import NamedTuple

from crawlfleet.trial.css_steps import Step, Steps, alternatives, attribute_of, kind_of, text_of
from crawlfleet.worker.extract.port import Element, ParseEngine

MOST_TRIES = 300
MOST_TIME_S = 0.5
MOST_COST = 4.0
MOST_ELEMENTS = 20_000
MOST_NAMES = 1_000
SIMILAR = 0.6
# Names of elements are short, and few are written wrong.
SIMILAR_TAG = 0.8
# What an edit costs, beside the distance of a name.
_DROPPED = {".": 1.0, "#": 1.0, "[": 0.9, ":": 0.7, "": 0.8}
_OTHER_KIND, _NOT_CHILD, _STEP_LESS, _LAST_STEP_LESS = 0.3, 0.4, 1.2, 2.5
# By themselves they say nothing.
_ANYTHING = frozenset({"div", "span", "*"})

Accept = Callable[[list[Element]], bool]


class Nearest(NamedTuple):
    """A selector that matches, and its matches."""

    css: str
    elements: list[Element]


class Names(NamedTuple):
    """The names in a part of a page, by the kind of simple selector that they stand in."""

    by_kind: dict[str, list[str]]

    @classmethod
    def of(cls, engine: ParseEngine, element: Element) -> Names:
        """Collect the names of elements, classes, ids and attributes below an element, the most of each."""
        found: dict[str, dict[str, None]] = {"": {}, ".": {}, "#": {}, "[": {}}
        for each in islice(engine.select(element, "*"), MOST_ELEMENTS):
            attributes = engine.attributes(each)
            found[""][engine.tag(each)] = None
            found["["].update(dict.fromkeys(attributes))
            found["."].update(dict.fromkeys((attributes.get("class") or "").split()))
            if attributes.get("id"):
                found["#"][attributes["id"] or ""] = None
        return cls({kind: list(islice(filter(_is_plain, names), MOST_NAMES)) for kind, names in found.items()})


def nearest(engine: ParseEngine, element: Element, css: str, accept: Accept) -> Nearest | None:
    """Return the nearest selector whose matches, below an element, are accepted; None if there is none near."""
    search = _Search(engine, element, accept)
    for steps in alternatives(css):
        search.put(0.0, steps)
    return search.run()


class _Search:
    def __init__(self, engine: ParseEngine, element: Element, accept: Accept) -> None:
        self._engine = engine
        self._element = element
        self._accept = accept
        self._names = Names.of(engine, element)
        self._heap: list[tuple[float, int, Steps]] = []
        self._order = count()
        self._seen: set[Steps] = set()
        self._similar: dict[str, list[tuple[float, str]]] = {}

    def put(self, cost: float, steps: Steps) -> None:
        if cost <= MOST_COST and steps not in self._seen:
            heapq.heappush(self._heap, (cost, next(self._order), steps))

    def run(self) -> Nearest | None:
        give_up_at = time.monotonic() + MOST_TIME_S
        while self._heap and len(self._seen) < MOST_TRIES and time.monotonic() < give_up_at:
            cost, _, steps = heapq.heappop(self._heap)
            if steps in self._seen:
                continue
            self._seen.add(steps)
            css = text_of(steps)
            if cost and css not in _ANYTHING and self._engine.check(css):
                elements = self._engine.select(self._element, css)
                if elements and self._accept(elements):
                    return Nearest(css, elements)
            for more, changed in self._changed(steps):
                self.put(cost + more, changed)
        return None

    def _changed(self, steps: Steps) -> Iterator[tuple[float, Steps]]:
        """Yield what a selector becomes by one change, and what that costs."""
        for index, step in enumerate(steps):
            before, after = steps[:index], steps[index + 1 :]
            for more, parts in self._changed_parts(step.parts):
                yield more, (*before, Step(step.combinator, parts), *after)
            if step.combinator != " " and index:
                yield _NOT_CHILD, (*before, Step(" ", step.parts), *after)
            if len(steps) > 1:
                loose = (Step(" ", after[0].parts), *after[1:]) if after else ()
                yield _STEP_LESS if after else _LAST_STEP_LESS, (*before, *loose)

    def _changed_parts(self, parts: tuple[str, ...]) -> Iterator[tuple[float, tuple[str, ...]]]:
        for index, part in enumerate(parts):
            before, after = parts[:index], parts[index + 1 :]
            for more, other in self._others(part):
                yield more, (*before, other, *after)
            if len(parts) > 1:
                yield _DROPPED[kind_of(part)], (*before, *after)

    def _others(self, part: str) -> list[tuple[float, str]]:
        """Return simple selectors with a similar name, or of another kind with the same name, and their distances."""
        if part not in self._similar:
            self._similar[part] = list(self._found_others(part))
        return self._similar[part]

    def _found_others(self, part: str) -> Iterator[tuple[float, str]]:
        kind, names = kind_of(part), self._names.by_kind
        if kind == ":" or part == "*":
            return
        name = attribute_of(part) if kind == "[" else part.removeprefix(kind)
        for other in difflib.get_close_matches(name, names[kind], 3, SIMILAR if kind else SIMILAR_TAG):
            if other != name:
                distance = 1.0 - difflib.SequenceMatcher(None, name, other).ratio()
                yield distance + 0.05, part.replace(name, other, 1) if kind == "[" else kind + other
        for other_kind in (".", "#", "") if kind != "[" else ():
            if other_kind != kind and name in names[other_kind]:
                yield _OTHER_KIND, other_kind + name


def _is_plain(name: str) -> bool:
    """Say whether a name can stand in a selector as it is."""
    return name.isidentifier() or (name[:1].isalpha() and name.replace("-", "_").isidentifier())
