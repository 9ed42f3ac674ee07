"""The rows of one page, within the limits of its job: what does not fit is left out and counted. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from crawlfleet.shared.brief import LimitSpec
from crawlfleet.shared.messages import Row

_encode = msgspec.msgpack.Encoder().encode


class Basket:
    """Takes rows one by one. `rows` are those that fit, numbered within their kinds, and `left_out` is how many do not.

    A row that is too large is left out alone; once there are too many, all that follow are.
    """

    def __init__(self, limits: LimitSpec) -> None:
        self.rows: list[Row] = []
        self.left_out = 0
        self._limits = limits
        self._counts: dict[tuple[str, bool], int] = {}
        self._bytes = 0
        self._bytes_after = 0
        self._is_full = False

    def put(self, item: str, fields: dict[str, Any], rejected: str = "") -> bool:
        """Take the next row, or leave it out; say whether to go on. A row that is `rejected` says why.

        When as much as the limits allow was left out, too, the rest is not even counted: a hook may have no end.
        """
        kind = (item, bool(rejected))
        row = Row(item=item, index=self._counts.get(kind, 0), fields=fields, rejected=rejected)
        limits = self._limits
        size = len(_encode(row))
        fits = size <= limits.row_bytes
        if fits and (len(self.rows) >= limits.rows or self._bytes + size > limits.report_bytes):
            self._is_full = True
        if fits and not self._is_full:
            self._counts[kind] = row.index + 1
            self._bytes += size
            self.rows.append(row)
            return True
        self.left_out += 1
        self._bytes_after += size * self._is_full
        return self.left_out <= limits.rows and self._bytes_after <= limits.report_bytes

    def fit(self, size_bytes: int) -> None:
        """Leave out the last rows, until the others take `size_bytes` at most."""
        while self._bytes > size_bytes and self.rows:
            self._bytes -= len(_encode(self.rows.pop()))
            self.left_out += 1
