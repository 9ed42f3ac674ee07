"""Inputs of strangers that are made to take long: time that grows with the square of their size ends at the limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.web.patterns import Patterns
from crawlfleet.shared.web.scope import Scope
from crawlfleet.worker.extract import data, nesting
from crawlfleet.worker.extract.markup import markdown
from crawlfleet.worker.extract.namespaces import XHTML
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.port import Source
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.extract.sitemap import read_sitemap
from crawlfleet.worker.fetch import head
from crawlfleet.worker.fetch.port import Fetched, Headers


def _repeated_fields(name: bytes, first: bytes, value: bytes) -> Any:
    """Read as many fields of one name as a head may have, larger ones than it may."""
    return head.read_fields(
        [name + b":" + first * 1_000_000 + value + b"\r\n", *[name + b":" + value + b"\r\n"] * 4_999]
    )


def _linked_data(script: str) -> None:
    engine = open_engine()
    markup = f"<script type=application/ld+json>{script}</script>".encode()
    assert data.linked_data(engine, engine.root(Source(markup, "text/html"))) == {"@graph": []}


def _microdata(markup: str) -> dict[str, Any]:
    engine = open_engine()
    return data.microdata(engine, engine.root(Source(markup.encode(), "text/html")), lambda address: address)


def _xhtml(markup: str) -> None:
    """Read a page of XML, by the rules of HTML where it is not well-formed, or grows."""
    fields = Headers([("Content-Type", "application/xhtml+xml")])
    page = Page(Fetched(url="http://h.test/", status=200, headers=fields, body=markup.encode()))
    assert page.is_html
    assert page.survey.links == []


def _sitemap(text: str) -> None:
    read_sitemap(text.encode(), "http://h.test/sitemap.xml", lambda url: url)


def _markdown(markup: str) -> None:
    assert markdown(markup, lambda address: address)


_NAME = "n" * 4_000_000
_IN_TEMPLATE = f"<html xmlns='{XHTML}'><template>{'<x/>' * 500_000}</template></html>"
CASES: dict[str, Callable[[], Any]] = {
    "a path that no glob matches": lambda: Patterns(["*foo*", "a*b", *(f"x*{number}" for number in range(20))]).match(
        "/" + "ax" * 1_000_000
    ),
    "a host of very many labels": lambda: Scope(ScopeSpec(hosts=("h.test",), subdomains=True)).has_host("a." * 200_000),
    "tags without an end": lambda: nesting.flattened(b"<b</b" * 1_000_000 + b">"),
    "blanks in linked data": lambda: _linked_data("{" + " " * 1_000_000 + "x"),
    "semicolons in linked data": lambda: _linked_data("{" + "; " * 500_000 + "x"),
    "an item of microdata that names itself": lambda: _microdata(
        f"<div itemscope itemref=i></div><div id=i itemprop=a itemscope itemref='{'i ' * 200_000}'></div>"
    ),
    "a page in a namespace with a long name": lambda: _xhtml(f"<x xmlns:a='{_NAME}'>{'<a:x/>' * 100_000}</x>"),
    "a long attribute that the DTD gives to each element": lambda: _xhtml(
        f"<!DOCTYPE x [<!ATTLIST x a CDATA '{_NAME}'>]>{_IN_TEMPLATE}"
    ),
    "an attribute of a long name that the DTD gives to each element": lambda: _xhtml(
        f"<!DOCTYPE x [<!ATTLIST x {_NAME} CDATA ''>]><x>{'<x/>' * 500_000}</x>"
    ),
    "many attributes that the DTD gives to each element": lambda: _xhtml(
        "<!DOCTYPE x [<!ATTLIST x " + " ".join(f"a{number} CDATA ''" for number in range(5_000)) + f">]>{_IN_TEMPLATE}"
    ),
    "a sitemap in a namespace with a long name": lambda: _sitemap(
        f"<urlset xmlns:a='{_NAME}'>{'<a:x/>' * 100_000}</urlset>"
    ),
    "blanks as Markdown": lambda: _markdown("<p>a" + " " * 1_000_000 + "b"),
    "empty lines as Markdown": lambda: _markdown("<pre>a" + "\n " * 500_000 + "b"),
    "items of a list as Markdown": lambda: _markdown("<ol>" + "<li>a" * 60_000),
    "lengths of a body, again and again": lambda: _repeated_fields(b"Content-Length", b"5,", b"5"),
    "codings, again and again": lambda: _repeated_fields(b"Content-Encoding", b",", b","),
    "transfer codings, again and again": lambda: _repeated_fields(b"Transfer-Encoding", b",", b","),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_it_ends(name: str) -> None:
    CASES[name]()


def test_microdata_that_name_a_large_value_again_and_again_take_bounded_memory() -> None:
    markup = f"<div itemscope itemref='{'i ' * 10_000}'></div><meta id=i itemprop=a content='{'x' * 100_000}'>"
    (item,) = _microdata(markup)["@graph"]
    assert sum(map(len, item["a"])) < 100_000_000
