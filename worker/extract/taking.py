"""What a rule takes of an element: its text, an attribute, its markup. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crawlfleet.shared.brief import CSS, FieldRule
from crawlfleet.worker.extract.markup import markdown
from crawlfleet.worker.extract.port import BLOCKS, Element, ParseEngine
from crawlfleet.worker.extract.sheet import Sheet

Take = Callable[[Sheet, Element], Any]


def taking(engine: ParseEngine, rule: FieldRule) -> Take:
    """Return a function from an element to what a rule takes of it."""
    take = _OF_ELEMENTS[rule.take](engine, rule)
    if rule.by == CSS:
        return take
    # XPath may select texts, numbers and truths, too: those are taken as they are.
    return lambda sheet, found: found if isinstance(found, _VALUES) else take(sheet, found)


def _text(engine: ParseEngine, _rule: FieldRule) -> Take:
    return lambda _, element: " ".join(engine.text(element).split())


def _own_text(engine: ParseEngine, _rule: FieldRule) -> Take:
    """Take the texts that stand directly in an element; another element between two parts no word, but a block does."""

    def take(_: Sheet, element: Element) -> str:
        own = (
            part if isinstance(part, str) else " " * (engine.tag(part) in BLOCKS) for part in engine.children(element)
        )
        return " ".join("".join(own).split())

    return take


def _attr(engine: ParseEngine, rule: FieldRule) -> Take:
    attribute, name = engine.attribute, rule.attr
    return lambda _, element: attribute(element, name)


def _html(engine: ParseEngine, _rule: FieldRule) -> Take:
    return lambda _, element: engine.html(element)


def _markdown(engine: ParseEngine, _rule: FieldRule) -> Take:
    def take(sheet: Sheet, element: Element) -> str:
        try:
            return markdown(engine.html(element), sheet.page.resolve)
        except RecursionError:
            return " ".join(engine.text(element).split())

    return take


_VALUES = (str, bool, int, float)
_OF_ELEMENTS: dict[str, Callable[[ParseEngine, FieldRule], Take]] = {
    "text": _text,
    "own-text": _own_text,
    "attr": _attr,
    "html": _html,
    "markdown": _markdown,
}
