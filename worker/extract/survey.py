"""Collects all addresses and directives of a page, as written. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from crawlfleet.shared.web.link_records import MAX_TEXT_CHARS
from crawlfleet.worker.extract.directives import EVERYONE
from crawlfleet.worker.extract.embedded import refresh_address, srcset_addresses
from crawlfleet.worker.extract.namespaces import HTML, MATHML, SVG, Namespaces
from crawlfleet.worker.extract.port import Element, ParseEngine

# Those without an address are passed over later: in SVG it may be in an attribute that CSS cannot name everywhere.
LINKS_BELOW = "a,area,iframe,frame"

# At most this many refreshes are checked, since each is a walk up the tree.
MAX_REFRESHES = 100

_LINK_TYPES = frozenset({"next", "prev", "canonical", "alternate"})
_ASSET_TYPES = frozenset({"stylesheet", "icon"})
# With one of these a link is no page, whatever else it is.
_RESOURCE_TYPES = _ASSET_TYPES | {"apple-touch-icon", "apple-touch-icon-precomposed", "fluid-icon", "mask-icon"}
_RESOURCE_TYPES |= {"manifest", "modulepreload", "preload"}
_PAGE_MEDIA = frozenset({"", "text/html", "application/xhtml+xml"})
_UNTRUSTED = frozenset({"nofollow", "ugc", "sponsored"})
# Tag: attributes with the address of a page.
_PLACES = dict.fromkeys(("a", "area", "link"), ("href",)) | dict.fromkeys(("iframe", "frame"), ("src",))
ASSETS = {  # tag: attributes with the address of an asset
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "script": ("src",),
    "audio": ("src",),
    "video": ("src", "poster"),
    "track": ("src",),
    "embed": ("src",),
}


# Elements of SVG that are those of HTML, and which attribute of that has what `href` or `xlink:href` has.
_IN_SVG = {"a": "href", "script": "src"}


class Reading(NamedTuple):
    """What to collect. `names` are the crawler's names in directives, in lower case.

    `listed` asks for `Survey.found`.
    """

    assets: bool = False
    obey_nofollow: bool = True
    names: frozenset[str] = frozenset()
    listed: bool = False


DEFAULT_READING = Reading()


class FoundLink(NamedTuple):
    """A link as a page has it: its address without the fragment, its element, and what that says."""

    address: str
    element: str
    rel: str = ""
    text: str = ""


class Survey:
    """The addresses and directives of a page.

    Addresses are unchanged and may repeat. They are ordered by kind of element, first those that are mostly in the
    head, and by document order within a kind. Fragments are removed in `links` and `assets`: on some pages most links
    differ only in these. `base` is the first `base[href]`. `links` lead to other pages, `assets` are parts of the page,
    `canonicals` the pages that it says it is a copy of. `refresh` is the target of its refresh. `robots` are the
    contents of `<meta>` tags for us. `description` is what the page says of itself, as written, and `language` the one
    that a `<meta>` names (HTML, 4.2.5.3). `found` has every link with its texts, but for those to a place in the page
    itself. `namespaces` are those of its elements.
    """

    __slots__ = (
        "_engine",
        "_is_html_alone",
        "_is_xml",
        "_reading",
        "_refreshes",
        "assets",
        "base",
        "canonicals",
        "description",
        "found",
        "language",
        "links",
        "namespaces",
        "refresh",
        "robots",
    )

    def __init__(self, engine: ParseEngine, root: Element, reading: Reading, *, is_xml: bool = False) -> None:
        self._engine = engine
        self._reading = reading
        self._is_html_alone = True
        self.namespaces = Namespaces(engine, is_xml=is_xml)
        self._is_xml = is_xml
        self.base: str | None = None
        self.links: list[str] = []
        self.assets: list[str] = []
        self.canonicals: list[str] = []
        self.refresh: str | None = None
        self._refreshes = 0
        self.robots: list[str] = []
        self.description: str | None = None
        self.language: str | None = None
        self.found: list[FoundLink] = []
        if root is not None:
            self._walk(root)

    def _walk(self, root: Element) -> None:
        """Find elements by name, all rare names at once: measured, that is fastest."""
        engine = self._engine
        late = _WITH_ASSETS if self._reading.assets else _IN_BODY
        rare: dict[str, list[Element]] = {}
        for element in engine.named(root, *_IN_HEAD, "area", *late, SVG, MATHML):
            rare.setdefault(engine.tag(element), []).append(element)
        self._is_html_alone = not self._is_xml and SVG not in rare and MATHML not in rare
        self._read(rare, _IN_HEAD)
        anchors = engine.named(root, "a")
        self._read_anchors(anchors)
        self._read_anchors(rare.get("area", []))
        self._read(rare, late)
        if self._reading.listed:
            self._list(anchors, rare)

    def attributes(self, element: Element) -> Mapping[str, str | None]:
        """Return an element's attributes as HTML names them; none if it is not HTML, and means nothing to a browser.

        An `a` of SVG is a link as one of HTML, and a `script` a script: `href` or `xlink:href` has the address.
        """
        attributes = self._engine.attributes(element)
        if self._is_html_alone:
            return attributes
        namespace = self.namespaces.of(element)
        if namespace == HTML:
            return attributes
        name = _IN_SVG.get(self._engine.tag(element)) if namespace == SVG else None
        if name is None:
            return {}
        others = {key: value for key, value in attributes.items() if key != name}
        address = attributes.get("href", attributes.get("xlink:href"))
        return others if address is None else others | {name: address}

    def own_addresses(self, element: Element) -> list[str]:
        """Return the addresses in an element's own attributes, for any kind of element."""
        tag = self._engine.tag(element)
        return list(_addresses(self.attributes(element), (*_PLACES.get(tag, ()), *ASSETS.get(tag, ()))))

    def _read(self, found: dict[str, list[Element]], readers: _Readers) -> None:
        for tag, read in readers.items():
            for element in found.get(tag, ()):
                read(self, element)

    def _read_anchors(self, anchors: list[Element]) -> None:
        obey, links = self._reading.obey_nofollow, self.links
        found = self._engine.anchors(anchors) if self._is_html_alone else self._foreign_anchors(anchors)
        for href, rel in found:
            if href is not None and not (obey and rel is not None and is_untrusted(rel)):
                links.append(href if "#" not in href else href[: href.index("#")])

    def _foreign_anchors(self, anchors: list[Element]) -> Iterator[tuple[str | None, str | None]]:
        for attributes in map(self.attributes, anchors):
            yield (attributes["href"] or "") if "href" in attributes else None, attributes.get("rel")

    def _read_base(self, element: Element) -> None:
        attributes = self.attributes(element)
        if self.base is None and "href" in attributes:
            self.base = attributes["href"] or ""

    def _read_frame(self, element: Element) -> None:
        src = self.attributes(element).get("src")
        if src:
            self.links.append(without_fragment(src))

    def _read_link(self, element: Element) -> None:
        attributes = self.attributes(element)
        href, rel = attributes.get("href"), (attributes.get("rel") or "").lower()
        if not href:
            return
        types = rel.split()
        if "canonical" in types:
            self.canonicals.append(href)
        if leads_on(rel, attributes.get("type") or ""):
            if not (self._reading.obey_nofollow and is_untrusted(rel)):
                self.links.append(without_fragment(href))
        elif is_asset(rel):
            self.assets.append(without_fragment(href))

    def _read_meta(self, element: Element) -> None:
        attributes = self.attributes(element)
        content, name = attributes.get("content") or "", (attributes.get("name") or "").strip().lower()
        if name == EVERYONE or name in self._reading.names:
            self.robots.append(content)
        elif name == "description" and self.description is None:
            self.description = content
        kind = (attributes.get("http-equiv") or "").lower()
        if kind == "content-language" and "," not in content and content.strip():
            self.language = content.split()[0]
        if self.refresh is not None or self._refreshes >= MAX_REFRESHES:
            return
        if kind == "refresh":
            address = refresh_address(content)
            self._refreshes += address is not None
            # The content of `noscript` is for browsers that do not run the page's scripts.
            if address is not None and not self._lies_in_noscript(element):
                self.refresh = address
                self.links.append(without_fragment(address))

    def _read_asset(self, element: Element) -> None:
        found = _addresses(self.attributes(element), ASSETS[self._engine.tag(element)])
        self.assets.extend(map(without_fragment, found))

    def _list(self, anchors: list[Element], rare: dict[str, list[Element]]) -> None:
        """List the links at once: a hook may remove their elements."""
        engine, add = self._engine, self.found.append
        if self.refresh is not None:
            add(FoundLink(without_fragment(self.refresh), "meta"))
        for element in rare.get("link", ()):
            attributes = self.attributes(element)
            href, rel = attributes.get("href"), (attributes.get("rel") or "").lower()
            is_listed = leads_on(rel, attributes.get("type") or "") or (self._reading.assets and is_asset(rel))
            if href and is_listed:
                add(FoundLink(without_fragment(href), "link", rel))
        for tag, elements in (("a", anchors), ("area", rare.get("area", ()))):
            for element in elements:
                attributes = self.attributes(element)
                href = attributes.get("href", "#") or ""
                if not href.startswith("#"):
                    text = engine.text(element) if tag == "a" else attributes.get("alt") or ""
                    add(FoundLink(without_fragment(href), tag, attributes.get("rel") or "", _folded(text)))
        for tag in _WITH_ASSETS:
            for element in rare.get(tag, ()):
                text = _folded(engine.attributes(element).get("alt") or "")
                for address in self.own_addresses(element):
                    add(FoundLink(without_fragment(address), tag, "", text))

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
_WITH_ASSETS: _Readers = _IN_BODY | dict.fromkeys(ASSETS, Survey._read_asset)


