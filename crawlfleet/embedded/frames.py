"""The rows of a crawl as tables of other libraries: Arrow, pandas, Polars. Each is imported when it is asked for.

The columns are those of Parquet files: a price is an amount and a currency. Rows of a hook, if the job does not define
their columns, have a column for each field.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.results.columns import Column, Layout, Table, layout_of
from crawlfleet.coordinator.results.rows import flat_rows
from crawlfleet.coordinator.sinks.cells import CellReader, flat
from crawlfleet.coordinator.sinks.port import Rejected
from crawlfleet.embedded.stored_results import job_in
from crawlfleet.shared import field_types
from crawlfleet.shared.errors import CrawlWarning, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

ROWS_AT_ONCE = 10_000
_PANDAS = {
    field_types.INT: "Int64",
    field_types.FLOAT: "float64",
    field_types.DECIMAL: "float64",
    field_types.BOOL: "boolean",
    field_types.DATE: "datetime64[s]",
    field_types.TEXT: "str",
    field_types.URL: "str",
}

Cells = tuple[Any, ...]


class Frames:
    """The rows of one item: of the only one, if none is named. Raises `UsageError` if that is not clear."""

    def __init__(self, results: Iterator[Result], folder: Path, item: str | None) -> None:
        self._results = results
        self._item = item
        self._layout: Layout = layout_of(job_in(folder))
        self._table = self._known_table()

    def to_pandas(self) -> pd.DataFrame:
        """Return a frame."""
        pandas = _library("pandas", "pandas")
        if self._table is None:
            frame: pd.DataFrame = pandas.DataFrame(self._open_rows())
            return frame
        columns = flat(self._table)
        rows = list(self._cells(self._table, [lambda cell: cell for _ in columns]))
        values = zip(*rows, strict=True) if rows else [()] * len(columns)
        series = {
            column.name: _series(pandas, column, list(some)) for column, some in zip(columns, values, strict=True)
        }
        frame = pandas.DataFrame(series)
        return frame

    def to_arrow(self) -> pa.Table:
        """Return a table."""
        pyarrow = _library("pyarrow", "parquet")
        from crawlfleet.coordinator.sinks.arrow_cells import arrow_type, inferred, store_for, table_of

        if self._table is None:
            try:
                return inferred(self._open_rows())
            except ValueError as error:
                text = f"the rows do not fit into a table: {error}; say their types by set={{'columns': ...}}"
                raise UsageError(text) from error
        columns = flat(self._table)
        names, types = [column.name for column in columns], [arrow_type(column) for column in columns]
        cells = self._cells(self._table, [store_for(column) for column in columns])
        parts = [table_of(names, types, ())]
        while some := list(islice(cells, ROWS_AT_ONCE)):
            parts.append(table_of(names, types, some))
        table: pa.Table = pyarrow.concat_tables(parts)
        return table

    def to_polars(self) -> pl.DataFrame:
        """Return a frame."""
        polars = _library("polars", "polars")
        _library("pyarrow", "polars")
        frame: pl.DataFrame = polars.DataFrame(self.to_arrow())
        return frame

    def _known_table(self) -> Table | None:
        """Return the table of the item; None if only the rows themselves say what columns they have."""
        names = [table.name for table in self._layout.tables]
        if self._layout.other is not None:
            return self._layout.table_of(self._item) if self._item in names and self._item is not None else None
        if self._item is None and len(names) == 1:
            return self._layout.tables[0]
        if self._item not in names:
            raise _unclear(self._item, names)
        return self._layout.table_of(self._item)

    def _cells(self, table: Table, stores: list[Callable[[Any], Any]]) -> Iterator[Cells]:
        """Yield the cells of each row; at the end, warn of rows that do not fit."""
        reader = CellReader(self._layout, table.name)
        left_out: list[str] = []
        for result in self._results:
            for row in reader.sorted(result):
                if isinstance(row, Rejected):
                    left_out.append(row.reason)
                    continue
                try:
                    pairs = zip(stores, row.values, strict=True)
                    yield tuple(None if cell is None else store(cell) for store, cell in pairs)
                except ValueError as error:
                    left_out.append(f"a value {error}")
        if left_out:
            rows = "1 row does" if len(left_out) == 1 else f"{len(left_out):,} rows do"
            text = f"{rows} not fit into the table, and are left out: {left_out[-1]}"
            warnings.warn(text, CrawlWarning, stacklevel=4)

    def _open_rows(self) -> list[dict[str, Any]]:
        rows = [row for result in self._results for row in flat_rows(result)]
        items = list(dict.fromkeys(row["item"] for row in rows))
        if self._item is not None:
            return [row for row in rows if row["item"] == self._item]
        if len(items) > 1:
            raise _unclear(None, items)
        return rows


def _series(pandas: Any, column: Column, values: list[Any]) -> Any:
    if column.many or column.fields:
        return pandas.Series(values, dtype=object)
    if column.type == field_types.DATETIME:
        return pandas.to_datetime(pandas.Series(values, dtype=object), utc=True)
    if column.type == field_types.DECIMAL:
        values = [None if value is None else float(value) for value in values]
    return pandas.Series(values, dtype=_PANDAS.get(column.type, object))


def _library(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} is not installed: pip install 'crawlfleet[{extra}]'") from error


def _unclear(item: str | None, items: list[str]) -> UsageError:
    some = ", ".join(f"item={name!r}" for name in items)
    what = "the rows are of several items" if item is None else f"there is no item {item!r}"
    return UsageError(f"{what}: say one of {some}")
