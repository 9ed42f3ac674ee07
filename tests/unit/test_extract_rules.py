"""Items by rules: texts, attributes, lists, nesting, what is missing; rows are numbered and bounded."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from crawlfleet.shared.brief import Brief, FieldRule, ItemRule, LimitSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.errors import UsageError
from crawlfleet.worker.extract import registry
from crawlfleet.worker.extract.extractor import Extracted, Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers

HTML = Headers((("Content-Type", "text/html"),))
QUOTES = b"""<title> Some\n quotes </title><h1>All</h1>
<div class="quote"><span class="text">One\n  <b>two</b></span><small class=author>A</small>
  <a class=tag href="/t/1">x</a><a class="tag big" href="/t/2" data-none>y</a></div>
<div class="quote"><span class="text"></span></div>"""


@pytest.fixture(autouse=True, params=sorted(PARSE_ENGINES))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test of this file over each parse engine."""
    monkeypatch.setattr(registry, "PARSE_ENGINES", {request.param: PARSE_ENGINES[request.param]})


def extract(*items: ItemRule, body: bytes = QUOTES, headers: Headers = HTML, **changes: Any) -> Extracted:
    brief = Brief(job="j", scope=ScopeSpec(), items=items, **changes)
    return Extractor(brief).extract(Fetched(url="http://h/", status=200, headers=headers, body=body))


def fields(*rules: FieldRule, each: str = "div.quote") -> list[dict[str, Any]]:
    return [row.fields for row in extract(ItemRule(name="q", each=each, fields=rules)).rows]


def test_a_text_is_that_of_the_whole_element_with_blanks_folded() -> None:
    assert fields(FieldRule(name="t", selector="span.text")) == [{"t": "One two"}, {"t": ""}]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Price: <b>12</b> EUR", "Price: EUR"),
        ("<i>a</i> b\n c<!-- no -->d", "b cd"),
        ("one<br>two<div>no</div>three<b>no</b>four", "one two threefour"),
        ("<b>no</b>", ""),
        ("", ""),
        ("a<script>no()</script>b", "ab"),
    ],
)
def test_an_own_text_is_what_stands_directly_in_an_element(markup: str, text: str) -> None:
    body = f"<div class=quote>{markup}</div>".encode()
    own = FieldRule(name="own", take="own-text")
    by_xpath = FieldRule(name="own", by="xpath", selector=".", take="own-text")
    for rule in (own, by_xpath):
        rows = extract(ItemRule(name="q", each="div.quote", fields=(rule,)), body=body).rows
        assert [row.fields for row in rows] == [{"own": text}]


def test_what_is_missing_is_none_and_a_missing_list_is_empty() -> None:
    found = fields(FieldRule(name="a", selector=".author"), FieldRule(name="tags", selector=".tag", many=True))
    assert found == [{"a": "A", "tags": ["x", "y"]}, {"a": None, "tags": []}]


def test_an_attribute_comes_as_it_stands() -> None:
    found = fields(
        FieldRule(name="h", selector=".tag", take="attr", attr="href", many=True),
        FieldRule(name="n", selector=".tag", take="attr", attr="data-none", many=True),
        FieldRule(name="c", take="attr", attr="class"),
    )
    assert found[0] == {"h": ["/t/1", "/t/2"], "n": [None, ""], "c": "quote"}


def test_nested_fields_are_objects() -> None:
    tag = (FieldRule(name="name"), FieldRule(name="to", take="attr", attr="href"))
    found = fields(
        FieldRule(name="tags", selector="a.tag", many=True, fields=tag),
        FieldRule(name="first", selector="a.tag", fields=tag),
    )
    assert found[0]["tags"] == [{"name": "x", "to": "/t/1"}, {"name": "y", "to": "/t/2"}]
    assert found[0]["first"] == {"name": "x", "to": "/t/1"}
    assert found[1] == {"tags": [], "first": None}


def test_an_item_without_each_is_one_for_the_page() -> None:
    assert fields(FieldRule(name="h", selector="h1"), each="") == [{"h": "All"}]


