"""Items by CSS rules: the fields that `ItemRule` describes, read from a parsed page. Pure.

A missing single value is None, a missing list is empty. Texts are those of the whole element, whitespace folded;
attributes are as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from shared.errors import UsageError
from shared.messages import FieldRule, ItemRule

Read = Callable[[LexborNode], Any]
Select = Callable[[LexborNode], list[LexborNode]]


def compile_item(rule: ItemRule) -> Callable[[LexborNode], Iterator[dict[str, Any]]]:
    """Make a function from a page's root to the fields of its items; raise `UsageError` for a broken selector."""
    select = _selection(rule.each, f"items.{rule.name}.each")
    readers = _readers(rule.fields, f"items.{rule.name}.fields")

    def items(root: LexborNode) -> Iterator[dict[str, Any]]:
        for node in select(root):
            yield {name: read(node) for name, read in readers}

    return items


def check_selector(selector: str, where: str) -> None:
    """Raise `UsageError` if a selector cannot be parsed; `where` is its key in the job."""
    try:
        LexborHTMLParser("").css(selector)
    except SelectolaxError as error:
        raise UsageError(f"{where}: {selector!r} is no CSS selector that can be used; correct it") from error


def _readers(rules: tuple[FieldRule, ...], where: str) -> list[tuple[str, Read]]:
    return [(rule.name, _reader(rule, f"{where}.{rule.name}")) for rule in rules]


def _reader(rule: FieldRule, where: str) -> Read:
    select, take = _selection(rule.selector, where), _taking(rule, where)
    if rule.many:
        return lambda node: [take(found) for found in select(node)]

    def first(node: LexborNode) -> Any:
        found = select(node)
        return take(found[0]) if found else None

    return first


def _selection(selector: str, where: str) -> Select:
    if not selector:
        return lambda node: [node]
    check_selector(selector, where)
    if "," not in selector:
        return lambda node: node.css(selector)
    # An element that several selectors of a list match is found once for each.
    return lambda node: list({found.mem_id: found for found in node.css(selector)}.values())


def _taking(rule: FieldRule, where: str) -> Read:
    if rule.fields:
        readers = _readers(rule.fields, where)
        return lambda node: {name: read(node) for name, read in readers}
    if rule.take == "attr":
        return lambda node: _attribute(node, rule.attr)
    return _text


def _text(node: LexborNode) -> str:
    return " ".join(node.text().split())


def _attribute(node: LexborNode, name: str) -> str | None:
    attributes = node.attributes
    # The parser tells an attribute without a value as None; by the standard its value is empty.
    return (attributes[name] or "") if name in attributes else None
