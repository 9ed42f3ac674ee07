"""Comma- and tab-separated values (RFC 4180, but lines end in LF): a file for each table, with a header.

None is an empty cell, as an empty text is. Lists and mappings are JSON.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.sinks.cells import flat, json_text
from crawlfleet.coordinator.sinks.port import KEEP, Shape
from crawlfleet.coordinator.sinks.table_lines import TableLines
from crawlfleet.shared import field_types

# Spreadsheets take a cell that begins like this for a formula, which may call programs: some skip control characters,
# and take full-width signs for the others (U+FF0B, FF0D, FF1D, FF20).
_FORMULA = re.compile(r"[=@\t\r\n\0\uff0b\uff0d\uff1d\uff20]|[+-](?!(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z)")


class CommaLines(TableLines):
    """Files of comma-separated values."""

    delimiter = ","

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        text = str if shape.formulas == KEEP else without_formula
        self._formats = [_format(column, text) for column in flat(self.table)]
        self.head = self._line([text(column.name) for column in flat(self.table)])

    def line_of_cells(self, cells: tuple[Any, ...]) -> bytes:
        """Return the line of a row, or its lines if a text in it has several."""
        return self._line(
            ["" if cell is None else write(cell) for write, cell in zip(self._formats, cells, strict=True)]
        )

    def _line(self, cells: list[str]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self.delimiter, lineterminator="\r\n").writerow(cells)
        return text.getvalue().removesuffix("\r\n").encode() + b"\n"


class TabLines(CommaLines):
    """Files of tab-separated values."""

    delimiter = "\t"


def without_formula(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: with a `'` before it if it begins like one."""
    return f"'{text}" if _FORMULA.match(text) else text


def _format(column: Column, text: Callable[[str], str]) -> Callable[[Any], str]:
    if column.many or column.fields or column.type == field_types.JSON:
        return lambda cell: text(json_text(cell) or "")
    return _FORMATS.get(column.type, text)


def _plain(number: Decimal) -> str:
    return format(number, "f")


_FORMATS: dict[str, Callable[[Any], str]] = {
    field_types.INT: str,
    field_types.FLOAT: repr,
    field_types.DECIMAL: _plain,
    field_types.BOOL: lambda cell: "true" if cell else "false",
    field_types.DATE: lambda cell: cell.isoformat(),
    field_types.DATETIME: lambda cell: cell.isoformat(),
}
