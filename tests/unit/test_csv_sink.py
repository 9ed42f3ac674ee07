"""Comma- and tab-separated values: what another reader finds in them."""

from __future__ import annotations

import csv
import gzip
import io
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.results.columns import Column, Layout, Table
from crawlfleet.coordinator.sinks.csv_sink import CommaLines, TabLines
from crawlfleet.coordinator.sinks.port import KEEP, Shape
from crawlfleet.coordinator.sinks.registry import entry_for
from crawlfleet.shared.field_types import BOOL, DATE, DATETIME, DECIMAL, FIELD_TYPES, FLOAT, INT, JSON, PRICE, URL
from crawlfleet.shared.messages import Row
from tests.results import result
from tests.shapes import shape_of

VALUES: dict[str, tuple[Any, list[str]]] = {
    "text": ("ü\n\"quoted\", 'so'", ["ü\n\"quoted\", 'so'"]),
    URL: ("http://a.test/?a=1,2", ["http://a.test/?a=1,2"]),
    INT: (-(2**63), [str(-(2**63))]),
    FLOAT: (0.1, ["0.1"]),
    DECIMAL: ("12.30", ["12.30"]),
    BOOL: (False, ["false"]),
    DATE: ("2026-01-31", ["2026-01-31"]),
    DATETIME: ("2026-01-31T12:00:00+01:00", ["2026-01-31T12:00:00+01:00"]),
    PRICE: ({"amount": "1234.50", "currency": "EUR"}, ["1234.50", "EUR"]),
    JSON: ({"a": [1, None]}, ['{"a":[1,null]}']),
}
NESTED = Column("n", many=True, fields=(Column("price", PRICE), Column("day", DATE)))


def page(item: str, **fields: Any) -> Result:
    return msgspec.structs.replace(result(1), rows=(Row(item=item, index=0, fields=fields),))


def read(kind: CommaLines, *results: Result) -> list[list[str]]:
    text = (kind.head + b"".join(map(kind.lines_of, results))).decode()
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=kind.delimiter))


def test_each_type_has_an_example() -> None:
    assert VALUES.keys() == set(FIELD_TYPES)


@pytest.mark.parametrize("kind", [CommaLines, TabLines])
@pytest.mark.parametrize("name", VALUES)
def test_a_value_of_each_type_is_read_as_it_is_documented(kind: type[CommaLines], name: str) -> None:
    value, cells = VALUES[name]
    made = kind(shape_of("thing", Column("x", name)))
    head = ["url", "x", *(["x_currency"] if name == PRICE else [])]
    nothing = [""] * len(cells)
    rows = read(made, page("thing", x=value), page("thing", x=None), page("thing"))
    assert rows == [head, *(["http://a.test/1", *row] for row in (cells, nothing, nothing))]
    several = kind(shape_of("thing", Column("x", name, many=True)))
    assert read(several, page("thing", x=[value, None]))[1][1].startswith("[")


def test_nested_values_are_json_and_keep_their_types() -> None:
    made = CommaLines(shape_of("thing", NESTED))
    value = [{"price": {"amount": "1.20", "currency": None}, "day": "2026-01-31"}, {"price": None}]
    assert read(made, page("thing", n=value))[1][1] == (
        '[{"day":"2026-01-31","price":{"amount":"1.20","currency":null}},{"day":null,"price":null}]'
    )


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (INT, "many", "x is 'many', which is no whole number"),
        (INT, 2**63, "x is 9223372036854775808, which needs more than 64 bits"),
        (INT, True, "x is True, which is no whole number"),
        (FLOAT, "x", "x is 'x', which is no number"),
        (FLOAT, [], r"x is \[\], which is no number"),
        (DECIMAL, "1 EUR", "x is '1 EUR', which is no number"),
        (DECIMAL, "NaN", "x is 'NaN', which is no finite number"),
        (DECIMAL, False, "x is False, which is no number"),
        (DECIMAL, "1e999999999", "x is '1e999999999', which has an exponent beyond 10000"),
        (BOOL, 1, "x is 1, which is neither true nor false"),
        (DATE, "31.1.2026", "x is '31.1.2026', which is no date"),
        (DATETIME, 5, "x is 5, which is no date and time"),
        (PRICE, {"amount": "dear"}, "which is no number"),
    ],
)
def test_a_value_that_does_not_fit_its_column_rejects_its_row_and_no_other(name: str, value: Any, reason: str) -> None:
    made = CommaLines(shape_of("thing", Column("x", name)))
    rows = tuple(Row(item="thing", index=place, fields={"x": each}) for place, each in enumerate((value, None)))
    both = msgspec.structs.replace(result(1), rows=rows)
    assert read(made, both)[1:] == [["http://a.test/1", "", *([""] if name == PRICE else [])]]
    (rejected,) = made.rejects_of(both)
    assert (rejected.place, rejected.row) == (0, {"url": "http://a.test/1", "item": "thing", "x": value})
    assert re.search(reason, rejected.reason)


