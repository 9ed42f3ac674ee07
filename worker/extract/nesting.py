"""Flattens markup that is nested so deep that parsing would take hours, or has too many roots. Pure.

An HTML5 parser walks up its stack of open elements at many tags, so its time grows with tags times depth: measured,
50,000 open `div` take 2 s, ten megabytes of them an hour. Browsers flatten markup deeper than some hundred levels.
Here, in pages with many tags, tags deeper than `MAX_DEPTH` become comments before the parser sees them; texts and links
stay. Elements that are opened and closed within a few levels are skipped, and stay: they do not add to the depth.

Which element an end tag closes is a guess: the nearest one of its name, with all elements open in it. A parser may
decide otherwise and leave elements open. So two kinds of guesses are counted: elements closed by the end of another
one, and ends inside of a possible quoted value. After `MAX_GUESSED` of them such an end closes nothing, so that the
depth is bounded in any case.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

MAX_DEPTH = 1_000
MAX_GUESSED = 2_000
MAX_ROOTS = 100
# To examine every tag takes longer than to parse it. Up to FEW_TAGS, as in nearly all pages, little harm is possible
# (measured: 0.6 s at worst). Up to SOME_TAGS and MANY_TAGS counts are enough (2 s and 10 s at worst).
FEW_TAGS = 4_000
SOME_TAGS = 10_000
MANY_TAGS = 200_000
TAG_BYTES = 3  # the size of the shortest tag
BLOCK_BYTES = 8 * 1024
# How far up the element that an end tag closes is searched for.
NEARBY = 64
# Elements closed within this many levels are skipped at once.
CLOSED_LEVELS = 3

_NAME = rb"[a-zA-Z][^\s/><]*+"
# So plain that no parser can see its end in another place.
_ATTRIBUTES = rb"(?:\s++[^\s\"'<>/=]++(?:=(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\s\"'=<>`]++))?+)*+\s*+>"
# Void, or present only once, or closed by the next of their kind: in any number, they do not nest by themselves.
_FLAT = frozenset(b"body br embed head hr img meta p".split())
# Nor do these, except in SVG and MathML, where they have no meaning. (The others end SVG and MathML.)
_FLAT_IN_HTML = frozenset(b"a area base col html input link option param source td th tr track wbr".split())
_FOREIGN = frozenset({b"svg", b"math"})
# Items close the one before, except one of an outer list.
_ITEMS = {b"li": (b"li",), b"dd": (b"dd", b"dt"), b"dt": (b"dd", b"dt")}
_LISTS = frozenset(b"dir dl menu ol table ul".split())
# Those of them that are void everywhere.
_ROOT = re.compile(rb"<(?=(?:body|html)[\s/>])", re.IGNORECASE)
_VOID = re.compile(rb"<(?:br|embed|hr|img|meta)[\s/>]", re.IGNORECASE)
# Elements that are reopened in all that follows until they are closed (HTML, 13.2.4.3: "active formatting elements").
_LASTING = re.compile(rb"<(/?)[bcefinstuBCEFINSTU](?:|ig|ode|m|ont|obr|mall|trike|trong|t|[A-Z]{1,5})[\s/>]")


def with_few_roots(body: bytes) -> bytes:
    """Return markup in UTF-8, in which tags `html` and `body` beyond the first `MAX_ROOTS` are comments.

    A parser adds the attributes of each to those of the first. Measured, 100 KB of such tags take turbohtml 0.7 GB,
    400 KB take lexbor 5 s, and both grow with the square.
    """
    if len(body) <= FEW_TAGS * TAG_BYTES or body.count(b"<") <= FEW_TAGS:
        return body
    starts = [tag.start() for tag in _ROOT.finditer(body)][MAX_ROOTS:]
    pieces = (body[begin + 1 : end] for begin, end in pairwise([*starts, len(body)]))
    return b"<!".join((body[: starts[0]], *pieces)) if starts else body


def flattened(body: bytes) -> bytes:
    """Return markup in UTF-8, without its deepest tags if it has many; nearly always the body itself."""
    if len(body) <= FEW_TAGS * TAG_BYTES:
        return body
    tags = [body.count(b"<", start, start + BLOCK_BYTES) for start in range(0, len(body), BLOCK_BYTES)]
    if sum(tags) <= FEW_TAGS:
        return body
    # A count without void elements is faster, and mostly enough.
    if sum(tags) > MANY_TAGS or (_may_be_deep(body, tags) and _may_be_deep(body, tags, without_void=True)):
        return without_deep_tags(body)
    return body


def _may_be_deep(body: bytes, tags: list[int], without_void: bool = False) -> bool:
    """Estimate an upper bound of the depth by `tags`, their number in each block, as if every end closed something."""
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
    """Return a pattern that matches a tag, and before it all closed sibling elements, which no parser leaves open.

    The tag is matched without its attributes, so that no quoting can hide another; all is possessive, so that nothing
    is searched twice. It is compiled when needed: few pages are walked.
    """
    element = b""
    for level in range(CLOSED_LEVELS):
        inner = b"(?:<%b[^<]*+)*+" % element if element else b""
        element = b"(?P<e%d>%b)%b[^<]*+%b</(?P=e%d)\\s*+>" % (level, _NAME, _ATTRIBUTES, inner, level)
    return re.compile(b"<(?:%b[^<]*+<)*+(?:(?P<end>/?)(?P<name>%b))?+" % (element, _NAME))


def without_deep_tags(body: bytes) -> bytes:
    """Return markup without tags deeper than `MAX_DEPTH`; the body itself if there are none."""
    kept: list[bytes] = []
    done = 0
    for start in _Depth().deep_tags(body):
        # `<!` opens a comment that ends with the tag (HTML, 13.2.5.41: bogus comment).
        kept += (body[done:start], b"<!")
        done = start + 1
    return b"".join((*kept, body[done:])) if kept else body


class _Depth:
    """The names of the open elements, and how many more may be open because their end was guessed."""

    def __init__(self) -> None:
        self._names: list[bytes] = []
        self._guessed = 0

    def deep_tags(self, body: bytes) -> list[int]:  # noqa: C901  # one loop, whose state is clearer in one place
        """Return the positions of tags that are too deep."""
        names = self._names
        deep: list[int] = []
        beyond = 0
        foreign = MAX_DEPTH  # the number of elements open around the current SVG or MathML
        quoted, quotes = 0, Quotes(body)  # the end of a value that may hide markup
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
                quoted = max(quoted, quotes.end(tag.end()))
            elif start < quoted:
                self._close((name,), doubt=1)
            elif names and names[-1] == name:
                names.pop()
            else:
                self._close((name,))
        return deep

    def _close(self, wanted: tuple[bytes, ...], stops: frozenset[bytes] = frozenset(), doubt: int = 0) -> None:
        """Close the nearest of the `wanted` elements, and all elements open in it."""
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


class Quotes:
    """Tells where the values end that are open at the first `>` after a tag; it is asked from the begin to the end.

    What is known of that `>` is kept: of megabytes without one nothing is looked at twice.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._start = self._end = 0
        # Of each quote how many lie between the last start and the `>`, and, once asked, where the next one is.
        self._counts = {b"'": 0, b'"': 0}
        self._closing: dict[bytes, int] = {}

    def end(self, start: int) -> int:
        """Return the end of the value that is still open at the first `>` after a place; 0 if none is."""
        body = self._body
        if start > self._end:
            end = body.find(b">", start)
            self._start, self._end = start, end if end >= 0 else len(body)
            self._counts = {quote: body.count(quote, start, self._end) for quote in self._counts}
            self._closing = {}
        for quote in self._counts:
            self._counts[quote] -= body.count(quote, self._start, start)
        self._start = start
        if self._end == len(body):
            return 0
        return next((self._closing_of(quote) for quote, count in self._counts.items() if count % 2), 0)

    def _closing_of(self, quote: bytes) -> int:
        if quote not in self._closing:
            found = self._body.find(quote, self._end)
            self._closing[quote] = found if found > 0 else len(self._body)
        return self._closing[quote]
