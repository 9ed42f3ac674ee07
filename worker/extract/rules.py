"""Items by CSS rules: the fields that `ItemRule` describes, read from a parsed page. Pure.

A missing single value is None, a missing list is empty. Text is that of the whole element as a reader
sees it: words of different blocks stay apart, and it has no script or style. Whitespace is folded; attributes are
unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crawlfleet.shared.brief import FieldRule, ItemRule
from crawlfleet.shared.errors import UsageError
from crawlfleet.worker.extract.port import Element, ParseEngine

Read = Callable[[Element], Any]
Select = Callable[[Element], list[Element]]


class RuleCompiler:
    """Compiles rules into functions, for one parse engine. Its methods raise `UsageError` for an invalid selector."""

    def __init__(self, engine: ParseEngine) -> None:
        self._engine = engine

    def item(self, rule: ItemRule) -> Callable[[Element], Iterator[dict[str, Any]]]:
        """Return a function from a page's root to the fields of its items."""
        select = self._selection(rule.each, f"items.{rule.name}.each")
        readers = self._readers(rule.fields, f"items.{rule.name}.fields")

        def items(root: Element) -> Iterator[dict[str, Any]]:
            for element in select(root):
                yield {name: read(element) for name, read in readers}

        return items

    def check(self, selector: str, where: str) -> None:
        """Raise `UsageError` for an invalid selector; `where` is its key in the job."""
        if not self._engine.check(selector):
            raise UsageError(f"{where}: {selector!r} is no CSS selector that can be used; correct it")

    def _readers(self, rules: tuple[FieldRule, ...], where: str) -> list[tuple[str, Read]]:
        return [(rule.name, self._reader(rule, f"{where}.{rule.name}")) for rule in rules]

    def _reader(self, rule: FieldRule, where: str) -> Read:
        select, take = self._selection(rule.selector, where), self._taking(rule, where)
        if rule.many:
            return lambda element: [take(found) for found in select(element)]
        if not rule.selector:
            return take
        find, selector = self._engine.first, rule.selector

        def first(element: Element) -> Any:
            found = find(element, selector)
            return take(found) if found is not None else None

        return first

    def _selection(self, selector: str, where: str) -> Select:
        if not selector:
            return lambda element: [element]
        self.check(selector, where)
        select = self._engine.select
        return lambda element: select(element, selector)

    def _taking(self, rule: FieldRule, where: str) -> Read:
        if rule.fields:
            readers = self._readers(rule.fields, where)
            return lambda element: {name: read(element) for name, read in readers}
        engine = self._engine
        if rule.take == "attr":
            return lambda element: _attribute(engine.attributes(element), rule.attr)
        return lambda element: " ".join(engine.text(element).split())


def _attribute(attributes: Mapping[str, str | None], name: str) -> str | None:
    # By the standard, an attribute without a value has an empty one.
    return (attributes[name] or "") if name in attributes else None
