"""What a rule takes of an element: its text, an attribute, its markup. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crawlfleet.shared.brief import CSS, FieldRule
from crawlfleet.worker.extract.markup import markdown
from crawlfleet.worker.extract.port import Element, ParseEngine
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


def _attr(engine: ParseEngine, rule: FieldRule) -> Take:
    return lambda _, element: _attribute(engine.attributes(element), rule.attr)


def _html(engine: ParseEngine, _rule: FieldRule) -> Take:
    return lambda _, element: engine.html(element)


def _markdown(engine: ParseEngine, _rule: FieldRule) -> Take:
    def take(sheet: Sheet, element: Element) -> str:
        try:
            return markdown(engine.html(element), sheet.page.base)
        except RecursionError:
            return " ".join(engine.text(element).split())

    return take


_VALUES = (str, bool, int, float)
_OF_ELEMENTS: dict[str, Callable[[ParseEngine, FieldRule], Take]] = {
    "text": _text,
    "attr": _attr,
    "html": _html,
    "markdown": _markdown,
}


def _attribute(attributes: Mapping[str, str | None], name: str) -> str | None:
    # By the standard, an attribute without a value has an empty one.
    return (attributes[name] or "") if name in attributes else None
