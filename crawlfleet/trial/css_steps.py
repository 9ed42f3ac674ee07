"""CSS selectors taken apart, so that one can be changed a little: steps of simple selectors. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_STRING = r'"(?:\\.|[^"\\])*"|' + r"'(?:\\.|[^'\\])*'"
_NAME = r"(?:\\.|[\w-]|[^\x00-\x7f])+"
_BRACKETS = rf"\[(?:{_STRING}|[^\]\"'])*\]"
_PSEUDO = rf"::?{_NAME}(?:\((?:{_STRING}|[^()\"']|\((?:{_STRING}|[^()\"'])*\))*\))?"
_TOKEN = re.compile(
    rf"(?P<comma>\s*,\s*)|(?P<combinator>\s*[>+~]\s*|\s+)|(?P<simple>{_BRACKETS}|{_PSEUDO}|[.#]?{_NAME}|\*)", re.DOTALL
)
_ATTRIBUTE = re.compile(rf"\[\s*({_NAME})")


class Step(NamedTuple):
    """A compound selector: its simple selectors, and what stands before it: a blank, `>`, `+` or `~`."""

    combinator: str
    parts: tuple[str, ...]


Steps = tuple[Step, ...]


def alternatives(css: str) -> list[Steps]:
    """Return the selectors of a list, each as steps; none for what cannot be taken apart."""
    found: list[list[Step]] = [[]]
    parts: list[str] = []
    combinator, at = " ", 0
    css = css.strip()
    while at < len(css):
        token = _TOKEN.match(css, at)
        if token is None:
            return []
        at = token.end()
        if token["simple"]:
            parts.append(token["simple"])
            continue
        if parts:
            found[-1].append(Step(combinator, tuple(parts)))
        parts = []
        combinator = (token["combinator"] or "").strip() or " "
        if token["comma"]:
            found.append([])
    if parts:
        found[-1].append(Step(combinator, tuple(parts)))
    return [tuple(steps) for steps in found if steps]


def text_of(steps: Steps) -> str:
    """Return steps as a selector."""
    first, *others = steps
    begin = f"{first.combinator} " if first.combinator != " " else ""
    rest = "".join(f"{' ' if s.combinator == ' ' else f' {s.combinator} '}{''.join(s.parts)}" for s in others)
    return f"{begin}{''.join(first.parts)}{rest}"


def kind_of(part: str) -> str:
    """Return what a simple selector is: `.`, `#`, `[`, `:`, or an empty text for the name of an element."""
    return part[0] if part[0] in ".#[:" else ""


def attribute_of(part: str) -> str:
    """Return the name in `[name]`, or `[name=value]`."""
    match = _ATTRIBUTE.match(part)
    return match[1] if match else ""
