"""Sinks that are databases: what another program finds in one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.results.columns import Column, Layout, Table
from crawlfleet.coordinator.sinks.database import STATE, DatabaseKind
from crawlfleet.coordinator.sinks.duckdb_sink import DuckdbFiles
from crawlfleet.coordinator.sinks.port import Shape
from crawlfleet.coordinator.sinks.sqlite_sink import SqliteFiles
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.field_types import BOOL, DATE, DATETIME, DECIMAL, FLOAT, INT, JSON, PRICE, URL
from crawlfleet.shared.messages import Row
from tests.results import result
from tests.shapes import shape_of

URL_COLUMN = Column("url", URL)
SELECT = 'SELECT "a ""b""", "A ""B""_" FROM "Select"'
TYPES = (
    Column("n", INT),
    Column("f", FLOAT),
    Column("d", DECIMAL),
    Column("b", BOOL),
    Column("day", DATE),
    Column("at", DATETIME),
    Column("cost", PRICE),
    Column("any", JSON),
    Column("tags", many=True),
    Column("inner", fields=(Column("day", DATE),)),
)
VALUES = {
    "n": -(2**63),
    "f": 0.1,
    "d": "12.30",
    "b": True,
    "day": "2026-01-31",
    "at": "2026-01-31T12:00:00+01:00",
    "cost": {"amount": "1.20", "currency": "EUR"},
    "any": {"a": [1, None]},
    "tags": ["ü", None],
    "inner": {"day": "2026-01-31"},
}
TWO = Layout((Table("thing", (URL_COLUMN, *TYPES)), Table("Select", (URL_COLUMN, Column('a "b"'), Column('A "B"')))))


def page(number: int, *rows: tuple[str, dict[str, Any]]) -> Result:
    made = tuple(Row(item=item, index=place, fields=fields) for place, (item, fields) in enumerate(rows))
    return msgspec.structs.replace(result(number), rows=made)


LOG = (
    page(1, ("thing", VALUES), ("Select", {'a "b"': "1", 'A "B"': "2"})),
    page(2),
    page(3, ("thing", {}), ("nothing", {})),
)


def write(kind: DatabaseKind, path: Path, *results: Result) -> None:
    with closing(kind.open(path, None, power=False)) as sink:
        sink.restore(iter(results), len(results))
        sink.write(results)


def test_a_table_of_sqlite_has_a_column_of_each_type(tmp_path: Path) -> None:
    kind = SqliteFiles(Shape(layout=TWO))
    write(kind, tmp_path / "a.sqlite", *LOG)
    assert [path.name for path in tmp_path.iterdir()] == ["a.sqlite"]
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        rows = db.execute("SELECT * FROM thing").fetchall()
        assert rows[0] == (
            *(0, "http://a.test/1", -(2**63), 0.1, "12.30", 1, "2026-01-31", "2026-01-31T12:00:00+01:00"),
            *("1.20", "EUR", '{"a":[1,null]}', '["ü",null]', '{"day":"2026-01-31"}'),
        )
        assert rows[1:] == [(2, "http://a.test/3", *[None] * 11)]
        assert db.execute(SELECT).fetchall() == [("1", "2")]
        assert db.execute(f"SELECT results, rows FROM {STATE}").fetchall() == [(3, 3)]
    assert [json.loads(row)[:2] for row in kind.read(tmp_path / "a.sqlite", whole=True)] == [
        ["thing", "http://a.test/1"],
        ["Select", "http://a.test/1"],
        ["thing", "http://a.test/3"],
    ]
    assert [each.reason for each in kind.rejects_of(LOG[2])] == ["there is no table for the item 'nothing'"]


def test_a_database_with_other_tables_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db:
        db.execute("CREATE TABLE mine (x)")
    kind = SqliteFiles(Shape(layout=TWO))
    with pytest.raises(UsageError, match=r"a.sqlite exists already and is not this crawl's: move it away"):
        kind.open(tmp_path / "a.sqlite", None, power=False)
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]


