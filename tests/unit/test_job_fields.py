"""Fields that are written as a mapping: what workers are told of them, and what is wrong with one, at its place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.job.job import brief, load
from crawlfleet.shared.brief import FieldRule, ItemRule
from crawlfleet.shared.errors import JobError

HEAD = "name: t\nseeds: [https://e.org/]\nitems:\n  - name: a\n    fields:\n      "


def loaded(field: str, folder: Path) -> FieldRule:
    path = folder / "job.yaml"
    path.write_text(f"{HEAD}{field}\n", encoding="utf-8")
    ((rule,),) = (item.fields for item in brief(load(path)).items)
    return rule


def problem(field: str, folder: Path) -> str:
    with pytest.raises(JobError) as caught:
        loaded(field, folder)
    (only,) = caught.value.problems
    return only.partition("job.yaml:")[2]


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("{}", {}),
        ("{css: h1}", {"selector": "h1"}),
        ("{css: 'h1::text'}", {"selector": "h1"}),
        ("{css: 'a::attr(HREF)'}", {"selector": "a", "take": "attr", "attr": "href"}),
        ("{css: a, attr: HREF}", {"selector": "a", "take": "attr", "attr": "href"}),
        ("{attr: id}", {"take": "attr", "attr": "id"}),
        ("{css: a, take: text, list: true}", {"selector": "a", "many": True}),
        ("{css: a, list: false}", {"selector": "a"}),
        ("{css: a, required: true}", {"selector": "a", "required": True}),
        ("{css: a, join: ''}", {"selector": "a", "join": ""}),
        ("{css: a, re: '(x)'}", {"selector": "a", "pattern": "(x)"}),
        ("{css: a, type: int, default: 0}", {"selector": "a", "type": "int", "default": 0}),
        ("{css: a, type: decimal, default: '0.00'}", {"selector": "a", "type": "decimal", "default": "0.00"}),
        ("{css: a, list: true, default: [x]}", {"selector": "a", "many": True, "default": ["x"]}),
        (
            "{type: price, default: {amount: '0', currency: null}, currency: EUR}",
            {"type": "price", "default": {"amount": "0", "currency": None}, "currency": "EUR"},
        ),
        ("{xpath: //a/@href, type: url}", {"by": "xpath", "selector": "//a/@href", "type": "url"}),
        ("{css: div, take: markdown}", {"selector": "div", "take": "markdown"}),
        ("{css: div, take: own-text}", {"selector": "div", "take": "own-text"}),
        ("{css: 'p::own-text', type: int}", {"selector": "p", "take": "own-text", "type": "int"}),
        ("{css: div, take: html}", {"selector": "div", "take": "html"}),
        ("{jsonld: Product.name}", {"by": "jsonld", "selector": "Product.name", "type": "json"}),
        ("{microdata: Product.name, type: text}", {"by": "microdata", "selector": "Product.name"}),
        ("{opengraph: title}", {"by": "opengraph", "selector": "title"}),
        ("{type: float, decimal_separator: ','}", {"type": "float", "decimal_separator": ","}),
        ("{type: date, format: '%d.%m.%Y'}", {"type": "date", "format": "%d.%m.%Y"}),
        ("{type: datetime, languages: [de, fr]}", {"type": "datetime", "languages": ("de", "fr")}),
    ],
)
def test_a_mapping_becomes_a_rule(field: str, rule: dict[str, Any], tmp_path: Path) -> None:
    assert loaded(f"f: {field}", tmp_path) == FieldRule(name="f", **rule)


def item(text: str, folder: Path) -> ItemRule:
    path = folder / "job.yaml"
    path.write_text(f"name: t\nseeds: [https://e.org/]\nitems:\n  - {text}\n", encoding="utf-8")
    (found,) = brief(load(path)).items
    return found


@pytest.mark.parametrize("way", ["jmespath", "jsonld", "microdata"])
def test_within_data_a_short_form_is_jmespath(way: str, tmp_path: Path) -> None:
    data: dict[str, Any] = {"by": "jmespath", "type": "json"}
    fields = "{a: x.y, b: [z], c: {type: int}, d: {opengraph: title}, e: {each: 'r[]', fields: {f: g}}}"
    assert item(f"{{name: a, each: {{{way}: '*'}}, fields: {fields}}}", tmp_path) == ItemRule(
        name="a",
        each="*",
        by=way,
        fields=(
            FieldRule(name="a", selector="x.y", **data),
            FieldRule(name="b", selector="z", many=True, **data),
            FieldRule(name="c", selector="@", by="jmespath", type="int"),
            FieldRule(name="d", selector="title", by="opengraph"),
            FieldRule(
                name="e", selector="r[]", by="jmespath", many=True, fields=(FieldRule(name="f", selector="g", **data),)
            ),
        ),
    )


def test_an_item_may_be_for_some_pages_only(tmp_path: Path) -> None:
    assert item("{name: a, urls: [/p/, 're:^/q'], when: h1, fields: {b: b}}", tmp_path) == ItemRule(
        name="a", urls=("/p/", "re:^/q"), when="h1", fields=(FieldRule(name="b", selector="b"),)
    )
    found = item("{name: a, when: {xpath: //h1}, each: {xpath: //p}, fields: {b: b}}", tmp_path)
    assert (found.when, found.when_by, found.each, found.by) == ("//h1", "xpath", "//p", "xpath")
    assert item("{name: a, when: {jmespath: ok}, fields: {b: {jmespath: b}}}", tmp_path).when_by == "jmespath"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{name: a, when: h1, fields: {b: {jmespath: b}}}", "4:21: items[0].when: looks into pages, but this item is"),
        ("{name: a, when: {jmespath: b}, fields: {b: b}}", "4:21: items[0].when: reads JSON answers, but this item"),
        ("{name: a, fields: {b: {jmespath: b}, c: c}}", "4:45: items[0].fields.c: selects elements of pages, but"),
        ("{name: a, each: p, fields: {b: {jmespath: b}}}", "4:36: items[0].fields.b: reads JSON answers, but this"),
        ("{name: a, urls: ['http://e.org/'], fields: {b: b}}", "4:22: items[0].urls[0]: 'http://e.org/' names a site"),
        ("{name: a, urls: /p/, fields: {b: b}}", "4:21: items[0].urls: wants a list"),
        ("{name: a, when: 'p::text', fields: {b: b}}", "4:21: items[0].when: 'p::text' takes text"),
        ("{name: a, when: , fields: {b: b}}", "items[0].when: is empty"),
    ],
)
def test_what_is_wrong_with_an_item_is_told_at_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        item(text, tmp_path)
    assert said in caught.value.problems[0]


@pytest.mark.parametrize(("word", "many"), [("", True), (", list: true", True), (", list: false", False)])
def test_a_nested_field_is_a_list_unless_it_says_otherwise(word: str, many: bool, tmp_path: Path) -> None:
    rule = loaded(f"f: {{each: p, fields: {{b: b}}{word}}}", tmp_path)
    assert rule == FieldRule(name="f", selector="p", many=many, fields=(FieldRule(name="b", selector="b"),))


@pytest.mark.parametrize(
    ("field", "column", "said"),
    [
        ("{css: a, xpath: //a}", 26, "f.xpath: and css are two ways to find the same"),
        ("{xpath: '//a['}", 18, "f.xpath: '//a[' is no XPath that can be used (Invalid"),
        ("{xpath: 'foo(//a)'}", 18, "no XPath that can be used (Unregistered function)"),
        ("{xpath: //x:a}", 18, "no XPath that can be used (Undefined namespace prefix)"),
        ("{xpath: ' '}", 18, "f.xpath: wants 1 to 1000 characters"),
        ("{jmespath: 'a['}", 21, "f.jmespath: 'a[' is no JMESPath ("),
        ("{jmespath: 'nope(a)'}", 21, "f.jmespath: 'nope(a)' is no JMESPath (Unknown function"),
        ("{jsonld: 'Product.@id'}", 19, "names with other signs need quotes"),
        ("{microdata: ''}", 22, "f.microdata: wants 1 to 1000 characters"),
        ("{opengraph: title, take: html}", 35, "f.take: is of elements, but opengraph finds values"),
        ("{jsonld: Product.name, attr: id}", 39, "f.attr: is of elements, but jsonld finds values"),
        ("{each: {jsonld: A, css: a}, fields: {b: b}}", 26, "f.each.jsonld: and css are two ways"),
        ("{each: {}, fields: {b: b}}", 17, "f.each: says nothing: write one of css, xpath"),
        ("{each: [a], fields: {b: b}}", 17, "f.each: wants a selector such as div.product"),
        ("{each: {jsonld: A}, fields: {b: {css: b}}}", 42, "f.fields.b: selects elements of pages"),
        ("{each: {xpath: //b}, fields: {b: {jmespath: b}}}", 43, "f.fields.b: reads JSON answers"),
        ("{each: {jsonld: A}, fields: {b: 'b['}}", 42, "f.fields.b: 'b[' is no JMESPath"),
        ("{css: 'a >'}", 16, "f.css: the selector 'a >' is not CSS"),
        ("{css: //a}", 16, "f.css: the selector '//a' is XPath"),
        ("{css: }", 16, "f.css: is empty"),
        ("{attr: 'a b'}", 17, "f.attr: "),
        ("{css: 'a::text', attr: id}", 16, "f.css: 'a::text' says already what is taken"),
        ("{take: text, attr: id}", 17, "f.take: and attr are two things to take"),
        ("{take: words}", 17, "f.take: wants 'text'"),
        ("{re: '(?=x)'}", 15, "f.re: '(?=x)' cannot be used"),
        ("{re: 'x{1000}{1000}'}", 15, "write what RE2 knows"),
        ("{type: integer}", 17, "f.type: wants 'text', 'int'"),
        ("{list: yes}", 17, "f.list: wants true or false"),
        ("{list: true, join: x}", 29, "f.join: makes one text of all matches"),
        ("{type: int, format: iso}", 30, "f.format: has no meaning for the type int: it is for date or datetime"),
        ("{type: date, decimal_separator: ','}", 42, "has no meaning for the type date: it is for int or float"),
        ("{type: int, currency: EUR}", 32, "f.currency: has no meaning for the type int: it is for price"),
        ("{type: float, decimal_separator: ' '}", 43, "f.decimal_separator: wants '.' or ','"),
        ("{type: date, format: '%d.%m.'}", 31, "f.format: '%d.%m.' does not tell year, month and day"),
        ("{type: date, format: '%Q'}", 31, "f.format: '%Q' is no format of dates"),
        ("{type: date, format: ''}", 31, "f.format: wants 1 to 100 characters"),
        ("{type: date, languages: [xx]}", 34, "f.languages: "),
        ("{type: date, languages: [de], format: iso}", 34, "f.languages: are not looked at where there is a format"),
        ("{type: int, default: x}", 31, "f.default: 'x' is no int as rows have it: write a whole number such as 0"),
        ("{type: decimal, default: 0.5}", 35, "f.default: 0.5 is no decimal"),
        ("{type: date, default: 1.1.2024}", 32, "write one such as 2031-12-31"),
        ("{list: true, default: x}", 32, "f.default: wants a list"),
        ("{default: x, required: true}", 33, "f.required: has no meaning beside a default"),
        ("{default: }", 20, "f.default: is empty"),
        ("{cs: h1}", 11, "f.cs: is not a known key: did you mean 'css'?"),
        ("{each: p, fields: {b: b}, type: int}", 36, "f.type: is not a known key"),
    ],
)
def test_what_is_wrong_is_told_at_its_place_with_a_remedy(field: str, column: int, said: str, tmp_path: Path) -> None:
    found = problem(f"f: {field}", tmp_path)
    assert said in found
    assert found.startswith(f"6:{column}: items[0].fields.f"), found


def test_a_library_that_is_missing_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dateparser.date", None)
    said = problem("f: {type: date, languages: [de]}", tmp_path)
    assert said.startswith("6:34: items[0].fields.f.languages: ")
    assert said.endswith("pip install 'crawlfleet[dates]'")


def test_known_keys_are_those_of_the_kind_of_field(tmp_path: Path) -> None:
    assert "known here are each, fields, list" in problem("f: {each: p, fields: {b: b}, zzz: 1}", tmp_path)
    assert "known here are css, xpath, jmespath" in problem("f: {css: p, zzz: 1}", tmp_path)