def test_values_from_before_a_change_of_the_type_are_converted_where_they_can_be() -> None:
    shape = shape_of("thing", Column("n", INT), Column("f", FLOAT), Column("t"), Column("b", BOOL), Column("p", PRICE))
    assert read(CommaLines(shape), page("thing", n="12", f=1, t=[1], b="true", p="2.50"))[1][1:] == [
        *("12", "1.0", "[1]", "true", "2.50", "")
    ]


def test_rows_without_a_table_are_rejected_once_and_fields_without_a_column_are_left_out() -> None:
    layout = Layout((Table("a", (Column("url", URL), Column("x"))), Table("b", (Column("url", URL),))))
    first, second = (CommaLines(Shape(layout=layout, table=name)) for name in "ab")
    stray = page("c", x="1")
    assert (first.lines_of(stray), second.lines_of(stray), second.rejects_of(stray)) == (b"", b"", [])
    assert [each.reason for each in first.rejects_of(stray)] == ["there is no table for the item 'c'"]
    more = page("a", x="1", y="2")
    assert read(first, more) == [["url", "x"], ["http://a.test/1", "1"]]
    assert first.rejects_of(more) == second.rejects_of(more) == []


def test_a_hooks_further_fields_and_items_have_a_column_of_json() -> None:
    other = Table("other", (Column("url", URL), Column("item"), Column("rest", JSON)), "rest")
    layout = Layout((Table("a", (Column("url", URL), Column("x"), Column("rest", JSON)), "rest"),), other)
    own, others = (CommaLines(Shape(layout=layout, table=name)) for name in ("a", "other"))
    assert read(own, page("a", x="1", y=2), page("a", x="1"), page("z", q=1))[1:] == [
        ["http://a.test/1", "1", '{"y":2}'],
        ["http://a.test/1", "1", ""],
    ]
    assert read(others, page("a", x="1"), page("z", q=[1]))[1:] == [["http://a.test/1", "z", '{"q":[1]}']]


FORMULAS = ["=1+1", "@x", "\tx", "\rx", "\n=x", "\0=x", "+cmd", "-a1", "+", "-1-1", "-1\n", "+1e", "=", "- 1"]
IN_FULL_WIDTH = ["\uff1d1", "\uff0b1", "\uff0d1", "\uff20x"]


@pytest.mark.parametrize("text", [*FORMULAS, *IN_FULL_WIDTH])
def test_what_a_spreadsheet_takes_for_a_formula_is_marked(text: str) -> None:
    shape = shape_of("thing", Column("x"), Column("-x", JSON))
    escaped, kept = CommaLines(shape), CommaLines(msgspec.structs.replace(shape, formulas=KEEP))
    assert read(escaped, page("thing", x=text)) == [["url", "x", "'-x"], ["http://a.test/1", f"'{text}", ""]]
    assert read(kept, page("thing", x=text)) == [["url", "x", "-x"], ["http://a.test/1", text, ""]]


@pytest.mark.parametrize("text", ["-1", "+1.5", "-.5", "+2.", "-1e-3", "1=1", "'", "", " =1", "a@b"])
def test_numbers_and_other_texts_are_not_marked(text: str) -> None:
    assert read(CommaLines(shape_of("thing", Column("x"))), page("thing", x=text))[1][1] == text


@settings(deadline=None)
@given(st.text(), st.text(), st.sampled_from([CommaLines, TabLines]))
def test_any_text_is_read_back(one: str, other: str, kind: type[CommaLines]) -> None:
    shape = msgspec.structs.replace(shape_of("thing", Column("x"), Column("y")), formulas=KEEP)
    assert read(kind(shape), page("thing", x=one, y=other))[1:] == [["http://a.test/1", one, other]]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl.gz"])
def test_a_crawl_without_rows_leaves_what_a_reader_can_read(name: str, tmp_path: Path) -> None:
    kind = entry_for(name).made_for(shape_of("thing", Column("x")))
    path = tmp_path / name
    with closing(kind.open(path, None, power=False)) as sink:
        sink.write([result(1, rows=0)])
        sink.finish()
        head = b"" if name == "a.jsonl.gz" else b"url,x\n"
        content = path.read_bytes()
        assert (gzip.decompress(content) if name.endswith(".gz") else content) == head
        mark = sink.write([page("thing", x="1")])
        sink.finish()
    assert list(kind.read(path, whole=True)) == kind.rows_of(page("thing", x="1"))
    assert mark.results == 2
    log = [result(1, rows=0), page("thing", x="1")]
    with closing(kind.open(path, None, power=False)) as sink:
        assert sink.restore(iter(log), 2).results == 2
