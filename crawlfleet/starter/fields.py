"""Fields for what was found in blocks: their names, types, and the form in which a job has them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from crawlfleet.starter import words
from crawlfleet.starter.leaves import CONTENT, DATE, HEADINGS, IMAGE, LINK, TEXT, Leaf

MOST_FIELDS = 15
MOST_LINKS = 3

_SIGN = r"(?:[$€£¥₹₽₩₺₪฿¢]|(?:US|A|C|NZ|HK)\$|EUR|USD|GBP|CHF|JPY|CNY|SEK|NOK|DKK|PLN|CZK|HUF|kr|zł|Kč|Ft)"
_AMOUNT = r"\d[\d.,' \u00a0\u202f]{0,14}(?:[.,]-)?"
_PRICE = re.compile(rf"\D{{0,12}}(?:{_SIGN}\s?{_AMOUNT}|{_AMOUNT}\s?{_SIGN})\D{{0,12}}")
_WHOLE = re.compile(r"0|[1-9]\d{0,8}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# What may be the same in all blocks of a page, and is worth a field all the same.
_WORTH_WORDS = """
author availability brand category city currency date language location price rating stars state status stock
type year
"""
_WORTH = frozenset(_WORTH_WORDS.split())


class Guess(NamedTuple):
    """A field: its name, its form in a job (a selector, a list or a mapping), and what it gives on the page."""

    name: str
    form: Any
    sample: str = ""


def guessed(
    leaves: Iterable[Leaf],
    block_words: Collection[str] = (),
    heads: Mapping[int, str] | None = None,
    *,
    of_one: bool = False,
) -> list[Guess]:
    """Return fields for the leaves of blocks, `MOST_FIELDS` at most.

    `heads` are the heads of the columns of a table, by their numbers. With `of_one` the leaves are of one block.
    """
    found: list[Guess] = []
    links = 0
    for leaf in _worth_it(list(leaves), block_words, of_one=of_one):
        links += leaf.kind == LINK
        if len(found) == MOST_FIELDS or (leaf.kind == LINK and (links > MOST_LINKS or leaf.many)):
            continue
        taken = {guess.name for guess in found}
        name = _name(leaf, block_words, heads or {}, taken)
        name = words.unique(words.plural(name) if leaf.many else name, taken)
        found.append(Guess(name, _form(leaf), next(filter(None, leaf.texts), "")))
    return found


def _worth_it(leaves: Sequence[Leaf], block_words: Collection[str], *, of_one: bool) -> Iterator[Leaf]:
    """Yield the leaves that are not the same as another one, nor the same in all blocks."""
    best: dict[tuple[bool, tuple[str, ...]], Leaf] = {}
    for leaf in leaves:
        same = (leaf.kind == LINK, leaf.texts)
        if same not in best or _rank(leaf) > _rank(best[same]):
            best[same] = leaf
    for leaf in leaves:
        if best[leaf.kind == LINK, leaf.texts] is not leaf:
            continue
        is_constant = not of_one and len(leaf.texts) > 2 and len(set(leaf.texts)) == 1
        own = {word for name in leaf.names for word in words.field_name(name, block_words).split("_")}
        if not is_constant or own & _WORTH:
            yield leaf


def _rank(leaf: Leaf) -> int:
    return 2 * bool(HEADINGS & set(leaf.tags)) + bool(leaf.names)


def _name(leaf: Leaf, block_words: Collection[str], heads: Mapping[int, str], taken: Collection[str]) -> str:
    named = list(filter(None, (words.field_name(name, block_words) for name in leaf.names)))
    own = next((name for name in named if name in _WORTH), next(iter(named), ""))
    if leaf.kind == LINK:
        return f"{own}_link" if own and "link" not in own and own != "title" else "link"
    if leaf.kind == IMAGE:
        return own if own.endswith("image") else "image"
    if leaf.kind == DATE:
        return own or "date"
    if own and own != "text":
        return own
    return _name_of_text(leaf, block_words, heads, taken)


def _name_of_text(leaf: Leaf, block_words: Collection[str], heads: Mapping[int, str], taken: Collection[str]) -> str:
    if leaf.tags and leaf.tags[-1] in ("td", "th") and heads.get(leaf.nth):
        return heads[leaf.nth]
    if HEADINGS & set(leaf.tags) and "title" not in taken:
        return "title"
    if _is_price(leaf) and "price" not in taken:
        return "price"
    above = next(filter(None, (words.field_name(name, block_words) for name in leaf.above)), "")
    if above:
        return above
    is_title = bool(leaf.tags) and leaf.tags[0] == "a" and "title" not in taken
    return "title" if is_title else "text"


def _form(leaf: Leaf) -> Any:
    """Return a field as a job has it."""
    css = {"css": leaf.css} if leaf.css else {}
    many = {"list": True} if leaf.many else {}
    if leaf.kind in (LINK, IMAGE):
        return {**css, "attr": "href" if leaf.kind == LINK else "src", "type": "url", **many}
    if leaf.kind == DATE:
        kind = "date" if all(_DAY.fullmatch(text) for text in leaf.texts) else "datetime"
        return {**css, "attr": "datetime", "type": kind, **many}
    if leaf.kind == CONTENT:
        return {**css, "attr": "content", **many}
    assert leaf.kind == TEXT
    if leaf.many:
        return [leaf.css or "::text"]
    if _is_price(leaf):
        return {**css, "type": "price"}
    if all(_WHOLE.fullmatch(text) for text in leaf.texts if text):
        return {**css, "type": "int"}
    return leaf.css or "::text"


def _is_price(leaf: Leaf) -> bool:
    texts = [text for text in leaf.texts if text]
    return not leaf.many and sum(len(text) < 60 and _PRICE.fullmatch(text) is not None for text in texts) >= 0.8 * len(
        texts
    )
