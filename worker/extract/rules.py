"""Items by rules: the fields that `ItemRule` describes, read from a parsed page. Pure.

A missing single value is None, a missing list is empty. Text is that of the whole element as a reader
sees it: words of different blocks stay apart, and it has no script or style. Whitespace is folded; attributes are
unchanged. What is taken is then converted to the type of its field: see `conversion`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from crawlfleet.shared.brief import CSS, FieldRule, ItemRule
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.field_types import TEXT
from crawlfleet.shared.web.patterns import finder
from crawlfleet.worker.extract.conversion import Unconvertible, converter
from crawlfleet.worker.extract.port import Element, ParseEngine
from crawlfleet.worker.extract.sheet import Sheet, sample_of
from crawlfleet.worker.extract.taking import Take, taking

#: From an element, and the sheet of its page.
Read = Callable[[Sheet, Element], Any]
Select = Callable[[Sheet, Element], list[Any]]


class Found(NamedTuple):
    """An item: its fields, and which required ones are missing, in a sentence; empty if none is."""

    fields: dict[str, Any]
    lacks: str = ""


class _Place(NamedTuple):
    """Where a rule stands: its item, the path of its field, and its key in the job, for errors."""

    item: str
    field: str
    key: str

    def below(self, name: str) -> _Place:
        return _Place(self.item, f"{self.field}.{name}" if self.field else name, f"{self.key}.{name}")


class RuleCompiler:
    """Compiles rules into functions, for one parse engine.

    Its methods raise `UsageError` for an invalid selector, and for a type that needs what is not installed.
    """

    def __init__(self, engine: ParseEngine) -> None:
        self._engine = engine

    def item(self, rule: ItemRule) -> Callable[[Sheet], Iterator[Found]]:
        """Return a function from a page's sheet to its items."""
        place = _Place(rule.name, "", f"items.{rule.name}.fields")
        select = self._selection(rule.each, f"items.{rule.name}.each")
        readers = self._readers(rule.fields, place)

        def items(sheet: Sheet) -> Iterator[Found]:
            for element in select(sheet, sheet.page.root):
                sheet.lacking.clear()
                fields = {name: read(sheet, element) for name, read in readers}
                yield Found(fields, "; ".join(sheet.lacking)) if sheet.lacking else Found(fields)

        return items

    def check(self, selector: str, where: str) -> None:
        """Raise `UsageError` for an invalid selector; `where` is its key in the job."""
        if not self._engine.check(selector):
            raise UsageError(f"{where}: {selector!r} is no CSS selector that can be used; correct it")

    def _readers(self, rules: tuple[FieldRule, ...], place: _Place) -> list[tuple[str, Read]]:
        return [(rule.name, self._reader(rule, place.below(rule.name))) for rule in rules]

    def _reader(self, rule: FieldRule, place: _Place) -> Read:
        values = self._nest(rule, place) if rule.fields else self._values(rule, place)
        return _demanding(values, rule, place) if rule.required or rule.default is not None else values

    def _nest(self, rule: FieldRule, place: _Place) -> Read:
        select, readers = self._selection(rule.selector, place.key), self._readers(rule.fields, place)
        if rule.many:
            return lambda sheet, element: [
                {name: read(sheet, found) for name, read in readers} for found in select(sheet, element)
            ]

        def first(sheet: Sheet, element: Element) -> Any:
            found = select(sheet, element)[:1]
            return {name: read(sheet, found[0]) for name, read in readers} if found else None

        return first

    def _values(self, rule: FieldRule, place: _Place) -> Read:
        take = taking(self._engine, rule)
        is_plain = rule.type == TEXT and not rule.pattern and rule.join is None
        if rule.by == CSS and is_plain:
            return self._plain(rule, take, place)
        select = self._selection(rule.selector, place.key)
        finish = _finishing(rule, place)
        return lambda sheet, element: finish(sheet, [take(sheet, found) for found in select(sheet, element)])

    def _plain(self, rule: FieldRule, take: Take, place: _Place) -> Read:
        """Return what most fields are, texts and attributes as they are, on a shorter way."""
        select = self._selection(rule.selector, place.key)
        if rule.many:
            return lambda sheet, element: [take(sheet, found) for found in select(sheet, element)]
        if not rule.selector:
            return take
        find, selector = self._engine.first, rule.selector

        def first(sheet: Sheet, element: Element) -> Any:
            found = find(element, selector)
            return take(sheet, found) if found is not None else None

        return first

    def _selection(self, selector: str, where: str) -> Select:
        if not selector:
            return lambda _, element: [element]
        self.check(selector, where)
        select = self._engine.select
        return lambda _, element: select(element, selector)


def is_empty(value: Any) -> bool:
    """Say whether a field has nothing: no value, an empty text, or a list without a value."""
    return value is None or value == "" or (isinstance(value, list) and all(map(is_empty, value)))


def _finishing(rule: FieldRule, place: _Place) -> Callable[[Sheet, list[Any]], Any]:
    """Return what makes the value of a field of what was taken: of all matches, in order."""
    find = finder(rule.pattern) if rule.pattern else None
    convert, is_text = converter(rule), rule.type == TEXT

    def converted(sheet: Sheet, value: Any) -> Any:
        if value is None or (value == "" and not is_text):
            return None
        try:
            return convert(value, sheet.page)
        except Unconvertible:
            sheet.refuse(place.item, place.field, value)
            if rule.required:
                sheet.lacking.append(f"{place.field} is required, and {sample_of(value)!r} is no {rule.type}")
            return None

    def finish(sheet: Sheet, values: list[Any]) -> Any:
        if find is not None:
            found = (find(value) for value in values if isinstance(value, str))
            values = [value for value in found if value is not None]
        if rule.join is not None:
            values = [rule.join.join(value for value in values if value)] if values else []
        if rule.many:
            return [converted(sheet, value) for value in values]
        return converted(sheet, values[0]) if values else None

    return finish


def _demanding(read: Read, rule: FieldRule, place: _Place) -> Read:
    """Put the default in the place of an empty value; note that a required field is empty."""

    def demanding(sheet: Sheet, element: Element) -> Any:
        failed, lacking = sheet.refused, len(sheet.lacking)
        value = read(sheet, element)
        if not is_empty(value):
            return value
        if rule.default is not None and sheet.refused == failed:
            return rule.default
        if rule.required and len(sheet.lacking) == lacking:
            sheet.lacking.append(f"{place.field} is required, and empty")
        return value

    return demanding
