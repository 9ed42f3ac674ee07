"""Results for tests of what becomes of them."""

from __future__ import annotations

from typing import Any

import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.shared import field_types
from crawlfleet.shared.messages import Row


def result(number: int, rows: int = 1) -> Result:
    """Return the result of a page by number, with so many rows."""
    return Result(
        ref=number.to_bytes(16, "big"),
        url=f"http://a.test/{number}",
        status=200,
        depth=0,
        content_type="text/html",
        size_bytes=1,
        elapsed_s=0.0,
        at=0.0,
        hops=(),
        rows=tuple(Row(item="quote", index=place, fields={"n": number, "text": "ü"}) for place in range(rows)),
    )


def rejecting(made: Result) -> Result:
    """Return a result of which a rule has also made a row that it rejected."""
    bad = Row(item="quote", index=0, fields={"n": None, "text": "bad"}, rejected="n is required, and empty")
    return msgspec.structs.replace(made, rejected=(bad,))


# A value of each type, as rows have it.
VALUES: dict[str, Any] = {
    field_types.TEXT: 'ü\n"quoted",\t=1',
    field_types.INT: -(2**63),
    field_types.FLOAT: 0.1,
    field_types.DECIMAL: "12.30",
    field_types.BOOL: False,
    field_types.DATE: "2026-01-31",
    field_types.DATETIME: "2026-01-31T12:00:00.5+01:00",
    field_types.URL: "http://a.test/?a=1,2",
    field_types.PRICE: {"amount": "1.20", "currency": "EUR"},
    field_types.JSON: {"a": [1, None, 0.5]},
}


def typed_result(number: int) -> Result:
    """Return the result of a page with a row that has all columns of `shapes.EVERY_TYPE`, and one without."""
    fields = {
        **{f"one_{name}": value for name, value in VALUES.items()},
        **{f"many_{name}": [value, None] for name, value in VALUES.items()},
        "inner": {"price": VALUES[field_types.PRICE], "days": [1, None]},
        "table": [{"n": 1}, {"n": None}],
    }
    full, empty = Row(item="typed", index=0, fields=fields), Row(item="typed", index=1, fields={})
    return msgspec.structs.replace(result(number), rows=(full, empty) if number % 3 else ())
