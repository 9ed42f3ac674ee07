"""The outline of a page: its elements in document order, as far as rules may name them, with the names that are safe.

Pure. A page of any size makes an outline of at most `MAX_ELEMENTS`; what comes after is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from crawlfleet.worker.extract.port import Element, ParseEngine

MAX_ELEMENTS = 30_000
MAX_NAMES = 4
MAX_OWN_CHARS = 2_000
#: Of so many children of an element the numbers are known; those of others are 0.
MOST_COUNTED = 200

_UNSEEN = frozenset({"head", "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "datalist"})
_AROUND = frozenset({"nav", "header", "footer", "aside", "form", "dialog", "menu"})
_AROUND_ROLES = frozenset({"navigation", "banner", "contentinfo", "complementary", "search", "menu", "dialog"})
_AROUND_NAMES = re.compile(
    r"(?:^|[-_])(?:nav(?:bar|igation)?|menu|breadcrumbs?|footer|sidebar|cookies?|pag(?:er|ination))$"
)
# Unless nearly all of the page is in them.
_LEAST_CONTENT = 0.2
_TAG = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{1,39}")
#: Attributes that are there for programs, and so change less often than classes.
_MARKS = ("itemprop", "data-testid", "data-test", "data-qa", "data-hook")

# Words of utility frameworks (Tailwind, Bootstrap): they say how an element looks, not what it is.
_LOOKS = re.compile(
    r"""-?(?:[mpbwhgzdu]|[mp][xytrblse]|[fl][swh]|min|max|gap|space|inset|top|left|right|bottom|order|text|list|line|from|to|via)
        -(?:\d.*|[a-z]|auto|full|px|screen|none|flex|block|grid|inline|center|xs|sm|md|lg|xl|base|muted|white|black|gray.*|start|end)
    |(?:col|cols|row|rows|grid|flex|justify|items|self|place|font|leading|tracking|align|whitespace|bg|border|rounded|ring|shadow
        |opacity|transition|duration|ease|animate|scale|rotate|translate|cursor|overflow|object|aspect|float|decoration|divide
        |outline|is|has|js|no|ng|sm|md|lg|xl|container)-[\w-]+
    |flex|grid|block|inline|hidden|contents|table|static|fixed|absolute|relative|sticky|visible|invisible|truncate|uppercase
    |lowercase|capitalize|italic|underline|antialiased|container|row|col|cols|clearfix|active|current|selected|disabled|first
    |last|odd|even|open|show|fade|left|right|center|wrapper|inner|outer|grow|shrink|rounded|border|shadow|group|peer|isolate
    |transition|resize|filter|blur|lazy|lazyload|loaded|hover|big|small
    """,
    re.VERBOSE | re.IGNORECASE,
)
# What tools make up: `css-1q2w3e`, `sc-bdVaJa`, `Button_root__3xYz1`, `_1a2b3c`.
_MADE_UP = re.compile(
    r"(?:css|sc|jsx|emotion|styled|svelte|astro|data-v|ember|react|e|x)-?[A-Za-z0-9]{4,}|.*__[A-Za-z0-9_-]{5}\d*|_.*"
)


@dataclass(slots=True)
class Node:
    """An element. `end` is the index after its last descendant, `names` are simple selectors of it, such as `.price`.

    `depth` counts the elements above it, `nth` is its number among its parent's children with its tag, `before` the tag
    of the child before it, `own` the text directly in it, folded.
    """

    element: Element
    tag: str
    parent: int
    nth: int
    before: str
    is_around: bool
    depth: int = 0
    names: tuple[str, ...] = ()
    own: str = ""
    end: int = 0
    attributes: dict[str, str] = field(default_factory=dict)


class Outline:
    """The elements of a page's `body`."""

    def __init__(self, engine: ParseEngine, root: Element) -> None:
        self.engine = engine
        self.nodes: list[Node] = []
        body = engine.first(root, "body")
        if body is not None:
            self._add(body, -1)
            self._walk(body)
        self.chars = [0]
        for node in self.nodes:
            self.chars.append(self.chars[-1] + len(node.own))
        if self.content_chars < _LEAST_CONTENT * self.chars[-1]:
            for node in self.nodes:
                node.is_around = False

    @property
    def content_chars(self) -> int:
        """The number of characters of text that are not around the page's content."""
        return sum(len(node.own) for node in self.nodes if not node.is_around)

    def text_chars(self, index: int) -> int:
        """Count the characters of text in an element."""
        return self.chars[self.nodes[index].end] - self.chars[index]

    def text(self, index: int) -> str:
        """Return the text of an element, white space folded."""
        return " ".join(self.engine.text(self.nodes[index].element).split())

    def below(self, index: int) -> range:
        """Return the indices of an element's descendants."""
        return range(index + 1, self.nodes[index].end)

    def above(self, index: int, top: int = -1) -> Iterator[int]:
        """Yield an element and what it is in, up to but without `top`."""
        while index not in (-1, top):
            yield index
            index = self.nodes[index].parent

    def _walk(self, body: Element) -> None:
        children = self.engine.children
        levels: list[tuple[int, Iterator[Element | str], list[str]]] = [(0, iter(children(body)), [])]
        while levels:
            index, rest, tags = levels[-1]
            child = next(rest, None)
            if child is None or len(self.nodes) >= MAX_ELEMENTS:
                self.nodes[index].end = len(self.nodes)
                levels.pop()
            elif isinstance(child, str):
                self._note_text(self.nodes[index], child)
            else:
                tag = self.engine.tag(child)
                if tag not in _UNSEEN:
                    self._add(child, index, tags.count(tag) + 1 if len(tags) < MOST_COUNTED else 0, (tags or [""])[-1])
                    levels.append((len(self.nodes) - 1, iter(children(child)), []))
                tags.append(tag)

    def _note_text(self, node: Node, text: str) -> None:
        if len(node.own) < MAX_OWN_CHARS:
            node.own = " ".join(f"{node.own} {text[:MAX_OWN_CHARS]}".split())

    def _add(self, element: Element, parent: int, nth: int = 1, before: str = "") -> None:
        attributes = {name: value or "" for name, value in self.engine.attributes(element).items()}
        tag = self.engine.tag(element)
        is_around = (parent >= 0 and self.nodes[parent].is_around) or _is_around(tag, attributes)
        node = Node(element, tag, parent, nth, before, is_around, attributes=attributes)
        node.depth = self.nodes[parent].depth + 1 if parent >= 0 else 0
        node.names = tuple(names_of(attributes))
        self.nodes.append(node)