def test_a_row_that_somebody_has_changed_is_found_when_the_mark_does_not_say_all(tmp_path: Path) -> None:
    kind = SqliteFiles(Shape(layout=TWO))
    write(kind, tmp_path / "a.sqlite", *LOG)
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db, db:
        db.execute("UPDATE thing SET n = 5")
    sink = kind.open(tmp_path / "a.sqlite", None, power=False)
    with closing(sink), pytest.raises(UsageError, match="is not this crawl's"):
        sink.restore(iter(LOG), len(LOG))


def test_a_database_ahead_of_its_mark_is_known_by_the_results_in_between_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, path = SqliteFiles(Shape(layout=TWO)), tmp_path / "a.sqlite"
    with closing(kind.open(path, None, power=False)) as sink:
        mark = sink.write(LOG[:1])
        sink.write(LOG[1:])
    monkeypatch.setattr(SqliteFiles, "sorted", None)
    with closing(kind.open(path, mark, power=False)) as sink:
        assert sink.restore(iter(LOG), len(LOG)).results == len(LOG)
    others = (LOG[0], page(2, ("thing", {})), LOG[2])
    with (
        closing(kind.open(path, mark, power=False)) as sink,
        pytest.raises(UsageError, match=r"a.sqlite was changed by somebody else"),
    ):
        sink.restore(iter(others), len(others))


def test_a_database_that_is_open_elsewhere_is_told(tmp_path: Path) -> None:
    kind = SqliteFiles(Shape(layout=TWO))
    with (
        closing(kind.open(tmp_path / "a.sqlite", None, power=True)),
        pytest.raises(CrawlFailed, match=r"cannot write .*a.sqlite: it is being written by another crawl"),
    ):
        kind.open(tmp_path / "a.sqlite", None, power=False)


def test_a_table_of_duckdb_has_a_column_of_each_type(tmp_path: Path) -> None:
    kind = DuckdbFiles(Shape(layout=TWO))
    write(kind, tmp_path / "a.duckdb", *LOG)
    assert [path.name for path in tmp_path.iterdir()] == ["a.duckdb"]
    with closing(duckdb.connect(tmp_path / "a.duckdb")) as db:
        assert [kind for _, kind, *_ in db.execute("DESCRIBE thing").fetchall()] == [
            *("BIGINT", "VARCHAR", "BIGINT", "DOUBLE", "DECIMAL(38,10)", "BOOLEAN", "DATE", "TIMESTAMP WITH TIME ZONE"),
            *("DECIMAL(38,10)", "VARCHAR", "VARCHAR", "VARCHAR[]", 'STRUCT("day" DATE)'),
        ]
        db.execute("SET TimeZone = 'UTC'")
        rows = db.execute("SELECT * FROM thing").fetchall()
        day = date(2026, 1, 31)
        assert rows[0] == (
            *(0, "http://a.test/1", -(2**63), 0.1, Decimal("12.30"), True, day, datetime(2026, 1, 31, 11, tzinfo=UTC)),
            *(Decimal("1.2"), "EUR", '{"a":[1,null]}', ["ü", None], {"day": day}),
        )
        assert rows[1:] == [(2, "http://a.test/3", *[None] * 11)]
        assert db.execute(SELECT).fetchall() == [("1", "2")]
    assert len(list(kind.read(tmp_path / "a.duckdb", whole=True))) == 3


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (DECIMAL, "0.12345678901", "x is '0.12345678901', which has more than 28 digits before the point or 10 behind"),
        (DECIMAL, "1" * 29, "which has more than 28 digits before the point"),
        (DATETIME, "0001-01-01T00:00:00+14:00", "which is in no year from 1 to 9999 in UTC"),
    ],
)
def test_what_the_types_of_arrow_cannot_hold_rejects_its_row(name: str, value: str, reason: str) -> None:
    kind = DuckdbFiles(shape_of("thing", Column("x", name)))
    (rejected,) = kind.rejects_of(page(1, ("thing", {"x": value}), ("thing", {})))
    assert (rejected.place, rejected.row["x"]) == (0, value)
    assert reason in rejected.reason
