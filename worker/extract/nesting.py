"""Keeps markup from being nested so deep that parsing it takes hours. Pure.

An HTML5 parser walks up its stack of open elements at many tags, so that time grows with tags times depth: measured,
50,000 open `div` take 2 s, ten megabytes of them an hour. Browsers flatten what is deeper than some hundred levels;
here, where there are many tags, those beyond `MAX_DEPTH` become comments before the parser sees them, and texts and
links stay. What is opened and closed within a few levels is passed over, and stays: it is no depth.

What an end tag closes is guessed: the nearest element of its name, with all that is open in it. A parser may see it
otherwise and leave elements open. So those that were closed with another's end are counted, and those that end in what
may be a quoted value, and after `MAX_GUESSED` of them such an end closes nothing: the depth is bounded in any case.
"""

from __future__ import annotations

import re
from functools import cache

MAX_DEPTH = 1_000
MAX_GUESSED = 2_000
# To look at every tag takes longer than to parse it. So few cannot do much harm (measured: 0.6 s at worst), and nearly
# all pages have less; of some more it is enough to count, and of many, too (2 s and 10 s at worst).
FEW_TAGS = 4_000
SOME_TAGS = 10_000
MANY_TAGS = 200_000
TAG_BYTES = 3  # the least that a tag takes
BLOCK_BYTES = 8 * 1024
# How far up the element is looked for that an end tag closes.
NEARBY = 64
# What is closed within so many levels is passed over at once.
CLOSED_LEVELS = 3

_NAME = rb"[a-zA-Z][^\s/><]*+"
# So plain that no parser can see its end elsewhere.
_ATTRIBUTES = rb"(?:\s++[^\s\"'<>/=]++(?:=(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\s\"'=<>`]++))?+)*+\s*+>"
# Void, or there only once, or closed by the next of their kind: however many there are, they do not nest by themselves.
_FLAT = frozenset(b"body br embed head hr img meta p".split())
# Nor do these, but in SVG and MathML, where they have no meaning. (The others are the end of SVG and MathML.)
_FLAT_IN_HTML = frozenset(b"a area base col html input link option param source td th tr track wbr".split())
_FOREIGN = frozenset({b"svg", b"math"})
# Items close the one before, but for that of an outer list.
_ITEMS = {b"li": (b"li",), b"dd": (b"dd", b"dt"), b"dt": (b"dd", b"dt")}
_LISTS = frozenset(b"dir dl menu ol table ul".split())
_NOWHERE: frozenset[bytes] = frozenset()
# Of those, the ones that stand alone everywhere.
_VOID = re.compile(rb"<(?:br|embed|hr|img|meta)[\s/>]", re.IGNORECASE)
# What is opened again in all that comes, until it is closed (HTML, 13.2.4.3: "active formatting elements").
_LASTING = re.compile(rb"<(/?)[bcefinstuBCEFINSTU](?:|ig|ode|m|ont|obr|mall|trike|trong|t|[A-Z]{1,5})[\s/>]")


def flattened(body: bytes) -> bytes:
    """Return markup in UTF-8, without its deepest tags if it has many: nearly always the body itself."""
    if len(body) <= FEW_TAGS * TAG_BYTES:
        return body
    tags = [body.count(b"<", start, start + BLOCK_BYTES) for start in range(0, len(body), BLOCK_BYTES)]
    if sum(tags) <= FEW_TAGS:
        return body
    # Not to count what is void is quicker, and mostly enough.
    if sum(tags) > MANY_TAGS or (_may_be_deep(body, tags) and _may_be_deep(body, tags, without_void=True)):
        return without_deep_tags(body)
    return body


def _may_be_deep(body: bytes, tags: list[int], without_void: bool = False) -> bool:
    """Estimate the depth from above by counting alone: as if every end tag closed something. `tags` tells how many are
    in each block."""
    with_lasting = sum(tags) > SOME_TAGS
    depth = lasting = 0
    for number, within in enumerate(tags):
        start, end = number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES
        closing = body.count(b"</", start, end)
        void = len(_VOID.findall(body, start, end)) if without_void else 0
        opening = within - closing - void
        found = _LASTING.findall(body, start, end) if with_lasting else []
        ends = found.count(b"/")
        if depth + opening > MAX_DEPTH or lasting + len(found) - ends > MAX_DEPTH:
            return True
        depth = max(0, depth + opening - closing)
        lasting = max(0, lasting + len(found) - 2 * ends)
    return False


