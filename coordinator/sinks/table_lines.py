"""A kind of files of lines, each of one table: a row is a tuple of cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.sinks.cells import CellReader, Cells
from crawlfleet.coordinator.sinks.line_sink import Lines
from crawlfleet.coordinator.sinks.port import Rejected, RowRejected, Shape


class TableLines(Lines):
    """Base of these kinds. A kind defines `line_of_cells`, and a `head` if its files have one."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.table = next(table for table in shape.layout if table.name == shape.table)
        self._reader = CellReader(shape.layout, shape.table)

    def line_of_cells(self, cells: tuple[Any, ...]) -> bytes:
        """Return the lines of one row, each with its end; raise `RowRejected` if this kind cannot write the row.

        `cells` has a value for each of `flat(self.table)`.
        """
        raise NotImplementedError

    def lines_of(self, result: Result) -> bytes:
        """Return the lines of those rows of a result that belong to the table, without the rejected ones."""
        return b"".join(self.taken(result))

    def sorted(self, result: Result) -> Iterator[bytes | Rejected]:
        """Yield the lines of each row of the table, or why it is rejected."""
        for each in self._reader.sorted(result):
            yield each if isinstance(each, Rejected) else self._written(result, each)

    def _written(self, result: Result, row: Cells) -> bytes | Rejected:
        try:
            return self.line_of_cells(row.values)
        except Exception as error:  # noqa: BLE001  one row must not end the crawl, and its reason is kept
            reason = str(error) if isinstance(error, RowRejected) else f"{type(error).__name__}: {error}"
            given = result.rows[row.place]
            return Rejected(row.place, {"url": result.url, "item": given.item, **given.fields}, reason)
