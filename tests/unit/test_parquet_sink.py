"""Parquet: parts that a crash leaves, the file they are joined to, and its types."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks import parquet_sink
from crawlfleet.coordinator.sinks.outputs import Output, outputs_of
from crawlfleet.coordinator.sinks.parquet_sink import ParquetFiles
from crawlfleet.coordinator.sinks.port import Shape
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.field_types import BOOL, DATE, DATETIME, DECIMAL, FLOAT, INT, JSON, PRICE
from crawlfleet.shared.messages import Row
from tests.results import result
from tests.shapes import QUOTES, shape_of

SHAPE = shape_of(
    "thing",
    Column("n", INT),
    Column("f", FLOAT),
    Column("d", DECIMAL),
    Column("b", BOOL),
    Column("day", DATE),
    Column("at", DATETIME),
    Column("cost", PRICE),
    Column("any", JSON),
    Column("tags", many=True),
    Column("inner", many=True, fields=(Column("price", PRICE),)),
)
VALUES: dict[str, Any] = {
    "n": -(2**63),
    "f": 0.1,
    "d": "12.30",
    "b": True,
    "day": "2026-01-31",
    "at": "2026-01-31T12:00:00+01:00",
    "cost": {"amount": "1.20", "currency": "EUR"},
    "any": {"a": [1, None]},
    "tags": ["ü", None],
    "inner": [{"price": {"amount": "3", "currency": None}}, {"price": None}],
}
LOG = tuple(result(number, rows=number % 3) for number in range(1, 10))


def thing(**fields: Any) -> Result:
    return msgspec.structs.replace(result(1), rows=(Row(item="thing", index=0, fields=fields),))


def rotating(rows: int) -> Shape:
    return msgspec.structs.replace(QUOTES, rotate=rows)


def numbers(path: Path) -> list[int]:
    found: list[int] = pq.read_table(path).column("n").to_pylist()
    return found


def expected(*results: Result) -> list[int]:
    return [row.fields["n"] for each in results for row in each.rows]


def test_each_column_has_its_type(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with closing(ParquetFiles(SHAPE).open(path, None, power=True)) as sink:
        sink.write([thing(**VALUES), thing()])
        sink.finish()
    table = pq.read_table(path)
    assert {field.name: str(field.type) for field in table.schema} == {
        "url": "string",
        "n": "int64",
        "f": "double",
        "d": "decimal128(38, 10)",
        "b": "bool",
        "day": "date32[day]",
        "at": "timestamp[us, tz=UTC]",
        "cost": "decimal128(38, 10)",
        "cost_currency": "string",
        "any": "string",
        "tags": "list<element: string>",
        "inner": "list<element: struct<price: struct<amount: decimal128(38, 10), currency: string>>>",
    }
    first, second = table.to_pylist()
    assert first == {
        "url": "http://a.test/1",
        "n": -(2**63),
        "f": 0.1,
        "d": Decimal("12.30"),
        "b": True,
        "day": date(2026, 1, 31),
        "at": datetime(2026, 1, 31, 11, tzinfo=UTC),
        "cost": Decimal("1.20"),
        "cost_currency": "EUR",
        "any": '{"a":[1,null]}',
        "tags": ["ü", None],
        "inner": [{"price": {"amount": Decimal(3), "currency": None}}, {"price": None}],
    }
    assert second == dict.fromkeys(first) | {"url": "http://a.test/1"}
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]


def test_a_crawl_without_rows_leaves_a_file_with_columns(tmp_path: Path) -> None:
    with closing(ParquetFiles(SHAPE).open(tmp_path / "a.parquet", None, power=False)) as sink:
        sink.finish()
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0


def test_parts_are_there_before_the_end_and_are_joined_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_sink, "PART_ROWS", 2)
    path, kind = tmp_path / "a.parquet", ParquetFiles(QUOTES)
    with closing(kind.open(path, None, power=False)) as sink:
        mark = sink.write(LOG[:5])
        assert not path.exists()
        assert [numbers(part) for part in sorted(tmp_path.glob("a.parquet.parts/*"))] == [[1, 2, 2], [4, 5, 5]]
    with closing(kind.open(path, mark, power=False)) as sink:
        assert sink.restore(iter(LOG), len(LOG)) == mark
        sink.write(LOG[5:])
        sink.finish()
        assert numbers(path) == expected(*LOG)
        assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]
        sink.write([result(10)])
        sink.finish()
    assert numbers(path) == [*expected(*LOG), 10]


def test_what_a_crash_leaves_is_not_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_sink, "PART_ROWS", 1)
    path, kind = tmp_path / "a.parquet", ParquetFiles(QUOTES)
    with closing(kind.open(path, None, power=False)) as sink:
        sink.write(LOG)
        folder = tmp_path / "a.parquet.parts"
        parts = {part.name: part.read_bytes() for part in folder.iterdir()}
        sink.finish()
    folder.mkdir()
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    (folder / "a.parquet.tmp").write_bytes(b"torn")
    rows = [json.loads(row)[2] for row in kind.read(path, whole=True)]
    assert rows == expected(*LOG)
    with closing(kind.open(path, None, power=False)) as sink:
        assert sink.restore(iter(LOG), len(LOG)).results == len(LOG)
        sink.finish()
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]
    assert numbers(path) == expected(*LOG)


def test_with_rotate_the_parts_stay_and_are_cut_back_with_the_log(tmp_path: Path) -> None:
    path, kind = tmp_path / "a.parquet", ParquetFiles(rotating(2))
    with closing(kind.open(path, None, power=False)) as sink:
        sink.write(LOG)
        sink.finish()
        mark = sink.mark
    assert [part.name for part in sorted(path.iterdir())] == [
        "000000000000-000000000002.parquet",
        "000000000002-000000000005.parquet",
        "000000000005-000000000008.parquet",
        "000000000008-000000000009.parquet",
    ]
    assert numbers(path) == expected(*LOG)
    with closing(kind.open(path, mark, power=False)) as sink:
        assert sink.restore(iter(LOG[:6]), 6).results == 5
        sink.write(LOG[5:6])
    assert numbers(path) == expected(*LOG[:6])


@pytest.mark.parametrize("name", ["mine.parquet", "000000000007-000000000009.parquet"])
def test_a_strange_file_among_the_parts_is_refused(name: str, tmp_path: Path) -> None:
    path, kind = tmp_path / "a.parquet", ParquetFiles(rotating(2))
    path.mkdir()
    (path / name).write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=rf"{name} exists already and is not this crawl's"):
        kind.open(path, None, power=False)
    assert (path / name).read_bytes() == b"PAR1"


def test_a_part_is_written_when_rows_have_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_sink, "PART_BYTES", 100)
    with closing(ParquetFiles(SHAPE).open(tmp_path / "a.parquet", None, power=False)) as sink:
        sink.write([thing(any="x" * 200), thing(any="y")])
        assert len(list(tmp_path.glob("a.parquet.parts/*"))) == 1


def test_rows_of_other_items_that_a_killed_crawl_had_not_written_are_written_by_the_next(tmp_path: Path) -> None:
    job = {"sinks": ["a.parquet"], "columns": {"book": {"n": "int"}}, "hooks": "hook.py"}
    log = [result(number, rows=1) for number in range(1, 4)]

    def other() -> Output:
        return next(output for output in outputs_of(job, tmp_path) if output.shape.table == "other")

    mark = other().open(None, power=False).write(log[:2])  # and it is killed: nothing is closed
    with closing(other().open(mark, power=False)) as sink:
        sink.restore(iter(log), len(log))
        sink.write(log[sink.mark.results :])
        sink.finish()
    assert pq.read_table(tmp_path / "a.other.parquet").column("url").to_pylist() == [each.url for each in log]


def test_a_row_that_does_not_fit_is_no_row_of_the_file(tmp_path: Path) -> None:
    kind, odd = ParquetFiles(SHAPE), thing(n="many")
    with closing(kind.open(tmp_path / "a.parquet", None, power=False)) as sink:
        sink.write([odd, thing(n=1)])
        sink.finish()
    assert (kind.rows_of(odd), [each.reason for each in kind.rejects_of(odd)]) == (
        [],
        ["n is 'many', which is no whole number"],
    )
    assert list(kind.read(tmp_path / "a.parquet", whole=True)) == kind.rows_of(thing(n=1))
