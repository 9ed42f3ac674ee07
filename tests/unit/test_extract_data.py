"""Linked data as pages wrap it, and attributes without a value."""

from __future__ import annotations

import pytest

from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.worker.extract import data
from crawlfleet.worker.extract.port import Source
from crawlfleet.worker.extract.registry import open_engine

BROKEN = '{"@type": "T", "text": "a\nb;\u2003c]]>"}'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("\n ", ";\n ; \n"),
        (" <!--\n", "\n-->\n"),
        ("//<![CDATA[\n", "\n//]]>;"),
        ("// <![CDATA[\n", "\n// ]]>"),
        ("<![CDATA[", "]]>"),
        ("", "\u2003]]> "),
    ],
)
def test_what_scripts_are_wrapped_in_is_passed_over(before: str, after: str) -> None:
    engine = open_engine()
    markup = f"<meta charset=utf-8><script type=application/ld+json>{before}{BROKEN}{after}</script>"
    root = engine.root(Source(markup.encode(), "text/html"))
    expected = {"@type": "T", "text": "a\nb;\u2003c]]>"}
    assert data.linked_data(engine, root) == {"T": expected, "@graph": [expected]}


@pytest.mark.parametrize("name", sorted(PARSE_ENGINES))
def test_an_attribute_without_a_value_is_empty_whatever_the_engine(name: str) -> None:
    engine = open_engine(name)
    markup = b"<meta property=og:title content><p itemscope><a itemprop=u href>x</a><data itemprop=v value>y</data></p>"
    root = engine.root(Source(markup, "text/html"))
    assert data.open_graph(engine, root) == {"og:title": [""]}
    assert data.microdata(engine, root, lambda address: address) == {"@graph": [{"u": "", "v": ""}]}
