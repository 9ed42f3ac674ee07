"""The tables of a job's rows: what a sink with columns knows before the first row."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.job.job import as_data, load
from crawlfleet.coordinator.results.columns import Column, Layout, Table, layout_of
from crawlfleet.shared.field_types import DATE, DECIMAL, INT, JSON, PRICE, URL

ADDRESS = Column("url", URL)
RULES = """
items:
  - {name: book, each: article, fields: {title: h3, tags: [a]}}
  - {name: offer, fields: {shop: td, title: h1, prices: {each: tr, fields: {price: td}}}}
"""
BOOK = (ADDRESS, Column("title"), Column("tags", many=True))
OFFER = (ADDRESS, Column("shop"), Column("title"), Column("prices", many=True, fields=(Column("price"),)))
REST = Column("rest", JSON)
PAGE = (
    ADDRESS,
    *(Column("status", INT), Column("content_type"), Column("title"), Column("size", INT), Column("canonical", URL)),
    *(Column("description"), Column("h1"), Column("language"), Column("depth", INT)),
)
OTHER = Table("other", (ADDRESS, Column("item"), REST), "rest")


def layout(more: str, folder: Path) -> Layout:
    (folder / "hook.py").write_text("def parse(page): pass\n")
    (folder / "job.yaml").write_text(f"name: a\nseeds: [http://a.test/]\n{more}")
    return layout_of(as_data(load(folder / "job.yaml")))


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", Layout((Table("page", PAGE),))),
        (RULES, Layout((Table("book", BOOK), Table("offer", OFFER)))),
        (
            f"{RULES}hooks: hook.py\n",
            Layout((Table("book", (*BOOK, REST), "rest"), Table("offer", (*OFFER, REST), "rest")), OTHER),
        ),
        ("hooks: hook.py\n", Layout((), OTHER)),
        (
            "hooks: hook.py\ncolumns: {other: {n: int, rest: [decimal]}}\n",
            Layout(
                (
                    Table(
                        "other",
                        (ADDRESS, Column("n", INT), Column("rest", DECIMAL, many=True), Column("rest_", JSON)),
                        "rest_",
                    ),
                ),
                Table("other_", OTHER.columns, "rest"),
            ),
        ),
    ],
)
def test_each_rule_and_each_declared_item_has_a_table_and_a_hook_may_add_to_all(
    more: str, found: Layout, tmp_path: Path
) -> None:
    assert layout(more, tmp_path) == found


def test_columns_that_are_declared_stand_behind_those_of_the_rule_or_replace_them(tmp_path: Path) -> None:
    found = layout(f"{RULES}columns: {{book: {{tags: text, pages: int}}}}\n", tmp_path)
    assert found.table_of("book") == Table("book", (ADDRESS, Column("title"), Column("tags"), Column("pages", INT)))
    assert found.table_of("letter") is None


def test_types_and_lists_are_those_of_the_fields(tmp_path: Path) -> None:
    fields = """
      price: {css: b, type: price, required: true}
      days: {css: time, attr: datetime, type: date, list: true}
      tags: {css: i, join: ", "}
      first: {each: tr, list: false, fields: {n: {css: td, type: int}}}
"""
    found = layout(f"items:\n  - name: a\n    fields:{fields}", tmp_path)
    assert found.tables[0].columns[1:] == (
        Column("price", PRICE),
        Column("days", DATE, many=True),
        Column("tags"),
        Column("first", fields=(Column("n", INT),)),
    )


def test_what_is_found_in_data_is_json_unless_it_has_a_type(tmp_path: Path) -> None:
    fields = "{a: {jsonld: A.b}, b: {microdata: A.b, type: text}, c: {opengraph: title}, d: {xpath: //h1}}"
    nested = "{a: b, c: {jmespath: d, type: int}, e: ['f[]'], g: {each: h, list: false, fields: {i: j}}}"
    found = layout(
        f"items: [{{name: a, fields: {fields}}}, {{name: b, each: {{jmespath: x}}, fields: {nested}}}]\n", tmp_path
    )
    assert [table.columns[1:] for table in found] == [
        (Column("a", JSON), Column("b"), Column("c"), Column("d")),
        (Column("a", JSON), Column("c", INT), Column("e", JSON, many=True), Column("g", fields=(Column("i", JSON),))),
    ]
