"""What PostgreSQL stores for a cell, as far as no server is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks.postgresql_values import canonical_json, store_for
from crawlfleet.shared.field_types import DATETIME, DECIMAL, JSON


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"b": 1, "a": [true, null]}', '{"a":[true,null],"b":1}'),
        ("[1e22, 1.50, -0.0, 0.10]", "[10000000000000000000000, 1.5, 0, 0.1]"),
        ("[1e-7]", "[0.0000001]"),
        ('["1.50", 1.5]', '["1.50", 1.50]'),
    ],
)
def test_json_has_one_form(one: str, other: str) -> None:
    assert canonical_json(one) == canonical_json(other)


def test_numbers_that_differ_have_other_forms() -> None:
    assert canonical_json("[1.5]") != canonical_json('["1.5"]')
    assert canonical_json("[10]") != canonical_json("[1]")


@pytest.mark.parametrize(
    ("kind", "cell", "why"),
    [
        ("text", "a\0b", "NUL"),
        (JSON, {"a": ["\0"]}, "NUL"),
        (JSON, {"\0": 1}, "NUL"),
        (DECIMAL, Decimal("1e999999999"), "10,000 digits"),
        (DECIMAL, Decimal("1e-999999999"), "10,000 digits"),
        (DATETIME, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "year 1"),
    ],
)
def test_what_cannot_be_stored_is_told(kind: str, cell: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        store_for(Column("x", kind))(cell)


def test_numbers_and_times_have_the_form_in_which_they_come_back() -> None:
    assert str(store_for(Column("x", DECIMAL))(Decimal("1.50E+3"))) == "1500"
    assert str(store_for(Column("x", DECIMAL))(Decimal("-0.00"))) == "0.00"
    time = store_for(Column("x", DATETIME))
    assert time(datetime(2026, 1, 31, 12)) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert (
        time(datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))).isoformat() == "2026-01-31T11:00:00+00:00"
    )
    assert store_for(Column("x", JSON))("\\u0000 is no NUL") == '"\\\\u0000 is no NUL"'
