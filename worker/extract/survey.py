"""A look over a page for all that is said of where it leads and what it asks for, as it stands. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from crawlfleet.worker.extract.directives import EVERYONE
from crawlfleet.worker.extract.embedded import refresh_address, srcset_addresses
from crawlfleet.worker.extract.port import Element, ParseEngine

LINKS_BELOW = "a[href],area[href],iframe[src],frame[src]"

# So many refreshes are looked at, since each is a walk up the tree.
MAX_REFRESHES = 100

_LINK_TYPES = frozenset({"next", "prev", "canonical", "alternate"})
_ASSET_TYPES = frozenset({"stylesheet", "icon"})
_NO_PAGE_TYPES = frozenset({"stylesheet"})
_PAGE_MEDIA = frozenset({"", "text/html", "application/xhtml+xml"})
_UNTRUSTED = frozenset({"nofollow", "ugc", "sponsored"})
_PLACES = {  # tag: attributes that hold an address of a page
    "a": ("href",),
    "area": ("href",),
    "link": ("href",),
    "iframe": ("src",),
    "frame": ("src",),
}
_ASSETS = {  # tag: attributes that hold an address of what a page is made of
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "script": ("src",),
    "audio": ("src",),
    "video": ("src", "poster"),
    "track": ("src",),
    "embed": ("src",),
}


class Reading(NamedTuple):
    """What to look for. `names` are those by which a page may call the crawler, in lower case.

    With `obey_nofollow`, what a page asks not to follow is left out.
    """

    assets: bool = False
    obey_nofollow: bool = True
    names: frozenset[str] = frozenset()


DEFAULT_READING = Reading()


class Survey:
    """What a page says. Addresses are as they stand; they may repeat. They come kind by kind, each in document order:
    first those of elements that mostly stand in the head.

    Those of `links` and `assets` have lost their fragments, which most links of some pages differ in alone.
    `base` is the first `base[href]`. `links` lead on, `assets` are what the page is made of, `canonicals` are the pages
    that it says it is a copy of. `refresh` is where it leads by itself. `robots` are contents of `<meta>` for us.
    """

    __slots__ = ("_engine", "_reading", "_refreshes", "assets", "base", "canonicals", "links", "refresh", "robots")

    def __init__(self, engine: ParseEngine, root: Element, reading: Reading) -> None:
        self._engine = engine
        self._reading = reading
        self.base: str | None = None
        self.links: list[str] = []
        self.assets: list[str] = []
        self.canonicals: list[str] = []
        self.refresh: str | None = None
        self._refreshes = 0
        self.robots: list[str] = []
        if root is not None:
            self._walk(root)

    def _walk(self, root: Element) -> None:
        """Look for elements by their names, for all that are rare at once: measured, that is the quickest."""
        engine = self._engine
        late = _WITH_ASSETS if self._reading.assets else _IN_BODY
        rare: dict[str, list[Element]] = {}
        for element in engine.named(root, *_IN_HEAD, "area", *late):
            rare.setdefault(engine.tag(element), []).append(element)
        self._read(rare, _IN_HEAD)
        self._read_anchors(engine.named(root, "a"))
        self._read_anchors(rare.get("area", []))
        self._read(rare, late)

    def _read(self, found: dict[str, list[Element]], readers: _Readers) -> None:
        for tag, read in readers.items():
            for element in found.get(tag, ()):
                read(self, element)

    def _read_anchors(self, anchors: list[Element]) -> None:
        obey, links = self._reading.obey_nofollow, self.links
        for attributes in map(self._engine.attributes, anchors):
            if "href" in attributes and not (obey and "rel" in attributes and is_untrusted(attributes["rel"])):
                href = attributes["href"] or ""
                links.append(href if "#" not in href else href[: href.index("#")])

    def _read_base(self, element: Element) -> None:
        attributes = self._engine.attributes(element)
        if self.base is None and "href" in attributes:
            self.base = attributes["href"] or ""

    def _read_frame(self, element: Element) -> None:
        src = self._engine.attributes(element).get("src")
        if src:
            self.links.append(without_fragment(src))

    def _read_link(self, element: Element) -> None:
        attributes = self._engine.attributes(element)
        href, rel = attributes.get("href"), (attributes.get("rel") or "").lower()
        if not href:
            return
        types = rel.split()
        if "canonical" in types:
            self.canonicals.append(href)
        if leads_on(rel, attributes.get("type") or ""):
            if not (self._reading.obey_nofollow and is_untrusted(rel)):
                self.links.append(without_fragment(href))
        elif not _ASSET_TYPES.isdisjoint(types):
            self.assets.append(without_fragment(href))

    def _read_meta(self, element: Element) -> None:
        attributes = self._engine.attributes(element)
        content, name = attributes.get("content") or "", (attributes.get("name") or "").strip().lower()
        if name == EVERYONE or name in self._reading.names:
            self.robots.append(content)
        if self.refresh is not None or self._refreshes >= MAX_REFRESHES:
            return
        if (attributes.get("http-equiv") or "").lower() == "refresh":
            address = refresh_address(content)
            self._refreshes += address is not None
            # What stands in `noscript` is for a browser that cannot do what the page would do instead.
            if address is not None and not self._lies_in_noscript(element):
                self.refresh = address
                self.links.append(without_fragment(address))

    def _read_asset(self, element: Element) -> None:
        found = addresses(self._engine, element, _ASSETS[self._engine.tag(element)])
        self.assets.extend(map(without_fragment, found))

    def _lies_in_noscript(self, element: Element) -> bool:
        parent = self._engine.parent(element)
        while parent is not None:
            if self._engine.tag(parent) == "noscript":
                return True
            parent = self._engine.parent(parent)
        return False


_Readers: TypeAlias = dict[str, Callable[[Survey, Element], None]]
_IN_HEAD: _Readers = {"base": Survey._read_base, "link": Survey._read_link, "meta": Survey._read_meta}
_IN_BODY: _Readers = dict.fromkeys(("iframe", "frame"), Survey._read_frame)
_WITH_ASSETS: _Readers = _IN_BODY | dict.fromkeys(_ASSETS, Survey._read_asset)


def without_fragment(address: str) -> str:
    """Return an address as it stands before its `#`."""
    return address.partition("#")[0]


def is_untrusted(rel: str | None) -> bool:
    """Tell whether a link's relation types ask not to follow it."""
    return rel is not None and not _UNTRUSTED.isdisjoint(rel.lower().split())


def leads_on(rel: str, media_type: str) -> bool:
    """Tell whether `<link>` or Link names a page to go to: relation types in lower case, and the type of media.

    A style sheet and a feed can be alternates, too.
    """
    types = rel.split()
    if _LINK_TYPES.isdisjoint(types) or not _NO_PAGE_TYPES.isdisjoint(types):
        return False
    return media_type.partition(";")[0].strip().lower() in _PAGE_MEDIA


def own_addresses(engine: ParseEngine, element: Element) -> list[str]:
    """Return the addresses that an element holds itself, whatever kind it is of."""
    tag = engine.tag(element)
    return list(addresses(engine, element, (*_PLACES.get(tag, ()), *_ASSETS.get(tag, ()))))


def addresses(engine: ParseEngine, element: Element, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the addresses in some attributes of an element."""
    attributes = engine.attributes(element)
    for name in names:
        if name not in attributes:
            continue
        value = attributes[name] or ""
        if name == "srcset":
            yield from srcset_addresses(value)
        elif value or name == "href":
            yield value