def without_fragment(address: str) -> str:
    """Return an address up to its `#`."""
    return address.partition("#")[0]


def _folded(text: str) -> str:
    """Return a text with whitespace folded, its beginning if it is long."""
    return " ".join(text[: 4 * MAX_TEXT_CHARS].split())[:MAX_TEXT_CHARS]


def is_untrusted(rel: str | None) -> bool:
    """Say whether a link's relation types ask not to follow it."""
    return rel is not None and not _UNTRUSTED.isdisjoint(rel.lower().split())


def leads_on(rel: str, media_type: str) -> bool:
    """Say whether a `<link>` or Link with these relation types (in lower case) and media type leads to a page.

    Style sheets, icons and feeds can be alternates, too.
    """
    types = rel.split()
    if _LINK_TYPES.isdisjoint(types) or not _RESOURCE_TYPES.isdisjoint(types):
        return False
    return media_type.partition(";")[0].strip().lower() in _PAGE_MEDIA


def is_asset(rel: str) -> bool:
    """Say whether a `<link>` with these relation types (in lower case) leads to a part of the page."""
    return not _ASSET_TYPES.isdisjoint(rel.split())


def _addresses(attributes: Mapping[str, str | None], names: tuple[str, ...]) -> Iterator[str]:
    """Yield the addresses in the attributes with these names."""
    for name in names:
        if name not in attributes:
            continue
        value = attributes[name] or ""
        if name == "srcset":
            yield from srcset_addresses(value)
        elif value or name == "href":
            yield value