def _is_around(tag: str, attributes: dict[str, str]) -> bool:
    """Say whether an element is around the page's content: a menu, a footer."""
    if tag in ("header", "footer") and attributes.get("itemprop"):
        return False
    named = f"{attributes.get('id', '')} {attributes.get('class', '')}"[:200].lower().split()
    return tag in _AROUND or attributes.get("role", "") in _AROUND_ROLES or any(map(_AROUND_NAMES.search, named))


def is_nameable(tag: str) -> bool:
    """Say whether a selector may name elements of this kind."""
    return _TAG.fullmatch(tag) is not None


def names_of(attributes: dict[str, str]) -> Iterator[str]:
    """Yield simple selectors that say what an element is, the most telling first, `MAX_NAMES` at most."""
    found = []
    for mark in _MARKS:
        value = attributes.get(mark, "")
        if _NAME.fullmatch(value):
            found.append(f"[{mark}={value}]")
    classes = [name for name in attributes.get("class", "")[:1_000].split() if is_telling(name)]
    yield from [*found, *(f".{name}" for name in dict.fromkeys(classes))][:MAX_NAMES]


def is_telling(name: str) -> bool:
    """Say whether a class, or an id, says what an element is, and is likely to stay."""
    if not _NAME.fullmatch(name) or _LOOKS.fullmatch(name) or _MADE_UP.fullmatch(name):
        return False
    return sum(map(str.isdigit, name)) * 3 <= len(name)