@cache
def _tag() -> re.Pattern[bytes]:
    """Match a tag, and before it all elements that lie side by side and are closed: whatever they are, and wherever
    they lie, no parser leaves one of them open.

    The tag itself is without its attributes, so that no quoting can hide another; all is possessive, so that nothing is
    searched twice. Compiled when needed: few pages are walked.
    """
    element = b""
    for level in range(CLOSED_LEVELS):
        inner = b"(?:<%b[^<]*+)*+" % element if element else b""
        element = b"(?P<e%d>%b)%b[^<]*+%b</(?P=e%d)\\s*+>" % (level, _NAME, _ATTRIBUTES, inner, level)
    return re.compile(b"<(?:%b[^<]*+<)*+(?:(?P<end>/?)(?P<name>%b))?+" % (element, _NAME))


def without_deep_tags(body: bytes) -> bytes:
    """Return markup with no tags deeper than `MAX_DEPTH`: the body itself if there are none."""
    kept: list[bytes] = []
    done = 0
    for start in _Depth().deep_tags(body):
        # `<!` opens a comment that ends with the tag (HTML, 13.2.5.41: bogus comment).
        kept += (body[done:start], b"<!")
        done = start + 1
    return b"".join((*kept, body[done:])) if kept else body


class _Depth:
    """The names of the elements that are open, and how many more may be, since their end was guessed."""

    def __init__(self) -> None:
        self._names: list[bytes] = []
        self._guessed = 0

    def deep_tags(self, body: bytes) -> list[int]:  # noqa: C901  # one loop, whose state is clearer in one place
        """Return where tags begin that are too deep."""
        names = self._names
        deep: list[int] = []
        beyond = 0
        foreign = MAX_DEPTH  # how many elements are open around the SVG or MathML that is
        quoted = 0  # where a value ends that may hide markup
        for tag in _tag().finditer(body):
            if not tag["name"]:
                continue
            name, is_end, start = tag["name"].lower(), tag["end"], tag.start("end") - 1
            if len(names) <= foreign:
                foreign = MAX_DEPTH
            if name in _FLAT or (foreign == MAX_DEPTH and name in _FLAT_IN_HTML):
                continue
            if name in _ITEMS and not is_end and not beyond:
                self._close(_ITEMS[name], _LISTS)
            if beyond or (not is_end and len(names) >= MAX_DEPTH):
                beyond += -1 if is_end else 1
                deep.append(start)
            elif not is_end:
                if name in _FOREIGN and foreign == MAX_DEPTH:
                    foreign = len(names)
                names.append(name)
                quoted = max(quoted, _end_of_quote(body, tag.end()))
            elif start < quoted:
                self._close((name,), _NOWHERE, 1)
            elif names and names[-1] == name:
                names.pop()
            else:
                self._close((name,), _NOWHERE)
        return deep

    def _close(self, wanted: tuple[bytes, ...], stops: frozenset[bytes], doubt: int = 0) -> None:
        """Close the nearest of some elements, and what is open in it."""
        names = self._names
        for up in range(1, min(len(names), NEARBY) + 1):
            if names[-up] in wanted:
                guessed = up - 1 + doubt
                if guessed and self._guessed + guessed > MAX_GUESSED:
                    return
                self._guessed += guessed
                del names[-up:]
                return
            if names[-up] in stops:
                return


def _end_of_quote(body: bytes, start: int) -> int:
    """Return where the value ends that is still open at the first `>` of a tag; 0 if none is."""
    end = body.find(b">", start)
    for quote in (b"'", b'"'):
        if end > 0 and body.count(quote, start, end) % 2:
            closing = body.find(quote, end)
            return closing if closing > 0 else len(body)
    return 0
