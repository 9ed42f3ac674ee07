"""Names for items and fields, from what a page calls its parts: classes, `itemprop`, heads of columns. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

MAX_CHARS = 40

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\W\d_a-zA-Z]+")
_VALUE = re.compile(r"^(?:\[[\w-]+=([\w-]+)\]|[.#]?([\w-]+))$")
# Words that say how something is put together, not what it is.
_STRUCTURE_WORDS = """
a body box card cell class col column container content data div el element entry field group holder id inner
item items js key label layout left li line link list main module outer part post right row section span table
test text the title ui unit value view widget wrap wrapper
"""
_STRUCTURE = frozenset(_STRUCTURE_WORDS.split())
_SAME = {
    "heading": "title",
    "headline": "title",
    "name": "name",
    "excerpt": "summary",
    "teaser": "summary",
    "img": "image",
}
_SAME |= {"thumb": "image", "thumbnail": "image", "photo": "image", "desc": "description", "datetime": "date"}
_TAKEN = frozenset({"url", "item"})


def value_of(selector: str) -> str:
    """Return the name in a simple selector: `.price`, `[itemprop=price]`, `#main`."""
    match = _VALUE.match(selector)
    return (match[1] or match[2] or "") if match else ""


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: of `post-itemTitle` post, item, title."""
    return [word.lower() for word in _WORD.findall(name)]


def slug(text: str) -> str:
    """Return a text as a name of lower case letters, digits and `_`; empty if it has none of these."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"\W+", "_", plain)[:MAX_CHARS].strip("_")


def item_name(selectors: Iterable[str], otherwise: str) -> str:
    """Return the name of an item, in letters that names of items have, from the selectors of its elements."""
    for selector in selectors:
        words = [word for word in words_of(value_of(selector)) if word.isascii()]
        telling = [word for word in words if word not in _STRUCTURE and not word.isdigit()] or [
            word for word in words if word in ("card", "entry", "item", "post", "row", "section")
        ]
        if telling:
            return singular("_".join(telling[:3]))[:MAX_CHARS]
    return otherwise


def singular(name: str) -> str:
    """Return a name without a plural's `s`."""
    if name.endswith("ies") and len(name) > 4:
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is", "news")) and len(name) > 3 else name


def plural(name: str) -> str:
    """Return a name with a plural's `s`."""
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return name if name.endswith("s") else f"{name}s"


def field_name(selector: str, block_words: Collection[str] = ()) -> str:
    """Return the name of a field from a simple selector, without the words of its block; empty if nothing is left.

    `itemprop` is taken as it is.
    """
    if selector.startswith("[itemprop="):
        return slug(value_of(selector)) if value_of(selector) not in _TAKEN else ""
    words = [word for word in words_of(value_of(selector)) if not word.isdigit()]
    telling = [_SAME.get(word, word) for word in words if word not in block_words and word not in _STRUCTURE]
    if not telling:
        telling = [word for word in words[-1:] if word in ("title", "text", "link", "label", "value", "content")]
    return slug("_".join(telling[:3]))


def unique(name: str, taken: Collection[str]) -> str:
    """Return a name that is not taken yet, with a number if need be; `url` and `item` are those of every row."""
    name = f"{name}_of_page" if name in _TAKEN else name
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
