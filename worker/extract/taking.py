"""What a rule takes of an element: its text, an attribute, its markup. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crawlfleet.shared.brief import FieldRule
from crawlfleet.worker.extract.port import Element, ParseEngine
from crawlfleet.worker.extract.sheet import Sheet

Take = Callable[[Sheet, Element], Any]


def taking(engine: ParseEngine, rule: FieldRule) -> Take:
    """Return a function from an element to what a rule takes of it."""
    if rule.take == "attr":
        return lambda _, element: _attribute(engine.attributes(element), rule.attr)
    return lambda _, element: " ".join(engine.text(element).split())


def _attribute(attributes: Mapping[str, str | None], name: str) -> str | None:
    # By the standard, an attribute without a value has an empty one.
    return (attributes[name] or "") if name in attributes else None
