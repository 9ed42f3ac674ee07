"""Selectors: what one selects, and whether it takes text or an attribute.

Owns the form `CSS`, `CSS::text` and `CSS::attr(name)` and its validation. A rule must mean the same on every
engine, so CSS that only one of them reads, or that they read differently, is refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_SELECTOR_CHARS = 1_000

_TAKE = re.compile(r"::(?:text|attr\(\s*(?P<attr>[A-Za-z_][A-Za-z0-9_.:-]*)\s*\))\Z")
_QUOTED = re.compile(r"""\\.|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
# A slash, or a call without a colon before it: neither is CSS outside of quotes.
_XPATH = re.compile(r"/|\[@|(?<![:\w-])[\w-]+\(")
_ATTRIBUTE = re.compile(r"\[[^\]@]*\]")
_PSEUDO_CLASS = re.compile(r"(?<!:):([A-Za-z-]+)")

# The others are about a reader's screen, known to one engine, or match differently (`:empty`, `:enabled`).
_PSEUDO_CLASSES = frozenset((
    "any-link", "checked", "disabled", "first-child", "first-of-type", "has",
    "is", "last-child", "last-of-type", "link", "not", "nth-child",
    "nth-last-child", "nth-last-of-type", "nth-of-type", "only-child", "only-of-type", "optional",
    "required", "root", "where",
))  # fmt: skip


class Selector(NamedTuple):
    """What to `take` of the matches of `css` (empty: the element at hand): `text`, or `attr`, named in lower case."""

    css: str
    take: str = "text"
    attr: str = ""


def parse_selector(text: str) -> Selector:
    """Parse a selector; raise `ValueError` with one sentence if it is broken or not the same everywhere."""
    text = text.strip()
    if not text:
        raise ValueError("the selector is empty: write one such as h1::text")
    taking = _TAKE.search(text)
    css = text[: taking.start()].rstrip() if taking else text
    if css:
        check_css(css)
    if taking is None or taking["attr"] is None:
        return Selector(css)
    return Selector(css, "attr", taking["attr"].lower())


def check_css(css: str) -> None:
    """Raise `ValueError` with one sentence unless `css` is CSS that means the same on every engine."""
    if len(css) > MAX_SELECTOR_CHARS:
        raise ValueError(f"the selector is longer than {MAX_SELECTOR_CHARS} characters: make it shorter")
    bare = _QUOTED.sub("_", css)
    if _XPATH.search(_ATTRIBUTE.sub("", bare)):
        raise ValueError(
            f"the selector {css!r} is XPath, and CSS is wanted: write one such as div.name > a::attr(href)"
        )
    if "::" in bare:
        raise ValueError(f"the selector {css!r} has a '::' without meaning: one may end in ::text or ::attr(name)")
    _check_portable(css, bare)
    _check_engines(css)


def _check_portable(css: str, bare: str) -> None:
    if re.search(r"\|(?!=)", bare):
        raise ValueError(f"the selector {css!r} names a namespace, which HTML has not: leave out what precedes '|'")
    for name in _PSEUDO_CLASS.findall(bare):
        if name.lower() not in _PSEUDO_CLASSES:
            raise ValueError(
                f"the selector {css!r} uses ':{name}', which does not mean the same everywhere: "
                "do without it, or use a hook"
            )


def _check_engines(css: str) -> None:
    # Imported here: both load a parser, and whoever only reads a job's other parts shall not pay for that.
    import soupsieve
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    try:
        soupsieve.compile(css)
        LexborHTMLParser("").css(css)
    except (soupsieve.SelectorSyntaxError, NotImplementedError) as error:
        detail = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(f"the selector {css!r} is not CSS ({detail}): mend it") from error
    except SelectolaxError as error:
        raise ValueError(f"the selector {css!r} is not CSS as browsers read it: mend it") from error
