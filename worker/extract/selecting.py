"""Finds what a rule selects: elements by CSS or XPath, or values of data by JMESPath. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from crawlfleet.shared import json_paths, xpaths
from crawlfleet.shared.brief import CSS, ELEMENTS, JMESPATH, JSONLD, MICRODATA, OPENGRAPH, XPATH
from crawlfleet.shared.errors import UsageError
from crawlfleet.worker.extract.port import Element, ParseEngine
from crawlfleet.worker.extract.sheet import Sheet

#: What a rule stands at: an element of a page, or a part of data.
Node: TypeAlias = Any
#: From a sheet and a node.
Select = Callable[[Sheet, Node], list[Any]]
Find = Callable[[Sheet, Node], Any]


def check(engine: ParseEngine, selector: str, where: str) -> None:
    """Raise `UsageError` for a CSS selector that cannot be used; `where` is its key in the job."""
    if not engine.check(selector):
        raise UsageError(f"{where}: {selector!r} is no CSS selector that can be used; correct it")


def selection(engine: ParseEngine, by: str, selector: str, where: str) -> Select:
    """Return what selects elements, in the order of the page; or parts of data, of which a list has several.

    Without a selector that is the node itself. Raise `UsageError` for an invalid one.
    """
    if by not in ELEMENTS:
        find = finding(by, selector, where)
        return lambda sheet, node: as_list(find(sheet, node))
    if not selector:
        return lambda _, node: [node]
    if by == XPATH:
        expression = _checked(xpaths.compiled, selector, where)
        return lambda sheet, node: sheet.tree.select(node, expression)
    check(engine, selector, where)
    select = engine.select
    return lambda _, element: select(element, selector)


def first(engine: ParseEngine, selector: str, where: str) -> Callable[[Element], Element | None]:
    """Return what finds the first match of a CSS selector."""
    check(engine, selector, where)
    find = engine.first
    return lambda element: find(element, selector)


def finding(by: str, selector: str, where: str) -> Find:
    """Return what finds a part of data: of the node (`jmespath`), or of what the page says."""
    if by == OPENGRAPH:
        name = selector.lower()
        return lambda sheet, _: sheet.open_graph.get(name) or sheet.open_graph.get(f"og:{name}")
    search = _checked(json_paths.compiled, selector, where) if selector else lambda data: data
    return {
        JMESPATH: lambda _, node: search(node),
        JSONLD: lambda sheet, _: search(sheet.linked_data),
        MICRODATA: lambda sheet, _: search(sheet.microdata),
    }[by]


def as_list(found: Any) -> list[Any]:
    """Return the parts of what was found: the members of a list, else the one part there is."""
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def matching(engine: ParseEngine, by: str, selector: str, where: str) -> Callable[[Sheet, Node], bool]:
    """Return what says whether a selector finds anything that is not empty, false or zero."""
    if by == CSS:
        find = first(engine, selector, where)
        return lambda sheet, _: sheet.page.root is not None and find(sheet.page.root) is not None
    select = selection(engine, by, selector, where)
    # An element may be false, as one without children is in some libraries.
    return lambda sheet, node: any(each is not None and each not in _NOTHING for each in select(sheet, node))


_NOTHING = ("", 0, False)


def _checked(compiled: Callable[[str], Any], text: str, where: str) -> Any:
    try:
        return compiled(text)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
