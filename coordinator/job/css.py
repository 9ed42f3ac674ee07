"""Selectors: what one selects, and whether it takes text or an attribute.

Owns the form `CSS`, `CSS::text`, `CSS::own-text` and `CSS::attr(name)` and its validation. A rule must mean the same on
every engine, so CSS that only one of them reads, or that they read differently, is refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_SELECTOR_CHARS = 1_000

_TAKE = re.compile(r"::(?:(?P<take>text|own-text)|attr\(\s*(?P<attr>[A-Za-z_][A-Za-z0-9_.:-]*)\s*\))\Z")
_QUOTED = re.compile(r"""(\\.)|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
# A slash, or a call without a colon before it: neither is CSS outside of quotes.
_XPATH = re.compile(r"/|\[@|(?<![:\w-])[\w-]+\(")
_ATTRIBUTE = re.compile(r"\[[^\]@]*\]")
# An escaped `*`: soupsieve takes the name of an element that it is for any element.
_ESCAPED_STAR = re.compile(r"\\(?:\*|0{0,4}2[aA](?![0-9A-Fa-f]))")
_PSEUDO_CLASS = re.compile(r"(?<!:):([A-Za-z-]+)")

# The others are about a reader's screen, known to one engine, or match differently (`:empty`, `:enabled`).
_PSEUDO_CLASSES = frozenset((
    "first-child", "first-of-type", "has", "is", "last-child", "last-of-type", "not", "nth-child",
    "nth-last-child", "nth-last-of-type", "nth-of-type", "only-child", "only-of-type", "root", "where",
))  # fmt: skip
# What to write in the place of some.
_INSTEAD = {
    "any-link": "a[href]",
    "checked": "[checked] or [selected]",
    "disabled": "[disabled]",
    "enabled": ":not([disabled])",
    "link": "a[href]",
    "optional": ":not([required])",
    "required": "[required]",
}


class Selector(NamedTuple):
    """What to `take` of the matches of `css` (empty: the element at hand): `text`, `own-text`, or `attr`, whose name is
    in lower case."""

    css: str
    take: str = "text"
    attr: str = ""


def parse_selector(text: str) -> Selector:
    """Parse a selector; raise `ValueError` with one sentence if it is broken or not the same everywhere."""
    text = text.strip()
    if not text:
        raise ValueError("the selector is empty: write one such as h1::text")
    taking = _TAKE.search(text)
    css = text[: taking.start()] if taking else text
    if taking is not None and css != css.rstrip():
        # To CSS the blank means any element within; what is meant here is not known.
        css = css.rstrip()
        raise ValueError(
            f"the selector {text!r} has a blank before '::': write {css}{taking[0]} for what {css} has itself, "
            f"{css} *{taking[0]} for the elements in it"
        )
    if css:
        check_css(css)
    if taking is None:
        return Selector(css)
    return Selector(css, taking["take"]) if taking["take"] else Selector(css, "attr", taking["attr"].lower())


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
        raise ValueError(
            f"the selector {css!r} has a '::' without meaning: one may end in ::text, ::own-text or ::attr(name)"
        )
    _check_portable(css, bare)
    _check_engines(css)


def _check_portable(css: str, bare: str) -> None:
    if re.search(r"\|(?!=)", bare):
        raise ValueError(f"the selector {css!r} names a namespace, which HTML has not: leave out what precedes '|'")
    if _ESCAPED_STAR.search(_QUOTED.sub(r"\1", css)):
        raise ValueError(f"the selector {css!r} escapes '*', which does not mean the same everywhere: use a hook")
    for name in _PSEUDO_CLASS.findall(bare):
        if name.lower() not in _PSEUDO_CLASSES:
            instead = _INSTEAD.get(name.lower())
            advice = f"write {instead}, if that is meant" if instead else "do without it, or use a hook"
            raise ValueError(f"the selector {css!r} uses ':{name}', which does not mean the same everywhere: {advice}")


def _check_engines(css: str) -> None:
    # Imported here: each loads a parser, and whoever only reads a job's other parts shall not pay for that.
    import soupsieve
    import turbohtml
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    try:
        soupsieve.compile(css)
        LexborHTMLParser("").css(css)
        turbohtml.parse("").select(css)
    except (soupsieve.SelectorSyntaxError, NotImplementedError) as error:
        detail = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(f"the selector {css!r} is not CSS ({detail}): mend it") from error
    except (SelectolaxError, turbohtml.SelectorSyntaxError) as error:
        raise ValueError(f"the selector {css!r} is not CSS as browsers read it: mend it") from error
