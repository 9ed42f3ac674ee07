"""Fields by XPath, of markup, and of data in pages: the same values over every parse engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crawlfleet.shared.brief import Brief, FieldRule, ItemRule, ParseSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.errors import UsageError
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers
from tests.conformance.test_extract_engines import MALFORMED

PAGE = """<!doctype html><html><head><base href="/b/"><title>T</title>
<meta property="og:title" content=" One "><meta property="OG:image" content="/1.png">
<meta property="og:image" content="/2.png"><meta name="product:price" content="5"><meta name=author content=me>
</head><body><!-- no --><h1 id="top" data-x>Head  line</h1>
<article class="a"><h2>A &amp; <i>b</i></h2><a href="x#y" title="a&quot;&lt;b">l</a><p>one<br>two&nbsp;</p></article>
<article><h2>C</h2><ul><li>1</li><li>2</li></ul><svg width="0 0"><circle r="1"></circle></svg></article>
<script>if (a < b && c) { d("é") }</script></body></html>"""
ARTICLE = (
    '<article class="a"><h2>A &amp; <i>b</i></h2><a href="x#y" title="a&quot;&lt;b">l</a>'
    "<p>one<br>two&nbsp;</p></article>"
)


@pytest.fixture(params=sorted(PARSE_ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def rows(engine: str, item: ItemRule, body: str = PAGE, kind: str = "text/html", url: str = "http://h.test/") -> Any:
    brief = Brief(job="j", scope=ScopeSpec(), items=(item,), parse=ParseSpec(engine=engine))
    headers = Headers((("Content-Type", f"{kind}; charset=utf-8"),))
    found = Extractor(brief).extract(Fetched(url=url, status=200, headers=headers, body=body.encode()))
    assert found.error == ""
    return [row.fields for row in found.rows]


def value(engine: str, body: str = PAGE, **rule: Any) -> Any:
    """Return what a field of the whole page has."""
    ((fields),) = rows(engine, ItemRule(name="i", fields=(FieldRule(name="f", **rule),)), body)
    return fields["f"]


@pytest.mark.parametrize(
    ("expression", "rule", "expected"),
    [
        ("//h1", {}, "Head line"),
        ("//h1/text()", {}, "Head line"),
        ("//a/@title", {}, 'a"<b'),
        ("//a/@href", {"type": "url"}, "http://h.test/b/x"),
        ("//a", {"take": "attr", "attr": "href"}, "x#y"),
        ("string(//h1)", {}, "Head line"),
        ("count(//li)", {}, "2"),
        ("count(//li)", {"type": "int"}, 2),
        ("count(//li) div 4", {"type": "float"}, 0.5),
        ("boolean(//nav)", {"type": "bool"}, False),
        ("//li", {"many": True}, ["1", "2"]),
        ("//li[2]/preceding-sibling::li", {}, "1"),
        ("//p/text()", {"many": True}, ["one", "two"]),
        ("//h2[contains(., 'b')]", {}, "A & b"),
        ("//article[@class='a']", {"take": "html"}, ARTICLE),
        ("//nav", {}, None),
        ("//comment()", {"many": True}, []),
        ("//*[@id='top']/@data-x", {}, ""),
        ("substring('a', //h1)", {}, ""),
    ],
)
def test_xpath_selects_elements_texts_attributes_numbers_and_truths(
    engine: str, expression: str, rule: dict[str, Any], expected: Any
) -> None:
    assert value(engine, by="xpath", selector=expression, **rule) == expected


def test_xpath_and_css_work_within_what_the_other_has_found(engine: str) -> None:
    css = FieldRule(name="css", selector="h2")
    xpath = FieldRule(name="xpath", by="xpath", selector="./h2")
    parts = FieldRule(name="parts", by="xpath", selector=".//li", many=True, fields=(FieldRule(name="n", type="int"),))
    expected = [
        {"css": "A & b", "xpath": "A & b", "parts": []},
        {"css": "C", "xpath": "C", "parts": [{"n": 1}, {"n": 2}]},
    ]
    assert rows(engine, ItemRule(name="i", each="article", fields=(css, xpath, parts))) == expected
    assert rows(engine, ItemRule(name="i", by="xpath", each="//article", fields=(css, xpath, parts))) == expected


def test_xpath_meets_what_xml_cannot_hold(engine: str) -> None:
    body = "<p @click=x a:b=y ok=z\x01>a\x0bb</p><o:p>n</o:p>" + "<b>" * 200 + "deep"
    assert value(engine, body, by="xpath", selector="//p/@ok") == "z\ufffd"
    assert value(engine, body, by="xpath", selector="//p/@*", many=True) == ["z\ufffd"]
    assert value(engine, body, by="xpath", selector="count(//b)", type="int") == 200
    assert value(engine, body, by="xpath", selector="//o") is None


@pytest.mark.parametrize(("by", "selector"), [("xpath", "//a["), ("jmespath", "a["), ("css", "a[")])
def test_a_selector_that_cannot_be_used_is_told_with_its_key(engine: str, by: str, selector: str) -> None:
    for item in (
        ItemRule(name="i", by=by, each=selector),
        ItemRule(name="i", when_by=by, when=selector),
        ItemRule(name="i", fields=(FieldRule(name="f", by=by, selector=selector, many=True),)),
    ):
        with pytest.raises(UsageError, match=r"items\.i\.(each|when|fields\.f): "):
            rows(engine, item)


def test_an_element_as_html_is_as_the_standard_writes_it(engine: str) -> None:
    assert value(engine, selector="article", take="html") == ARTICLE
    assert value(engine, selector="script", take="html") == '<script>if (a < b && c) { d("é") }</script>'
    assert value(engine, selector="svg", take="html") == '<svg width="0 0"><circle r="1"></circle></svg>'
    assert value(engine, selector="h1", take="html") == '<h1 id="top" data-x="">Head  line</h1>'
    assert value(engine, "<div>a<!-- c --><img src=x>b</div>", selector="div", take="html") == (
        '<div>a<!-- c --><img src="x">b</div>'
    )


def test_an_element_as_markdown_has_absolute_addresses_and_no_scripts(engine: str) -> None:
    body = """<main><h1>Big</h1><p>a <b>c</b> <a href="d?e#f">g</a><img src=/h.png alt=i> <a href="mailto:x@y">m</a></p>
    <ul><li>one<li>two</ul><script>no()</script><table><tr><th>k<th>v<tr><td>1<td>2</table><pre><code>x
  y</code></pre></main>"""
    assert value(engine, body, selector="main", take="markdown") == (
        "# Big\n\na **c** [g](http://h.test/d?e)![i](http://h.test/h.png) [m](mailto:x@y)\n\n- one\n- two\n\n"
        "| k | v |\n| --- | --- |\n| 1 | 2 |\n\n```\nx\n  y\n```"
    )


def test_markup_that_is_nested_too_deep_for_markdown_gives_its_text(engine: str) -> None:
    assert value(engine, "<i>" * 700 + "deep", selector="body", take="markdown") == "deep"


LINKED = {
    "@context": "https://schema.org",
    "@graph": [
        {
            "@type": ["Product", "Thing"],
            "name": "A",
            "offers": {"price": 12.5, "priceCurrency": "EUR"},
            "tags": ["x", "y"],
        },
        {"@type": "http://schema.org/Organization", "name": "O"},
        {"@type": "Product", "name": "B"},
    ],
}
SCRIPTS = f"""<script type="application/ld+json">{json.dumps(LINKED)}</script>
<script type="Application/LD+JSON; charset=utf-8"><!-- [{{"@type": "Event", "name": "line
end"}}, 5] --></script>
<script type="application/ld+json">{{"@type": "Broken", </script>
<script type="application/ld+json">{"[" * 100000}</script>
<script>{{"@type": "Other"}}</script><script type="application/ld+json"></script>"""


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"selector": "Product.name"}, "A"),
        ({"selector": "Product.offers.price", "type": "decimal"}, "12.5"),
        (
            {"selector": "Product.offers.price", "type": "price", "currency": "EUR"},
            {"amount": "12.5", "currency": "EUR"},
        ),
        ({"selector": "Product.tags"}, ["x", "y"]),
        ({"selector": "Product.tags", "type": "text"}, "x"),
        ({"selector": "Product.tags", "type": "text", "many": True}, ["x", "y"]),
        ({"selector": "Product.tags", "join": "+"}, "x+y"),
        ({"selector": "Product.offers"}, {"price": 12.5, "priceCurrency": "EUR"}),
        ({"selector": "Organization.name"}, "O"),
        ({"selector": "Thing.name"}, "A"),
        ({"selector": '"@graph"[?"@type"==\'Product\'].name'}, ["B"]),
        ({"selector": "Event.name"}, "line\nend"),
        ({"selector": "Event.name", "pattern": "^l.*"}, "line"),
        ({"selector": "Broken"}, None),
        ({"selector": "Other"}, None),
        ({"selector": "Product.offers", "type": "text"}, None),
        ({"selector": "sum(Product.tags)"}, None),
        ({"selector": "length(Product.tags)", "type": "int"}, 2),
    ],
)
def test_json_ld_is_found_by_type_and_what_is_broken_is_not_there(
    engine: str, rule: dict[str, Any], expected: Any
) -> None:
    assert value(engine, SCRIPTS, by="jsonld", **{"type": "json", **rule}) == expected


def test_half_a_surrogate_pair_fails_no_page(engine: str) -> None:
    body = '<script type="application/ld+json">{"@type": "A", "n": "x\\ud800", "m": "a\nb"}</script>'
    assert value(engine, body, by="jsonld", selector="A.n") == "x?"
    assert value(engine, body, by="jsonld", selector="A.n", type="json") is None
    assert value(engine, body, by="jsonld", selector="A.n", pattern="x") is None


def test_objects_of_json_ld_become_items(engine: str) -> None:
    fields = (FieldRule(name="n", by="jmespath", selector="name", required=True),)
    each = '"@graph"[?offers || "@type"==\'Product\']'
    assert rows(engine, ItemRule(name="i", by="jsonld", each=each, fields=fields), SCRIPTS) == [{"n": "A"}, {"n": "B"}]
    assert rows(engine, ItemRule(name="i", by="jsonld", each="Recipe", fields=fields), SCRIPTS) == []


@pytest.mark.parametrize(
    ("name", "many", "expected"),
    [
        ("title", False, "One"),
        ("og:title", False, "One"),
        ("IMAGE", False, "/1.png"),
        ("image", True, ["/1.png", "/2.png"]),
        ("product:price", False, "5"),
        ("author", False, None),
        ("none", True, []),
    ],
)
def test_open_graph_properties_are_found_by_name(engine: str, name: str, many: bool, expected: Any) -> None:
    assert value(engine, by="opengraph", selector=name, many=many) == expected


MICRODATA = """<div itemscope itemtype="https://schema.org/Product" itemid="/p/1" itemref="more gone">
<h1 itemprop="name alternateName"> A  b </h1><a itemprop=url href=x>l</a><img itemprop=image src=/1.png>
<img itemprop=image src=/2.png><div itemprop=offers itemscope itemtype="https://schema.org/Offer">
<span itemprop=price content="12.50">12,50</span>
<meta itemprop=priceCurrency content=EUR><time itemprop=validFrom datetime=2024-05-06>May</time></div>
<div itemscope><b itemprop=name>inner</b></div></div><p id=more itemprop=note>m<b itemprop=strong>s</b></p>
<p itemprop=name>of nothing</p><div itemscope id=loop itemref=loop><i itemprop=x>y</i></div>"""


def test_microdata_is_found_as_objects_by_type(engine: str) -> None:
    assert value(engine, MICRODATA, by="microdata", selector="@", type="json") == {
        "Product": (
            product := {
                "@type": "Product",
                "@id": "http://h.test/p/1",
                "name": "A b",
                "alternateName": "A b",
                "url": "http://h.test/x",
                "image": ["http://h.test/1.png", "http://h.test/2.png"],
                "offers": {"@type": "Offer", "price": "12.50", "priceCurrency": "EUR", "validFrom": "2024-05-06"},
                "note": "ms",
                "strong": "s",
            }
        ),
        "@graph": [product, {"name": "inner"}, {"x": ["y", "y"]}],
    }
    assert value(engine, MICRODATA, by="microdata", selector="Product.offers.price", type="decimal") == "12.50"
    assert value(engine, by="microdata", selector="Product") is None


def test_microdata_that_names_itself_ends(engine: str) -> None:
    body = (
        '<div itemscope id=a itemref="b"><p id=b itemprop=p itemscope itemref="b c"></p><p id=c itemprop=q>x</p></div>'
    )
    found = value(engine, body, by="microdata", selector='"@graph"[0].p[0].q', type="json")
    assert found == "x"
    wide = "".join(
        f'<p id=i{n} itemprop=p itemscope itemref="{" ".join(f"i{m}" for m in range(20))}"></p>' for n in range(20)
    )
    value(engine, f"<div itemscope>{wide}</div>", by="microdata", selector="Product", type="json")


ANSWER = {"items": [{"n": 1, "tags": ["a"], "price": "5 EUR"}, {"n": "x", "tags": [], "price": None}], "next": "/2"}


def test_a_json_answer_gives_items(engine: str) -> None:
    fields = (
        FieldRule(name="n", by="jmespath", selector="n", type="int"),
        FieldRule(name="tags", by="jmespath", selector="tags", type="text", many=True),
        FieldRule(name="price", by="jmespath", selector="price", type="price"),
        FieldRule(name="all", by="jmespath", selector="@", type="json"),
    )
    item = ItemRule(name="i", by="jmespath", each="items[]", fields=fields)
    expected = [
        {"n": 1, "tags": ["a"], "price": {"amount": "5", "currency": "EUR"}, "all": ANSWER["items"][0]},
        {"n": None, "tags": [], "price": None, "all": ANSWER["items"][1]},
    ]
    body = json.dumps(ANSWER)
    for kind, text in (("application/json", body), ("application/vnd.api+json", f"\ufeff{body}"), ("text/plain", body)):
        assert rows(engine, item, text, kind) == expected
    for kind, text in (("text/html", body), ("application/json", body[:-1]), ("application/json", "null")):
        assert rows(engine, item, text, kind) == []


def test_a_json_answer_may_be_one_item(engine: str) -> None:
    one = ItemRule(name="i", fields=(FieldRule(name="to", by="jmespath", selector="next", type="url"),))
    assert rows(engine, one, json.dumps(ANSWER), "application/json") == [{"to": "http://h.test/2"}]
    assert rows(engine, one) == []
    of_page = ItemRule(name="i", fields=(FieldRule(name="h", selector="h1"),))
    assert rows(engine, of_page, json.dumps(ANSWER), "application/json") == []


@pytest.mark.parametrize(
    ("rule", "url", "number"),
    [
        ({"urls": ("/p/",)}, "http://h.test/p/1", 1),
        ({"urls": ("/p/", "re:[?]x=[0-9]$")}, "http://h.test/q?x=1", 1),
        ({"urls": ("/p/",)}, "http://h.test/q/p/1", 0),
        ({"when": "h1#top"}, "http://h.test/", 1),
        ({"when": "h1.none"}, "http://h.test/", 0),
        ({"when": "//h1", "when_by": "xpath"}, "http://h.test/", 1),
        ({"when": "count(//nav)", "when_by": "xpath"}, "http://h.test/", 0),
        ({"when": "//h1/@data-x", "when_by": "xpath"}, "http://h.test/", 0),
        ({"when": "Product", "when_by": "jsonld"}, "http://h.test/", 0),
        ({"when": "h1", "urls": ("/p/",)}, "http://h.test/q", 0),
    ],
)
def test_an_item_is_looked_for_where_its_address_and_selector_match(
    engine: str, rule: dict[str, Any], url: str, number: int
) -> None:
    item = ItemRule(name="i", fields=(FieldRule(name="h", selector="h1"),), **rule)
    assert len(rows(engine, item, url=url)) == number


def test_json_answers_may_have_a_condition(engine: str) -> None:
    fields = (FieldRule(name="n", by="jmespath", selector="next"),)
    for when, number in (("items", 1), ("none", 0), ("length(items) > `5`", 0)):
        item = ItemRule(name="i", when=when, when_by="jmespath", fields=fields)
        assert len(rows(engine, item, json.dumps(ANSWER), "application/json")) == number


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_malformed_pages_give_something_of_every_kind(engine: str, name: str) -> None:
    fields = (
        FieldRule(name="html", selector="html", take="html", required=True),
        FieldRule(name="markdown", selector="html", take="markdown"),
        FieldRule(name="css", selector="*", many=True),
        FieldRule(name="xpath", by="xpath", selector="//*", many=True),
        FieldRule(name="attributes", by="xpath", selector="//@*", many=True),
        FieldRule(name="microdata", by="microdata", selector="@", type="json"),
        FieldRule(name="jsonld", by="jsonld", selector="@", type="json"),
        FieldRule(name="opengraph", by="opengraph", selector="title"),
    )
    (found,) = rows(engine, ItemRule(name="i", fields=fields), MALFORMED[name])
    assert found["html"].startswith("<html")
    assert found["xpath"] == found["css"]


def test_deep_and_wide_pages_are_read(engine: str) -> None:
    deep = "<div>" * 3_900 + "x"
    found = value(engine, deep, by="xpath", selector="count(//div)", type="int")
    assert found == (found if engine == "bs4" else 3_900) > 200
    assert value(engine, deep, selector="body", take="html").count("<div>") == found
    assert value(engine, deep, selector="body", take="markdown") == "x"
    assert value(engine, "<p>a" * 20_000, by="xpath", selector="count(//p)", type="int") == 20_000
