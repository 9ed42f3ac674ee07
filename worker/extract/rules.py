"""Items by rules: the fields that `ItemRule` describes, read from a parsed page, or from data. Pure.

A missing single value is None, a missing list is empty. Text is that of the whole element as a reader
sees it: words of different blocks stay apart, and it has no script or style. Whitespace is folded; attributes are
unchanged. What is taken is then converted to the type of its field: see `conversion`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from crawlfleet.shared.brief import CSS, ELEMENTS, JMESPATH, FieldRule, ItemRule
from crawlfleet.shared.field_types import JSON, TEXT
from crawlfleet.shared.web.patterns import Patterns, finder
from crawlfleet.shared.web.urls import parts
from crawlfleet.worker.extract.conversion import Unconvertible, as_text, converter
from crawlfleet.worker.extract.port import Element, ParseEngine
from crawlfleet.worker.extract.selecting import Node, as_list, check, finding, first, matching, selection
from crawlfleet.worker.extract.sheet import Sheet, sample_of
from crawlfleet.worker.extract.taking import Take, taking

#: From the sheet of a page, and the element, or the part of data, at hand.
Read = Callable[[Sheet, Node], Any]


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
        key = f"items.{rule.name}"
        select = selection(self._engine, rule.by, rule.each, f"{key}.each")
        readers = self._readers(rule.fields, _Place(rule.name, "", f"{key}.fields"))
        is_for, is_of_json = self._is_for(rule, key), reads_json(rule)

        def items(sheet: Sheet) -> Iterator[Found]:
            node = sheet.document if is_of_json else sheet.page.root
            if node is None or not is_for(sheet, node):
                return
            for found in select(sheet, node):
                sheet.lacking.clear()
                fields = {name: read(sheet, found) for name, read in readers}
                yield Found(fields, "; ".join(sheet.lacking)) if sheet.lacking else Found(fields)

        return items

    def check(self, selector: str, where: str) -> None:
        """Raise `UsageError` for an invalid selector; `where` is its key in the job."""
        check(self._engine, selector, where)

    def _is_for(self, rule: ItemRule, key: str) -> Callable[[Sheet, Node], bool]:
        """Return what says whether an item is looked for in a page: by its address, and by what must be there."""
        patterns = Patterns(rule.urls)
        when = matching(self._engine, rule.when_by, rule.when, f"{key}.when") if rule.when else None

        def is_for(sheet: Sheet, node: Node) -> bool:
            if patterns and not patterns.match(parts(sheet.page.url).path):
                return False
            return when is None or when(sheet, node)

        return is_for

    def _readers(self, rules: tuple[FieldRule, ...], place: _Place) -> list[tuple[str, Read]]:
        return [(rule.name, self._reader(rule, place.below(rule.name))) for rule in rules]

    def _reader(self, rule: FieldRule, place: _Place) -> Read:
        values = self._nest(rule, place) if rule.fields else self._values(rule, place)
        return _demanding(values, rule, place) if rule.required or rule.default is not None else values

    def _nest(self, rule: FieldRule, place: _Place) -> Read:
        select = selection(self._engine, rule.by, rule.selector, place.key)
        readers = self._readers(rule.fields, place)
        if rule.many:
            return lambda sheet, node: [
                {name: read(sheet, found) for name, read in readers} for found in select(sheet, node)
            ]

        def first_of(sheet: Sheet, node: Node) -> Any:
            found = select(sheet, node)[:1]
            return {name: read(sheet, found[0]) for name, read in readers} if found else None

        return first_of

    def _values(self, rule: FieldRule, place: _Place) -> Read:
        if rule.by not in ELEMENTS:
            return self._of_data(rule, place)
        take = taking(self._engine, rule)
        is_plain = rule.type == TEXT and not rule.pattern and rule.join is None
        if rule.by == CSS and is_plain:
            return self._plain(rule, take, place)
        select, finish = selection(self._engine, rule.by, rule.selector, place.key), _finishing(rule, place)
        return lambda sheet, node: finish(sheet, [take(sheet, found) for found in select(sheet, node)])

    def _of_data(self, rule: FieldRule, place: _Place) -> Read:
        find, finish = finding(rule.by, rule.selector, place.key), _finishing(rule, place)
        # A list is a value of JSON like any other.
        is_one = rule.type == JSON and not rule.many and rule.join is None

        def read(sheet: Sheet, node: Node) -> Any:
            found = find(sheet, node)
            return finish(sheet, [found] if is_one and found is not None else as_list(found))

        return read

    def _plain(self, rule: FieldRule, take: Take, place: _Place) -> Read:
        """Return what most fields are, texts and attributes as they are, on a shorter way."""
        if rule.many:
            select = selection(self._engine, rule.by, rule.selector, place.key)
            return lambda sheet, element: [take(sheet, found) for found in select(sheet, element)]
        if not rule.selector:
            return take
        find = first(self._engine, rule.selector, place.key)

        def first_text(sheet: Sheet, element: Element) -> Any:
            found = find(element)
            return take(sheet, found) if found is not None else None

        return first_text


def reads_json(rule: ItemRule) -> bool:
    """Say whether an item is of JSON answers: its `each` is JMESPath, or a field of it if it has none."""
    return rule.by == JMESPATH or (not rule.each and any(_asks_json(field) for field in rule.fields))


def _asks_json(rule: FieldRule) -> bool:
    return rule.by == JMESPATH


def is_empty(value: Any) -> bool:
    """Say whether a field has nothing: no value, an empty text, or a list without a value."""
    return value is None or value == "" or (isinstance(value, list) and all(map(is_empty, value)))


def _finishing(rule: FieldRule, place: _Place) -> Callable[[Sheet, list[Any]], Any]:
    """Return what makes the value of a field of what was taken: of all matches, in order."""
    find = finder(rule.pattern) if rule.pattern else None
    convert, is_text = converter(rule), rule.type == TEXT

    def converted(sheet: Sheet, value: Any) -> Any:
        if value is None or (isinstance(value, str) and not value and not is_text):
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
            found = (find(value) for value in map(as_text, values) if value is not None)
            values = [value for value in found if value is not None]
        if rule.join is not None:
            values = [rule.join.join(filter(None, map(as_text, values)))] if values else []
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
