"""Fields with types: the same values over every parse engine."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.shared.brief import Brief, FieldRule, ItemRule, ParseSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.field_types import fits
from crawlfleet.shared.messages import Unconverted
from crawlfleet.worker.extract.extractor import Extracted, Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers

HTML = Headers((("Content-Type", "text/html; charset=utf-8"),))
SHOP = """<!doctype html><html><head><base href="/shop/"><title>T</title></head><body>
<article id=7><h2><a href="one#top">One</a></h2><p class=price>£1,051.77</p><p class=stock>In stock (22 available)</p>
<time datetime="2024-05-06T07:08:09Z">6 May 2024</time><td>x</td><ul><li>a</li><li> b  c</li><li></li></ul>
<b class=n>1</b><b class=n>2.5</b><b class=n>many</b><b class=n></b><i>yes</i>
<script type=x-data>{"a": [1, {"b": null}]}</script></article>
<article id=x><h2><a href="mailto:a@e.org">Two</a></h2><p class=price>sold out</p><time>soon</time></article>
</body></html>""".encode()


@pytest.fixture(params=sorted(PARSE_ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def extracted(engine: str, *fields: FieldRule, each: str = "article", body: bytes = SHOP) -> Extracted:
    items = (ItemRule(name="thing", each=each, fields=fields),)
    brief = Brief(job="j", scope=ScopeSpec(), items=items, parse=ParseSpec(engine=engine))
    return Extractor(brief).extract(Fetched(url="http://h.test/", status=200, headers=HTML, body=body))


def values(engine: str, **rule: Any) -> list[Any]:
    """Return what a field has in the two rows."""
    return [row.fields["f"] for row in extracted(engine, FieldRule(name="f", **rule)).rows]


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        ({"selector": "h2"}, "One", "Two"),
        ({"selector": "a", "take": "attr", "attr": "href", "type": "url"}, "http://h.test/shop/one", None),
        ({"selector": ".price", "type": "price"}, {"amount": "1051.77", "currency": "£"}, None),
        ({"selector": ".price", "type": "decimal", "pattern": "[0-9.,]+"}, "1051.77", None),
        ({"selector": ".stock", "type": "int", "pattern": r"(\d+) available"}, 22, None),
        ({"selector": ".stock", "type": "int", "pattern": r"(\d+) available", "default": 0}, 22, 0),
        ({"selector": "time", "type": "date"}, "2024-05-06", None),
        (
            {"selector": "time", "take": "attr", "attr": "datetime", "type": "datetime"},
            "2024-05-06T07:08:09+00:00",
            None,
        ),
        ({"selector": "i", "type": "bool"}, True, None),
        ({"take": "attr", "attr": "id", "type": "int"}, 7, None),
        ({"selector": "li", "many": True}, ["a", "b c", ""], []),
        ({"selector": "li", "join": "; "}, "a; b c", None),
        ({"selector": "li", "join": "; ", "default": "none"}, "a; b c", "none"),
        ({"selector": "li", "pattern": "b.*"}, "b c", None),
        ({"selector": "li", "pattern": "[a-c]$", "many": True}, ["a", "c"], []),
        ({"selector": ".n", "type": "float", "many": True}, [1.0, 2.5, None, None], []),
        ({"selector": ".n", "join": ".", "pattern": "^[0-9]+$", "type": "float"}, 1.0, None),
        ({"selector": "script", "type": "json"}, {"a": [1, {"b": None}]}, None),
        ({"selector": "u", "many": True, "default": ["x"]}, ["x"], ["x"]),
    ],
)
def test_a_field_has_a_value_of_its_type_or_none(engine: str, rule: dict[str, Any], first: Any, second: Any) -> None:
    found = values(engine, **rule)
    assert found == [first, second]
    for each in (part for value in found for part in (value if isinstance(value, list) else [value])):
        assert each is None or fits(rule.get("type", "text"), each)


def test_what_cannot_be_converted_is_counted_by_field_with_a_sample(engine: str) -> None:
    inner = FieldRule(name="count", selector="", type="int")
    found = extracted(
        engine,
        FieldRule(name="price", selector=".price", type="price"),
        FieldRule(name="when", selector="time", type="date", default="2031-12-31"),
        FieldRule(name="counts", selector=".n", many=True, fields=(inner,)),
        FieldRule(name="gone", selector="u", type="int"),
    )
    assert found.unconverted == (
        Unconverted("thing", "counts.count", 2, "2.5"),
        Unconverted("thing", "price", 1, "sold out"),
        Unconverted("thing", "when", 1, "soon"),
    )
    # A default does not hide it.
    assert [row.fields["when"] for row in found.rows] == ["2024-05-06", None]


def test_a_row_without_a_required_field_is_rejected_with_the_reason(engine: str) -> None:
    stars = FieldRule(name="stars", selector="i", required=True)
    found = extracted(
        engine,
        FieldRule(name="price", selector=".price", type="price", required=True),
        FieldRule(name="name", selector="h2", required=True),
        FieldRule(name="reviews", many=True, fields=(stars,)),
        FieldRule(name="items", selector="li", many=True, required=True),
    )
    why = (
        "price is required, and 'sold out' is no price; reviews.stars is required, and empty; "
        "items is required, and empty"
    )
    assert [(row.index, row.rejected) for row in found.rows] == [(0, ""), (0, why)]
    assert found.rows[1].fields == {"price": None, "name": "Two", "reviews": [{"stars": None}], "items": []}


def test_an_object_of_the_first_match_needs_no_list(engine: str) -> None:
    names = (FieldRule(name="n", type="float"),)
    assert values(engine, selector=".n", fields=names) == [{"n": 1.0}, None]


def test_samples_are_cut_and_fields_are_so_many_at_most(engine: str) -> None:
    fields = [FieldRule(name=f"f{number}", selector="p", type="int") for number in range(150)]
    found = extracted(engine, *fields, each="", body=b"<p>" + b"x" * 5000).unconverted
    assert len(found) == 100
    assert {len(each.sample) for each in found} == {200}


def test_a_page_without_rows_tells_nothing_of_values(engine: str) -> None:
    body = b"<meta name=robots content=noindex><p>x"
    assert extracted(engine, FieldRule(name="f", selector="p", type="int"), each="", body=body).unconverted == ()
