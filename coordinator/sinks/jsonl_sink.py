"""JSON Lines: one row a line, UTF-8, fields in the order of their rule (https://jsonlines.org)."""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.results.rows import flat_rows
from crawlfleet.coordinator.sinks.line_sink import Lines

_encode = msgspec.json.Encoder().encode


class JsonLines(Lines):
    """Files whose lines are JSON objects."""

    def lines_of(self, result: Result) -> bytes:
        """Return the lines of one result."""
        return b"".join(_encode(row) + b"\n" for row in flat_rows(result))
