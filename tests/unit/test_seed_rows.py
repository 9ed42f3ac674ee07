"""The rows of pages to which lines of seeds files led: what sinks, programs and tables have of the line."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.results.columns import Column, layout_of
from crawlfleet.coordinator.results.rows import as_list, as_value, flat_rows, rejected_rows
from crawlfleet.coordinator.sinks.port import Shape
from crawlfleet.coordinator.sinks.registry import SINKS, SinkEntry
from crawlfleet.shared.messages import VALUE_ITEM, Row
from tests.results import rejecting, result

LINE = SeedLine("HTTP://a.test/1#top", {"id": "007", "note": ""})
LISTED = replace(rejecting(result(1)), seed_line=LINE)
SAID = {"requested": LINE.requested, "seed": LINE.columns}
JOB = {"items": [{"name": "quote", "fields": {"n": {"type": "int"}, "text": {}}}], "seed_columns": ["id", "note"]}


def test_a_row_has_what_its_line_says_before_its_fields() -> None:
    (row,) = flat_rows(LISTED)
    assert list(row.items()) == [("url", "http://a.test/1"), ("item", "quote"), *SAID.items(), ("n", 1), ("text", "ü")]
    ((rejected, _),) = rejected_rows(LISTED)
    assert SAID.items() <= rejected.items()
    assert "requested" not in next(flat_rows(result(1)))
    (bare,) = flat_rows(replace(LISTED, seed_line=SeedLine("a")))
    assert (bare["requested"], "seed" in bare) == ("a", False)


def test_no_field_takes_the_place_of_what_the_line_says() -> None:
    rows = (Row(item="a", index=0, fields={"requested": "forged", "seed": 1, "n": 2}),)
    (row,) = flat_rows(replace(LISTED, rows=rows))
    assert row == {"url": "http://a.test/1", "item": "a", **SAID, "n": 2}


def test_programs_have_it_in_rows_and_not_in_values_of_their_own() -> None:
    assert as_value(LISTED.rows, LINE) == [{"item": "quote", **SAID, "n": 1, "text": "ü"}]
    assert as_list(LISTED.rows, LINE) == ({"item": "quote", **SAID, "n": 1, "text": "ü"},)
    assert as_value((Row(item=VALUE_ITEM, index=0, fields={VALUE_ITEM: 5}),), LINE) == 5


def test_tables_have_columns_for_it() -> None:
    (table,) = layout_of(JOB)
    texts = (Column("id"), Column("note"))
    assert [column.name for column in table.columns] == ["url", "requested", "seed", "n", "text"]
    assert table.columns[2] == Column("seed", fields=texts)
    (table,) = layout_of({**JOB, "seed_columns": []})
    assert [column.name for column in table.columns] == ["url", "requested", "n", "text"]
    other = layout_of({"hooks": "hook.py", "seed_columns": ["id"]}).other
    assert other is not None
    assert [column.name for column in other.columns] == ["url", "item", "requested", "seed", "rest"]


@pytest.mark.parametrize("entry", SINKS.values(), ids=lambda entry: entry.name)
def test_every_kind_of_file_has_it(entry: SinkEntry, tmp_path: Path) -> None:
    kind = entry.made_for(Shape(layout=layout_of(JOB), table="quote" if entry.per_table else ""))
    path = tmp_path / f"items{entry.name}"
    results = [LISTED, replace(result(2), seed_line=SeedLine("b", {"id": "8"})), result(3)]
    with closing(kind.open(path, None, power=False)) as sink:
        sink.write(results)
        sink.finish()
    assert [kind.rejects_of(each) for each in results] == [[]] * 3
    rows = list(kind.read(path, whole=True))
    assert sorted(rows) == sorted(row for each in results for row in kind.rows_of(each))
    assert sum(b"007" in row and LINE.requested.encode() in row for row in rows) == 1
