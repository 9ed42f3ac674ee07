"""Reads the addresses in sitemaps (sitemaps.org/protocol) and feeds. Pure; it does not raise for any bytes.

expat reads XML as a stream: `urlset`, `sitemapindex`, RSS 2.0 and 1.0, Atom, in any namespace. A DOCTYPE ends the
reading, so that there are no entities except XML's own. What is not well-formed is read once more by `sitemap_repair`.
A text file has one address a line. gzip is recognised by its first bytes, regardless of names and headers. Entries
beyond the protocol's limits are left out.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from xml.parsers import expat

from crawlfleet.shared.messages import SitemapEntry
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS, canonicalize
from crawlfleet.worker.extract.charset import xml_encoding
from crawlfleet.worker.extract.encoding import UTF_8, decoded_blocks
from crawlfleet.worker.extract.sitemap_fields import priority_of, timestamp_of
from crawlfleet.worker.extract.sitemap_forms import FORMS, Form
from crawlfleet.worker.extract.sitemap_repair import Repair
from crawlfleet.worker.fetch.coding import GZIP, Gzip

MAX_BYTES = 50 * 1024 * 1024
MAX_ENTRIES = 50_000
MAX_DEPTH = 64
MAX_LINES = 4 * MAX_ENTRIES
MAX_ELEMENTS = 50 * MAX_ENTRIES
# The name of a namespace stands in front of the name of each element in it.
MAX_NAMESPACE_CHARS = 1_000
# With each block, expat reads an incomplete token again from its start: large blocks make that cheap.
BLOCK_BYTES = 1024 * 1024
MAX_FIELD_CHARS = 2 * LONGEST_URL_CHARS

_XML_BASE = "http://www.w3.org/XML/1998/namespace base"
_WEB = re.compile(r"https?://", re.IGNORECASE)
# Somewhere in what does not begin with it: a message of the server's, say, and then XML.
_XML = re.compile(rb"<(?:\?xml\s|[\w.-]{0,40}:?(?:urlset|sitemapindex|rss|RDF|feed)[\s>])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitemap:
    """The contents of a sitemap: `pages` in scope, newest first, and further `sitemaps` if it is an index.

    All addresses are canonical, without repeats. `left_out` is how many entries were left out because of the limits, at
    least: of a sitemap that is too long, only its beginning is read. `entries` is how many there are in the sitemap, as
    far as it was read, whatever became of them.
    `error` is empty, or one sentence about why the reading ended early; what was read before counts.
    """

    pages: tuple[SitemapEntry, ...] = ()
    sitemaps: tuple[str, ...] = ()
    left_out: int = 0
    error: str = ""
    entries: int = 0


class _Refused(Exception):
    """The reading ends; the message is the reason."""


class _OtherRoot(_Refused):
    """It does not begin as a sitemap does."""


class _Enough(Exception):
    """A limit is reached."""


@dataclass(slots=True)
class _Item:
    """One entry as written."""

    url: str = ""
    changed: str = ""
    priority: str = ""
    # What `url` is relative to.
    base: str = ""
    # Where the address is if it is not in its field: in the `guid` of RSS, or in the entry itself.
    guid: str = ""
    text: str = ""

    @property
    def address(self) -> str:
        if self.url:
            return self.url
        return next((text for text in (self.guid, self.text) if _WEB.match(text)), "")


def read_sitemap(body: bytes, base: str, keep: Callable[[str], str | None], *, cut: bool = False) -> Sitemap:
    """Read a sitemap at `base`.

    `keep` returns the job's form of a URL that is canonical by the standard, None if it is out of scope. `cut` says
    that `body` is the beginning of a longer one.
    """
    found = _Found(base, keep)
    plain = _Plain(body, cut)
    error, is_cut = "", False
    try:
        _read(plain, found)
    except _Refused as refused:
        error = str(refused)
        if isinstance(refused, _OtherRoot):
            found, error, is_cut = _repaired(_Plain(body, cut), found, _Found(base, keep), error)
    except _Enough:
        is_cut = True
    except expat.ExpatError as broken:
        # A body cut by a limit is incomplete, which is not the site's fault.
        error = "" if plain.is_cut else f"the XML is broken: {broken}"
        if error:
            found, error, is_cut = _repaired(_Plain(body, cut), found, _Found(base, keep), error)
    except (EOFError, zlib.error) as broken:
        error = "" if plain.is_cut else f"the gzip data are broken: {broken}"
    return found.sitemap(is_cut=is_cut or plain.is_cut, error=error)


class _Found:
    """The entries found so far. `base` is the address of the document."""

    def __init__(self, base: str, keep: Callable[[str], str | None]) -> None:
        self.base = base
        self._keep = keep
        self._pages: dict[str, SitemapEntry] = {}
        self._sitemaps: dict[str, None] = {}
        self._seen = 0
        self._left_out = 0

    @property
    def seen(self) -> int:
        """How many entries were told."""
        return self._seen

    def add(self, item: _Item, *, is_index: bool) -> None:
        """Add an entry, or count it if there are too many."""
        if self._seen >= MAX_ENTRIES:
            self._left_out += 1
            return
        self._seen += 1
        written = item.address.strip()
        url = canonicalize(written, item.base or self.base) if 0 < len(written) <= MAX_FIELD_CHARS else None
        if url is None or len(url) > LONGEST_URL_CHARS or url == self.base:
            return
        if is_index:
            self._sitemaps[url] = None
            return
        kept = self._keep(url)
        if kept is not None and kept not in self._pages:
            self._pages[kept] = SitemapEntry(kept, priority_of(item.priority), timestamp_of(item.changed))

    def sitemap(self, *, is_cut: bool, error: str) -> Sitemap:
        """Return the entries as a sitemap."""
        newest_first = sorted(self._pages.values(), key=lambda entry: -entry.lastmod)
        return Sitemap(
            pages=tuple(newest_first),
            sitemaps=tuple(self._sitemaps),
            left_out=max(self._left_out, int(is_cut)),
            error=error,
            entries=self._seen,
        )


class _Plain:
    """A body as blocks of UTF-8, at most `MAX_BYTES`, without gzip, byte order mark and leading whitespace."""

    def __init__(self, body: bytes, cut: bool) -> None:
        self.is_cut = cut
        self.is_xml = False
        starts = range(0, len(body), BLOCK_BYTES)
        sliced = (body[start : start + BLOCK_BYTES] for start in starts)
        self._blocks = self._limited(_unpacked(body) if body.startswith(GZIP) else sliced)

    def blocks(self) -> Iterator[bytes]:
        """Yield the blocks; raise the errors of gzip for broken data."""
        first = next(self._blocks, b"")
        name, mark = xml_encoding(first)
        blocks = chain((first[mark:],), self._blocks)
        begun = False
        for block in blocks if name == UTF_8 else map(_in_utf8, decoded_blocks(blocks, name)):
            text = block if begun else block.lstrip()
            if not begun:
                begun = bool(text)
                self.is_xml = text.startswith(b"<")
            if text:
                yield text

    def _limited(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        left = MAX_BYTES
        for block in blocks:
            if len(block) > left:
                self.is_cut = True
                yield block[:left]
                return
            left -= len(block)
            yield block


def _unpacked(body: bytes) -> Iterator[bytes]:
    """Yield unpacked gzip data in large blocks; data before a broken part are yielded before it raises."""
    pieces: list[bytes] = []
    size, packed = 0, Gzip()
    try:
        for start in range(0, len(body), BLOCK_BYTES):
            for piece in packed.feed(body[start : start + BLOCK_BYTES]):
                pieces.append(piece)
                size += len(piece)
                if size >= BLOCK_BYTES:
                    yield b"".join(pieces)
                    pieces, size = [], 0
    except zlib.error:
        yield b"".join(pieces)
        raise
    yield b"".join(pieces)
    if not packed.is_whole:
        raise EOFError("they end too early")


def _in_utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _read(plain: _Plain, found: _Found) -> None:
    blocks = plain.blocks()
    first = next(blocks, b"")
    if not first:
        raise _Refused("it is empty")
    whole = chain((first,), blocks)
    if plain.is_xml:
        _XmlReader(found).read(whole)
    elif _XML.search(first):
        raise _OtherRoot("something else stands before its XML")
    else:
        _read_text(whole, found)


def _repaired(plain: _Plain, strict: _Found, found: _Found, error: str) -> tuple[_Found, str, bool]:
    """Read broken XML once more; return what was found, why it is not all, and whether a limit is reached."""
    is_cut = False
    repair = Repair(_XmlReader(found))
    try:
        blocks = plain.blocks()
        first = next(blocks, b"")
        begin = _XML.search(first)
        repair.read(chain((first[begin.start() if begin else 0 :],), blocks))
    except _Refused:
        return strict, error, False
    except _Enough:
        is_cut = True
    except (EOFError, zlib.error):
        return strict, error, False
    if found.seen < strict.seen:
        return strict, error, False
    if repair.is_whole or is_cut:
        return found, "", is_cut
    return found, f"the XML is broken: {repair.end}" if repair.end else error, False


def _read_text(blocks: Iterable[bytes], found: _Found) -> None:
    """Read one address a line; other lines are ignored, but one line must be an address."""
    none = True
    for number, line in enumerate(_lines(blocks)):
        if number >= MAX_LINES:
            break
        if _WEB.match(line):
            none = False
            found.add(_Item(line), is_index=False)
    if none:
        raise _Refused("it is neither XML nor a list of addresses")
    if number >= MAX_LINES:
        raise _Enough


def _lines(blocks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for block in chain(blocks, (b"\n",)):
        *whole, rest = re.split(rb"\r\n?|\n", rest + block)
        for line in whole:
            yield line[: MAX_FIELD_CHARS + 1].decode("utf-8", "replace").strip()
        rest = rest[: MAX_FIELD_CHARS + 1]


class _XmlReader:
    """The handlers that expat calls for elements. `_field` is the current field of an entry; empty between fields."""

    def __init__(self, found: _Found) -> None:
        self._found = found
        self._form: Form | None = None
        # The depth of the element that holds it all: a root may stand in another.
        self._base = 0
        self._depth = 0
        self._elements = 0
        self._item: _Item | None = None
        self._space = ""
        self._field = ""
        self._text: list[str] = []
        self._chars = 0
        # Each with the depth of its element: the feed's own (XML Base), and before it the address of the document.
        self._bases = [(0, found.base)]
        self._parser = parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self.doctype
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.StartNamespaceDeclHandler = self.namespace

    def read(self, blocks: Iterable[bytes]) -> None:
        """Read a whole document."""
        for block in blocks:
            self._parser.Parse(block, False)
        self._parser.Parse(b"", True)

    @staticmethod
    def doctype(*_: object) -> None:
        """Refuse it."""
        raise _Refused("it has a DOCTYPE, which no sitemap needs")

    @staticmethod
    def namespace(_prefix: str | None, name: str | None, /) -> None:
        """Refuse one with a long name."""
        if len(name or "") > MAX_NAMESPACE_CHARS:
            raise _Refused(f"the name of a namespace is longer than {MAX_NAMESPACE_CHARS} characters")

    def start(self, name: str, attributes: dict[str, str], /) -> None:
        """Begin an entry or one of its fields."""
        self._depth += 1
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise _Enough
        if attributes and (base := attributes.get(_XML_BASE) or attributes.get("xml:base")):
            self._bases.append((self._depth, canonicalize(base, self._bases[-1][1]) or self._bases[-1][1]))
        space, _, local = name.rpartition(" ")
        if self._form is None:
            self._form = FORMS.get(local)
            if self._form is None:
                raise _OtherRoot(f"its root element {local[:40]!r} is none of a sitemap's")
        elif self._item is None:
            if self._depth == self._base + self._form.depth and local == self._form.item:
                self._item, self._space = _Item(), space
                self._text, self._chars = [], 0
            elif local in FORMS:
                self._form, self._base = FORMS[local], self._depth - 1
        elif self._depth == self._base + self._form.depth + 1 and space == self._space:
            self._start_field(local, attributes)
        if self._depth > MAX_DEPTH:
            raise _Refused(f"its elements are nested more than {MAX_DEPTH} deep")

    def _start_field(self, local: str, attributes: dict[str, str]) -> None:
        assert self._form is not None
        assert self._item is not None
        form = self._form
        names = {form.url: "url", form.changed: "changed", form.priority: "priority", form.guid: "guid"}
        self._field = names.get(local, "")
        if self._field == "guid" and attributes.get("isPermaLink", "true") != "true":
            self._field = ""
        self._text, self._chars = [], 0
        if self._field == "url" and not self._item.url:
            self._item.base = self._bases[-1][1]
        if self._field == "url" and attributes.get("rel", "alternate") == "alternate":
            self._item.url = self._item.url or attributes.get("href", "")

    def text(self, text: str, /) -> None:
        """Take text of a field, or of the entry itself."""
        if self._item is None or self._form is None or self._chars > MAX_FIELD_CHARS:
            return
        if self._depth == self._base + self._form.depth + bool(self._field):
            self._text.append(text)
            self._chars += len(text)

    def end(self, name: str, /) -> None:  # noqa: ARG002  # expat passes the name
        """End a field, or add an entry."""
        self._depth -= 1
        if self._bases[-1][0] > self._depth:
            self._bases.pop()
        if self._item is None:
            return
        assert self._form is not None
        depth = self._base + self._form.depth
        if self._depth == depth and self._field:
            if not getattr(self._item, self._field):
                setattr(self._item, self._field, "".join(self._text).strip())
            self._field, self._text, self._chars = "", [], 0
        elif self._depth == depth - 1:
            item, self._item = self._item, None
            item.text = "".join(self._text).strip()
            self._found.add(item, is_index=self._form.is_index)
