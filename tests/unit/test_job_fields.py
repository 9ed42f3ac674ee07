"""Fields that are written as a mapping: what workers are told of them, and what is wrong with one, at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.job.job import brief, load
from crawlfleet.shared.brief import FieldRule
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
        ("{type: float, decimal_separator: ','}", {"type": "float", "decimal_separator": ","}),
        ("{type: date, format: '%d.%m.%Y'}", {"type": "date", "format": "%d.%m.%Y"}),
        ("{type: datetime, languages: [de, fr]}", {"type": "datetime", "languages": ("de", "fr")}),
    ],
)
def test_a_mapping_becomes_a_rule(field: str, rule: dict[str, Any], tmp_path: Path) -> None:
    assert loaded(f"f: {field}", tmp_path) == FieldRule(name="f", **rule)


@pytest.mark.parametrize(("word", "many"), [("", True), (", list: true", True), (", list: false", False)])
def test_a_nested_field_is_a_list_unless_it_says_otherwise(word: str, many: bool, tmp_path: Path) -> None:
    rule = loaded(f"f: {{each: p, fields: {{b: b}}{word}}}", tmp_path)
    assert rule == FieldRule(name="f", selector="p", many=many, fields=(FieldRule(name="b", selector="b"),))


@pytest.mark.parametrize(
    ("field", "column", "said"),
    [
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


def test_known_keys_are_those_of_the_kind_of_field(tmp_path: Path) -> None:
    assert "known here are each, fields, list" in problem("f: {each: p, fields: {b: b}, zzz: 1}", tmp_path)
    assert "known here are css, take, attr" in problem("f: {css: p, zzz: 1}", tmp_path)
