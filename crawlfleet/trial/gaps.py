"""Why fields of a page are empty, and what would match in the place of their selectors. Pure.

It selects by the functions that rules select by, in a tree of its own: a hook may have changed the other one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from crawlfleet.shared.brief import CSS, JMESPATH, JSONLD, MICRODATA, OPENGRAPH, XPATH, Brief, FieldRule, ItemRule
from crawlfleet.shared.messages import Row, Unconverted
from crawlfleet.shared.web.patterns import Patterns, finder
from crawlfleet.shared.web.urls import parts
from crawlfleet.trial.nearest import Names, nearest
from crawlfleet.trial.nearest_paths import data_hint, names_hint, nearest_xpath
from crawlfleet.tried import Gap
from crawlfleet.worker.extract.conversion import as_text
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.port import ParseFault
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.extract.rules import is_empty, reads_json
from crawlfleet.worker.extract.selecting import Node, matching, selection
from crawlfleet.worker.extract.sheet import Sheet, sample_of
from crawlfleet.worker.extract.taking import Take, taking
from crawlfleet.worker.fetch.port import Fetched

#: How long all hints of a page may take.
MOST_TIME_S = 2.0
MOST_GAPS = 200
SAMPLE_CHARS = 60
_TRIED = 20


def gaps_of(
    brief: Brief, fetched: Fetched, rows: Sequence[Row], unconverted: Sequence[Unconverted] = ()
) -> tuple[Gap, ...]:
    """Return the fields that are empty in some of the rows of a page, and the items without any."""
    engine = open_engine(brief.parse.engine)
    finder_ = _Finder(Sheet(Page(fetched, engine=engine)), unconverted)
    found: list[Gap] = []
    for rule in brief.items:
        found += finder_.of_item(rule, [row for row in rows if row.item == rule.name])
    known = {rule.name for rule in brief.items}
    others = dict.fromkeys(row.item for row in rows if row.item not in known and brief.hook is not None)
    for item in others:
        found += _of_hook(item, [row.fields for row in rows if row.item == item])
    return tuple(found[:MOST_GAPS])


def _of_hook(item: str, rows: list[dict[str, Any]]) -> Iterator[Gap]:
    for field in dict.fromkeys(name for row in rows for name in row):
        empty = sum(field in row and is_empty(row[field]) for row in rows)
        if empty:
            yield Gap(item=item, field=field, empty=empty, rows=len(rows))


class _Finder:
    """Finds the gaps of one page."""

    def __init__(self, sheet: Sheet, unconverted: Sequence[Unconverted]) -> None:
        self._sheet = sheet
        self._engine = sheet.page.engine
        self._unconverted = {(each.item, each.field): each for each in unconverted}
        self._until = time.monotonic() + MOST_TIME_S

    def of_item(self, rule: ItemRule, rows: list[Row]) -> Iterator[Gap]:
        try:
            node = self._sheet.document if reads_json(rule) else self._sheet.page.root
        except ParseFault:
            return
        if not rows:
            yield Gap(item=rule.name, field="", empty=0, rows=0, hint=self._why_no_item(rule, node))
            return
        nodes = selection(self._engine, rule.by, rule.each, "each")(self._sheet, node) if node is not None else []
        rows = [row for row in rows if row.index < len(nodes)]
        places = [nodes[row.index] for row in rows]
        yield from self._of_fields(rule.fields, rule.name, "", [row.fields for row in rows], places)

    def _of_fields(
        self, rules: tuple[FieldRule, ...], item: str, path: str, rows: list[dict[str, Any]], nodes: list[Node]
    ) -> Iterator[Gap]:
        for rule in rules:
            name = f"{path}.{rule.name}" if path else rule.name
            lacking = [index for index, row in enumerate(rows) if is_empty(row.get(rule.name))]
            if lacking:
                hint = self._hint(rule, item, name, nodes[lacking[0]])
                yield Gap(item=item, field=name, empty=len(lacking), rows=len(rows), hint=hint)
            if rule.fields:
                yield from self._of_fields(rule.fields, item, name, *self._below(rule, rows, nodes))

    def _below(
        self, rule: FieldRule, rows: list[dict[str, Any]], nodes: list[Node]
    ) -> tuple[list[dict[str, Any]], list[Node]]:
        """Return the parts of a nested field in all rows, and where each was found."""
        select = selection(self._engine, rule.by, rule.selector, rule.name)
        below, places = [], []
        for row, node in zip(rows, nodes, strict=True):
            value = row.get(rule.name)
            some = value if isinstance(value, list) else [value]
            for part, place in zip(some, select(self._sheet, node), strict=False):
                if isinstance(part, dict):
                    below.append(part)
                    places.append(place)
        return below, places

    def _why_no_item(self, rule: ItemRule, node: Node) -> str:
        path = parts(self._sheet.page.url).path
        if rule.urls and not Patterns(rule.urls).match(path):
            return f"its `urls` do not match {path}"
        if node is None:
            return "the page is no JSON" if reads_json(rule) else "the page is neither HTML nor XML"
        if rule.when and not matching(self._engine, rule.when_by, rule.when, "when")(self._sheet, node):
            return f"its `when` finds nothing: {self._nothing(rule.when_by, rule.when, node, None)}"
        if rule.each:
            return self._nothing(rule.by, rule.each, node, None)
        return ""

    def _hint(self, rule: FieldRule, item: str, name: str, node: Node) -> str:
        """Say why a field is empty at one place."""
        found = selection(self._engine, rule.by, rule.selector, name)(self._sheet, node)
        take: Take | None = taking(self._engine, rule) if rule.by in (CSS, XPATH) else None
        if not found:
            return self._nothing(rule.by, rule.selector, node, take)
        taken = [take(self._sheet, each) if take is not None else each for each in found[:_TRIED]]
        texts = [value for value in taken if not is_empty(value)]
        matches = f"`{rule.selector}` finds {_number(found)}" if rule.selector else "it is the element itself"
        if not texts and rule.take == "attr":
            names = [key for key in self._engine.attributes(found[0]) if key]
            return f"{matches}, without the attribute {rule.attr}{names_hint(rule.attr, names)}"
        if not texts:
            return f"{matches}, without a {'text' if take is not None else 'value'}"
        if rule.pattern and all(finder(rule.pattern)(as_text(each) or "") is None for each in texts):
            return f"{matches}, but `re` does not match {_sample(texts[0])}"
        told = self._unconverted.get((item, name))
        return f"{_sample(told.sample if told is not None else texts[0])} is no {rule.type}"

    def _nothing(self, by: str, selector: str, node: Node, take: Take | None) -> str:
        """Say that a selector finds nothing, and what would."""
        if by in (JSONLD, MICRODATA):
            data = self._sheet.linked_data if by == JSONLD else self._sheet.microdata
            return data_hint(selector, data) if data.get("@graph") else f"the page has no {by}"
        if by == OPENGRAPH:
            names = list(self._sheet.open_graph)
            return (
                f"the page has no `{selector}`{names_hint(selector, names)}" if names else "the page has no OpenGraph"
            )
        if by == JMESPATH:
            return data_hint(selector, node)
        if time.monotonic() > self._until:
            return f"`{selector}` finds nothing"
        elsewhere = self._elsewhere(by, selector)
        near = self._nearest_xpath(selector, node) if by == XPATH else self._nearest_css(selector, node, take)
        return f"`{selector}` finds nothing{elsewhere}{near}"

    def _elsewhere(self, by: str, selector: str) -> str:
        """Say that a selector that finds nothing in an item finds something in the page."""
        found = selection(self._engine, by, selector, "")(self._sheet, self._sheet.page.root)
        return f" here, but {_number(found)} elsewhere in the page: is `each` too narrow?" if found else ""

    def _nearest_css(self, css: str, node: Node, take: Take | None) -> str:
        def has_value(elements: list[Any]) -> bool:
            return take is None or any(not is_empty(take(self._sheet, each)) for each in elements[:_TRIED])

        found = nearest(self._engine, node, css, has_value)
        return (
            f"; nearest: `{found.css}`, {_number(found.elements)}{self._shown(found.elements, take)}" if found else ""
        )

    def _nearest_xpath(self, expression: str, node: Node) -> str:
        found = nearest_xpath(expression, lambda compiled: self._sheet.tree.select(node, compiled), self._names())
        return f"; nearest: `{found[0]}`, {_number(found[1])}" if found else ""

    def _names(self) -> list[str]:
        """Return the classes and the ids of the page."""
        names = Names.of(self._engine, self._sheet.page.root).by_kind
        return [*names["."], *names["#"]]

    def _shown(self, elements: list[Any], take: Take | None) -> str:
        values = [take(self._sheet, each) for each in elements[:_TRIED]] if take is not None else []
        value = next((value for value in values if not is_empty(value)), None)
        return f": {_sample(value)}" if value is not None else ""


def _number(found: Sequence[Any]) -> str:
    return "1 match" if len(found) == 1 else f"{len(found):,} matches"


def _sample(value: Any) -> str:
    text = sample_of(value)
    return repr(text if len(text) <= SAMPLE_CHARS else f"{text[:SAMPLE_CHARS]}...")
