"""JSON Lines: one row a line, UTF-8, fields in the order of their rule (https://jsonlines.org)."""

from __future__ import annotations

from typing import Any

import msgspec

from crawlfleet.coordinator.sinks.line_sink import Lines

_encode = msgspec.json.Encoder().encode


class JsonLines(Lines):
    """Files whose lines are JSON objects."""

    def line_of(self, row: dict[str, Any]) -> bytes:
        """Return the line of one row."""
        return _encode(row) + b"\n"
