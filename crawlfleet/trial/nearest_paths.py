"""How far a path leads that finds nothing: XPath in a page, JMESPath in data. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from crawlfleet.shared import json_paths, xpaths

MOST_NAMED = 8
MOST_STEPS = 20
MOST_TRIES = 50
SIMILAR = 0.6
_OPEN = {"[": "]", "(": ")", "{": "}"}
_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"")
_LAST_NAME = re.compile(r"[\w@-]+")


def nearest_xpath(
    expression: str, select: Callable[[Any], list[Any]], names: Sequence[str]
) -> tuple[str, list[Any]] | None:
    """Return what an expression becomes by one change, or its longest beginning, that selects something.

    `names` are those that stand in the place of similar texts in its conditions.
    """
    for other in islice(dict.fromkeys(_other_xpaths(expression, names)), MOST_TRIES):
        try:
            found = select(xpaths.compiled(other))
        except ValueError:
            continue
        found = [each for each in found if each not in ("", 0, False)]
        if found:
            return other, found
    return None


def _other_xpaths(expression: str, names: Sequence[str]) -> Iterator[str]:
    for match in _LITERAL.finditer(expression):
        for name in difflib.get_close_matches(match[0][1:-1], names, 3, SIMILAR):
            yield f"{expression[: match.start() + 1]}{name}{expression[match.end() - 1 :]}"
    steps = _split(expression, "/")[:MOST_STEPS]
    bare = [step.partition("[")[0] or step for step in steps]
    for number in reversed(range(len(steps))):
        yield "/".join((*steps[:number], bare[number], *steps[number + 1 :]))
    for number in range(len(steps), 0, -1):
        if steps[number - 1]:
            yield "/".join(steps[:number])
            yield "/".join((*steps[: number - 1], bare[number - 1]))


def data_hint(path: str, data: Any) -> str:
    """Say up to where a JMESPath finds something, and what there is."""
    steps = _split(path, ".")[:MOST_STEPS]
    for number in range(len(steps) - 1, -1, -1):
        begin = ".".join(steps[:number])
        there = _found(begin, data)
        if there not in (None, [], {}, ""):
            where = f"`{begin}` is there" if begin else "there is data"
            return f"{where}, but no `{steps[number]}` in it{_has(there, steps[number])}"
    return "there is no such data"


def _found(path: str, data: Any) -> Any:
    try:
        return json_paths.compiled(path)(data) if path else data
    except ValueError:
        return None


def names_hint(name: str, names: list[str]) -> str:
    """Return the nearest of some names, and others, in words; empty if there are none."""
    if not names:
        return ""
    near = difflib.get_close_matches(name, names, 1, SIMILAR)
    others = [f"`{each}`" for each in names if each not in near]
    more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    nearest = f"; nearest: `{near[0]}`" if near else ""
    there = f"; {'also ' if near else ''}there: {', '.join(others[:MOST_NAMED])}{more}" if others else ""
    return f"{nearest}{there}"


def _has(there: Any, step: str) -> str:
    first = next((each for each in there if isinstance(each, dict)), None) if isinstance(there, list) else there
    match = _LAST_NAME.search(step)
    if not isinstance(first, dict):
        return f"; it is {'a list' if isinstance(there, list) else 'a value'}"
    return names_hint(match[0] if match else step, [str(key) for key in first])


def _split(path: str, separator: str) -> list[str]:
    """Split a path at a sign, but not within brackets and quotes."""
    parts, closing, quote = [""], [], ""
    for char in path:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'`":
            quote = char
        elif char in _OPEN:
            closing.append(_OPEN[char])
        elif closing and char == closing[-1]:
            closing.pop()
        elif char == separator and not closing:
            parts.append("")
            continue
        parts[-1] += char
    return parts