def test_an_element_that_two_selectors_match_is_found_once() -> None:
    assert fields(FieldRule(name="t", selector="a, a.tag, .big", many=True))[0] == {"t": ["x", "y"]}


def test_rows_are_numbered_within_their_kind() -> None:
    text = FieldRule(name="t", selector=".text")
    rows = extract(
        ItemRule(name="q", each=".quote", fields=(text,)), ItemRule(name="p", each="h1", fields=(text,))
    ).rows
    assert [(row.item, row.index) for row in rows] == [("q", 0), ("q", 1), ("p", 0)]


def test_a_job_without_items_has_one_row_for_each_page() -> None:
    (row,) = extract().rows
    assert (row.item, row.index) == ("page", 0)
    page = {"status": 200, "content_type": "text/html", "title": "Some quotes", "size": len(QUOTES), "canonical": None}
    assert row.fields == {**page, "description": None, "h1": "All", "language": None, "depth": 0}
    (other,) = extract(body=b"<title>x</title>", headers=Headers((("content-type", "Text/Plain; x"),))).rows
    plain = {"status": 200, "content_type": "text/plain", "title": None, "size": 16, "canonical": None}
    assert other.fields == {**plain, "description": None, "h1": None, "language": None, "depth": 0}


def test_a_copy_tells_of_what() -> None:
    (copy,) = extract(body=b"<base href=/d/><link rel=canonical href=x#y>").rows
    assert copy.fields["canonical"] == "http://h/d/x"
    (itself,) = extract(body=b"<link rel=canonical href=/>").rows
    assert itself.fields["canonical"] is None


def test_a_job_with_items_has_no_rows_of_other_content() -> None:
    rule = ItemRule(name="q", fields=(FieldRule(name="h", selector="h1"),))
    assert extract(rule, headers=Headers((("content-type", "image/png"),))).rows == ()


def test_rows_over_the_limits_are_left_out_and_reported() -> None:
    body = b"<p>0123456789</p>" * 20
    rule = ItemRule(name="p", each="p", fields=(FieldRule(name="t"),))
    by_number = extract(rule, body=body, limits=LimitSpec(rows=5))
    assert (len(by_number.rows), by_number.rows_left_out) == (5, 6)
    by_size = extract(rule, body=body, limits=LimitSpec(report_bytes=200))
    assert 0 < len(by_size.rows) < 8
    assert len(by_size.rows) + by_size.rows_left_out > 8
    large = extract(rule, body=body + b"<p>" + b"x" * 2_000, limits=LimitSpec(row_bytes=1_000))
    assert (len(large.rows), large.rows_left_out) == (20, 1)
    whole = extract(rule, body=body, limits=LimitSpec(rows=20))
    assert (len(whole.rows), whole.rows_left_out) == (20, 0)


@pytest.mark.parametrize("selector", ["a[", "a::text", ":nope(", "a,,b"])
def test_a_broken_selector_is_told_with_its_key(selector: str) -> None:
    field = FieldRule(name="f", fields=(FieldRule(name="g", selector=selector),))
    for item in (ItemRule(name="i", each=selector), ItemRule(name="i", fields=(field,))):
        with pytest.raises(UsageError, match=r"items\.i\.(each|fields\.f\.g): "):
            extract(item)
    with pytest.raises(UsageError, match="follow: "):
        extract(follow=(selector,))


def test_an_empty_page_has_no_items_and_does_no_harm() -> None:
    rule = ItemRule(name="q", each=".q", fields=(FieldRule(name="h", selector="h1"),))
    assert extract(rule, body=b"") == Extracted()


def test_elements_that_lie_in_each_other_are_read_until_the_rows_are_full() -> None:
    body = b"<div class=quote>" * 200 + b"x" * 50_000
    tracemalloc.start()
    try:
        found = extract(
            ItemRule(name="q", each="div.quote", fields=(FieldRule(name="t"),)),
            body=body,
            limits=LimitSpec(report_bytes=200_000),
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(found.rows), found.rows_left_out) == (3, 4)
    assert peak < 200 * 50_000 / 2
