"""Results for tests of what becomes of them."""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.core.rows import Result
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
