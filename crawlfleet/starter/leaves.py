"""The leaves of blocks: where a text, a link, an image or a date is, in the same place of many blocks. Pure.

Each kind of leaf gets a selector that is tried on the blocks: it finds that leaf first, and nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from crawlfleet.starter.outline import Node, Outline, is_nameable
from crawlfleet.worker.extract.port import Element

TEXT, LINK, IMAGE, DATE, CONTENT = "text", "link", "image", "date", "content"
MOST_SAMPLES = 20
MOST_LEAVES = 60
MOST_STEPS = 6

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_INLINE_WORDS = """
a abbr b bdi bdo big cite code data dfn em font i kbd mark q s samp small span strong sub sup time u var wbr
"""
_INLINE = frozenset(_INLINE_WORDS.split())
_NO_FIELDS_WORDS = """
option select button label textarea input noscript
"""
_NO_FIELDS = frozenset(_NO_FIELDS_WORDS.split())
_LISTED = frozenset({"li"})

Step = tuple[str, str]
Key = tuple[Step, ...]


class Leaf(NamedTuple):
    """A kind of leaf. `css` finds it in a block, all of them if there are `many`; `names` are simple selectors of it.

    `above` are the names of what it is in, `tags` its tag and those above it, up to the block. `texts` are those found
    in the sampled blocks, the first of each. `nth` is its number among its parent's children with its tag.
    """

    kind: str
    css: str
    many: bool
    names: tuple[str, ...]
    above: tuple[str, ...]
    tags: tuple[str, ...]
    texts: tuple[str, ...]
    nth: int


class Blocks:
    """Blocks of a page. `scopes` are the elements that selectors are tried in: each block itself, or the whole page."""

    def __init__(
        self,
        outline: Outline,
        members: Sequence[int],
        scopes: Sequence[Element] = (),
        skip: frozenset[int] = frozenset(),
    ) -> None:
        step = max(1, len(members) // MOST_SAMPLES)
        self.members = list(members[::step][:MOST_SAMPLES])
        self.outline = outline
        self._scopes = list(scopes) or [outline.nodes[index].element for index in self.members]
        self._skip = skip

    def leaves(self, least: float, *, named: bool = False) -> Iterator[Leaf]:
        """Yield the kinds of leaves that are in a share of the blocks of at least `least`, in the order of the page.

        With `named` only those that have a name of their own.
        """
        found: dict[tuple[str, Key], dict[int, list[int]]] = {}
        for member in self.members:
            for kind, index in self._of(member):
                if named and not self.outline.nodes[index].names and self.outline.nodes[index].tag != "h1":
                    continue
                found.setdefault((kind, self._key(member, index)), {}).setdefault(member, []).append(index)
        for (kind, _), where in list(found.items())[:MOST_LEAVES]:
            if len(where) >= least * len(self.members) and (leaf := self._leaf(kind, where)):
                yield leaf

    def _of(self, member: int) -> Iterator[tuple[str, int]]:
        """Yield the leaves of a block."""
        nodes, covered = self.outline.nodes, member
        for index in (member, *self.outline.below(member)):
            node = nodes[index]
            if index in self._skip or node.tag in _NO_FIELDS or not is_nameable(node.tag):
                continue
            if index >= covered and node.own and self._is_text(index):
                yield (DATE if node.tag == "time" and node.attributes.get("datetime") else TEXT), index
                covered = node.end
            if node.tag == "a" and node.attributes.get("href", "#")[:1] not in ("", "#"):
                yield LINK, index
            if node.tag == "img" and _source(node):
                yield IMAGE, index
            if node.tag in ("meta", "data") and node.attributes.get("itemprop") and node.attributes.get("content"):
                yield CONTENT, index

    def _is_text(self, index: int) -> bool:
        """Say whether a text is to be taken as a whole, with what is in it."""
        outline, node = self.outline, self.outline.nodes[index]
        below = outline.below(index)
        if node.tag in HEADINGS or not any(outline.nodes[each].own for each in below):
            return True
        is_sentence = all(outline.nodes[each].tag in _INLINE and not outline.nodes[each].names for each in below)
        return is_sentence and len(node.own) * 2 >= outline.text_chars(index)

    def _key(self, member: int, index: int) -> Key:
        """Return the way to a leaf from the nearest element that has a name, itself perhaps."""
        steps: list[Step] = []
        for each in islice(self.outline.above(index, member), MOST_STEPS):
            node = self.outline.nodes[each]
            steps.append(
                (node.tag, node.names[0] if node.names else "*" if node.tag in _LISTED else str(node.nth or "*"))
            )
            if node.names:
                break
        return tuple(reversed(steps))

    def _leaf(self, kind: str, where: dict[int, list[int]]) -> Leaf | None:
        member, indices = next(iter(where.items()))
        key, node = self._key(member, indices[0]), self.outline.nodes[indices[0]]
        many = any(len(each) > 1 for each in where.values())
        tried = list(_selectors(key, node.before))
        css = next((css for css in tried if self._finds(css, where, many=many)), None)
        if css is None and many:
            many = False
            css = next((css for css in tried if self._finds(css, where, many=False)), None)
        if css is None:
            return None
        texts = tuple(self._value(kind, each[0]) for each in where.values())
        if not any(texts):
            return None
        way = [self.outline.nodes[each] for each in islice(self.outline.above(indices[0], member), MOST_STEPS)]
        above = tuple(name for each in way[1:] for name in each.names[:1])
        return Leaf(kind, css, many, node.names, above[:2], tuple(each.tag for each in way), texts, node.nth)

    def _finds(self, css: str, where: dict[int, list[int]], *, many: bool) -> bool:
        """Say whether a selector finds what is wanted in nearly all blocks."""
        engine, right = self.outline.engine, 0
        for member, scope in zip(self.members, self._scopes, strict=True):
            wanted = [engine.key(self.outline.nodes[index].element) for index in where.get(member, ())]
            if many:
                right += [engine.key(each) for each in (engine.select(scope, css) if css else [scope])] == wanted
            else:
                first = engine.first(scope, css) if css else scope
                right += (engine.key(first) if first is not None else None) == next(iter(wanted), None)
        return right >= 0.9 * len(self.members)

    def _value(self, kind: str, index: int) -> str:
        node = self.outline.nodes[index]
        if kind in (TEXT, CONTENT):
            return self.outline.text(index) if kind == TEXT else node.attributes["content"].strip()
        return (
            node.attributes["datetime"] if kind == DATE else _source(node) if kind == IMAGE else node.attributes["href"]
        ).strip()


def _source(node: Node) -> str:
    """Return the address of an image, unless it is in the page itself."""
    address = node.attributes.get("src", "").strip()
    return "" if address.lower().startswith("data:") else address


def _selectors(key: Key, before: str) -> Iterator[str]:
    """Yield selectors for a way, from the shortest to the most exact one."""
    if not key:
        yield ""
        return
    tags = [tag + (name if name[0] in ".[" else "") for tag, name in key]
    exact = [
        tag + (f":nth-of-type({name})" if name.isdigit() else "") for tag, (_, name) in zip(tags, key, strict=True)
    ]
    if len(key) > 1 and key[-2][0] in HEADINGS:
        yield " > ".join(tags[-2:])
    yield tags[-1]
    for length in range(2, len(key) + 1):
        yield " > ".join(tags[-length:])
    if is_nameable(before):
        yield f"{before} + {tags[-1]}"
    yield exact[-1]
    for length in range(2, len(key) + 1):
        yield " > ".join(exact[-length:])
