"""Finds what repeats in a page: the blocks of a list, a table, a stream of posts. Pure.

Elements are grouped by selectors that a person would write: `article.product`, `table.prices tr`, `main > ul > li`. A
group counts by how many fields its members have in common, by their number, and by their share of the page's text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import log2
from typing import NamedTuple

from crawlfleet.starter.outline import Node, Outline, is_nameable, is_telling

MIN_MEMBERS = 3
MOST_SAMPLES = 20
MOST_GROUPS = 100
MOST_BELOW = 500
MOST_STEPS = 5
#: Of all text of a page, so much is in the blocks of a list.
LEAST_SHARE = 0.25
LEAST_RICHNESS = 0.9
#: A table with so many columns and rows is data, however much is written around it.
RICH_TABLE, LONG_TABLE, LEAST_SHARE_OF_TABLE = 2.0, 5, 0.05
#: A field belongs to blocks if at least so many of them have it.
COMMON = 0.6

# What is never a block: parts of a sentence, of a table's head, of a form.
_NO_BLOCKS_WORDS = """
b i em strong span code kbd sup sub small br hr img input option select button label th td p dd
"""
_NO_BLOCKS = frozenset(_NO_BLOCKS_WORDS.split())
_ANCHORS = frozenset({"main", "body", "article"})


class Group(NamedTuple):
    """Elements that a selector finds, by their indices in the outline."""

    selector: str
    members: tuple[int, ...]
    share: float
    score: float


def repeated_blocks(outline: Outline) -> Group | None:
    """Return the blocks that make up the page; None if nothing does."""
    content = outline.content_chars or 1
    judged = (_judged(outline, selector, members, content) for selector, members in _candidates(outline))
    found = [group for group in judged if group is not None]
    return max(found, key=lambda group: group.score, default=None)


def _candidates(outline: Outline) -> list[tuple[str, list[int]]]:
    groups: dict[str, list[int]] = {}
    for index, node in enumerate(outline.nodes):
        if node.tag in _NO_BLOCKS or not is_nameable(node.tag) or not node.end - index > 1:
            continue
        for selector in _selectors(outline, index):
            groups.setdefault(selector, []).append(index)
    many = [(selector, members) for selector, members in groups.items() if len(members) >= MIN_MEMBERS]
    many.sort(key=lambda group: -sum(outline.text_chars(index) for index in group[1][:1_000]))
    return many[:MOST_GROUPS]


def _selectors(outline: Outline, index: int) -> Iterator[str]:
    node = outline.nodes[index]
    yield from (f"{node.tag}{name}" for name in node.names)
    yield place_selector(outline, index)


def place_selector(outline: Outline, index: int) -> str:
    """Return a selector that says where an element is: below the nearest element that has a name, or is alone."""
    steps = [outline.nodes[index].tag]
    for above in outline.above(outline.nodes[index].parent):
        node = outline.nodes[above]
        anchor = anchor_of(node)
        if anchor or len(steps) > MOST_STEPS or not is_nameable(node.tag):
            return " > ".join(reversed([*steps, anchor or "*"]))
        steps.append(node.tag)
    return " > ".join(reversed(steps))


def anchor_of(node: Node) -> str:
    """Return a selector of one element that stays as it is; empty without one."""
    if not is_nameable(node.tag):
        return ""
    if is_telling(node.attributes.get("id", "")):
        return f"{node.tag}#{node.attributes['id']}"
    return f"{node.tag}{node.names[0]}" if node.names else node.tag if node.tag in _ANCHORS else ""


def _judged(outline: Outline, selector: str, members: list[int], content: int) -> Group | None:
    nodes = outline.nodes
    outer = [
        index for position, index in enumerate(members) if not position or index >= nodes[members[position - 1]].end
    ]
    if len(outer) < MIN_MEMBERS or len(outer) < 0.7 * len(members) or _are_facts(outline, outer):
        return None
    inside = sum(outline.text_chars(index) for index in outer if not nodes[index].is_around)
    share = min(1.0, inside / content)
    richness = _richness(outline, outer)
    is_table = nodes[outer[0]].tag == "tr" and richness >= RICH_TABLE and len(outer) >= LONG_TABLE
    if share < (LEAST_SHARE_OF_TABLE if is_table else LEAST_SHARE) or richness < LEAST_RICHNESS:
        return None
    name = 1.0 if " > " in selector else 1.15
    score = richness * log2(1 + min(len(outer), 64)) * (0.2 + share) * name
    return Group(selector, tuple(members), share, score - len(selector) / 1_000)


def _are_facts(outline: Outline, members: list[int]) -> bool:
    """Say whether elements are pairs of a name and a value, which describe one thing: the rows of a table of facts."""
    kinds = [[each.tag for each in _children(outline, index)] for index in members[:MOST_SAMPLES]]
    return sum(kind == ["th", "td"] for kind in kinds) * 2 > len(kinds)


def _children(outline: Outline, index: int) -> Iterator[Node]:
    at, end = index + 1, outline.nodes[index].end
    while at < end:
        yield outline.nodes[at]
        at = outline.nodes[at].end


def _richness(outline: Outline, members: list[int]) -> float:
    """Return how many fields most of the members have: texts that are not the same in all, links, images."""
    step = max(1, len(members) // MOST_SAMPLES)
    samples = members[::step][:MOST_SAMPLES]
    seen: Counter[tuple[str, ...]] = Counter()
    texts: dict[tuple[str, ...], set[str]] = {}
    for member in samples:
        found: dict[tuple[str, ...], str] = {}
        for index in islice((member, *outline.below(member)), MOST_BELOW):
            for key, text in _values(outline, member, index):
                found.setdefault(key, text)
        seen.update(found.keys())
        for key, text in found.items():
            texts.setdefault(key, set()).add(text)
    common = [key for key, number in seen.items() if number >= COMMON * len(samples)]
    weights = {"text": 1.0, "link": 0.5, "image": 0.4}
    return sum(weights[key[0]] * (1.0 if len(texts[key]) > 1 else 0.1) for key in common)


def _values(outline: Outline, member: int, index: int) -> Iterator[tuple[tuple[str, ...], str]]:
    node = outline.nodes[index]
    steps = islice(outline.above(index, outline.nodes[member].parent), 3)
    tags = [outline.nodes[each].tag + next(iter(outline.nodes[each].names), "") for each in steps]
    where = (str(node.depth - outline.nodes[member].depth), *tags)
    if node.own:
        yield ("text", *where), node.own
    if node.tag == "a" and node.attributes.get("href"):
        yield ("link", *where), node.attributes["href"]
    if node.tag == "img":
        yield ("image", *where), node.attributes.get("src", "")
