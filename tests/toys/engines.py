"""Engines that only tests have: they fetch from a dict, and parse what is well-formed XML."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.dom.minidom import Element, Node, parseString
from xml.parsers.expat import ExpatError

from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.engines import FetchEntry, ParseEntry
from crawlfleet.worker.extract.port import ParseFault, Source
from crawlfleet.worker.fetch.port import WHOLE, Fetched, Headers, Wanted

FETCH = FetchEntry(name="toy", place="tests.toys.engines:ToyFetcher")
FETCH_MANY = FetchEntry(name="toy", place="tests.toys.engines:ToyFetcher", many_at_once=True, fetches=3)
PARSE = ParseEntry(name="toy", place="tests.toys.engines:ToyParser")

HEADERS = Headers((("Content-Type", "text/html"), ("X-Fetched-By", "toy")))
PAGES = {
    "/": b"<html><h1>home</h1><a href='/a'>a</a><a href='/b'>b</a></html>",
    "/a": b"<html><h1>one</h1><a href='/b'>b</a></html>",
    "/b": b"<html><h1>two</h1></html>",
}


class ToyFetcher:
    """Keeps to both ports of a fetcher."""

    def __init__(self, spec: FetchSpec) -> None:
        self._spec = spec
        self._ended: list[tuple[Any, Fetched]] = []
        self._bell = threading.Event()

    def fetch(self, url: str, wanted: Wanted = WHOLE) -> Fetched:
        body = PAGES.get(urlsplit(url).path, b"")
        kept = b"" if wanted.by_head else body[: wanted.keep_bytes]
        return Fetched(url=url, status=200 if body else 404, headers=HEADERS, body=kept)

    def start(self, url: str, wanted: Wanted, mark: Any, /) -> None:
        self._ended.append((mark, self.fetch(url, wanted)))

    def wait(self, timeout_s: float | None, /) -> list[tuple[Any, Fetched]]:
        if not self._ended:
            self._bell.wait(timeout_s)
        self._bell.clear()
        ended, self._ended = self._ended, []
        return ended

    def wake(self) -> None:
        self._bell.set()

    def close(self) -> None:
        pass


class ToyParser:
    """Its selectors are names of elements."""

    def root(self, source: Source, /) -> Element:
        try:
            root = parseString(source.text).documentElement
        except ExpatError as error:
            raise ParseFault(f"it is not well-formed: {error}") from error
        assert root is not None
        return root

    def select(self, element: Element, css: str, /) -> list[Element]:
        own = [element] if element.tagName == css else []
        return own + list(element.getElementsByTagName(css))

    def first(self, element: Element, css: str, /) -> Element | None:
        return next(iter(self.select(element, css)), None)

    def named(self, root: Element, /, *tags: str) -> list[Element]:
        return [element for element in root.getElementsByTagName("*") if element.tagName in tags]

    def tag(self, element: Element, /) -> str:
        return element.tagName

    def attributes(self, element: Element, /) -> Mapping[str, str | None]:
        return dict(element.attributes.items())

    def attribute(self, element: Element, name: str, /) -> str | None:
        return self.attributes(element).get(name)

    def anchors(self, elements: Iterable[Element], /) -> Iterator[tuple[str | None, str | None]]:
        for element in elements:
            yield self.attribute(element, "href"), self.attribute(element, "rel")

    def text(self, element: Element, /) -> str:
        return _text(element)

    def parent(self, element: Element, /) -> Element | None:
        above = element.parentNode
        return above if isinstance(above, Element) else None

    def check(self, css: str, /) -> bool:
        return css.isalnum()


def _text(node: Any) -> str:
    return node.data if node.nodeType == Node.TEXT_NODE else "".join(map(_text, node.childNodes))
