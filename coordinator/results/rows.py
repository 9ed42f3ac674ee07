"""Results as users see them: rows with the page's URL, the rule's name, and the fields."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.core.seed_line import REQUESTED, SEED, SeedLine
from crawlfleet.coordinator.results.columns import Table
from crawlfleet.shared.messages import VALUE_ITEM, Row

ROWS_AT_ONCE = 500
_OF_NO_PAGE: dict[str, Any] = {"ref": b"", "url": "", "status": 0, "depth": 0, "content_type": ""}
_OF_NO_PAGE |= {"size_bytes": 0, "elapsed_s": 0.0, "at": 0.0, "hops": ()}


def flat_rows(result: Result) -> Iterator[dict[str, Any]]:
    """Yield the rows that a sink writes: see `flat`; of tables, the fields alone."""
    yield from (flat(result, row) if result.ref else row.fields for row in result.rows)


def rejected_rows(result: Result) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the rows that the rules of a page rejected, as a sink would have got them, each with the reason."""
    yield from ((flat(result, row), row.rejected) for row in result.rejected)


def flat(result: Result, row: Row) -> dict[str, Any]:
    """Return a row as users see it: `url` and `item`, what a line of a seeds file said, then the fields."""
    head: dict[str, Any] = {"url": result.url, "item": row.item}
    given = _given(result.seed_line)
    return {**head, **given, **row.fields, **given} if given else {**head, **row.fields}


def _given(line: SeedLine | None) -> dict[str, Any]:
    """Return the address as it was given, and other columns of its line, if there are any."""
    if line is None:
        return {}
    return {REQUESTED: line.requested, **({SEED: line.columns} if line.columns else {})}


def as_results(table: Table, rows: Iterator[dict[str, Any]]) -> Iterator[Result]:
    """Yield the rows of a crawl's table in the form that sinks take: results of no page, with many rows each."""
    while some := list(islice(rows, ROWS_AT_ONCE)):
        found = tuple(Row(item=table.name, index=0, fields=row) for row in some)
        yield Result(**_OF_NO_PAGE, rows=found)


def as_list(rows: tuple[Row, ...], line: SeedLine | None = None) -> tuple[Any, ...]:
    """Return a page's rows as a program that asked for it gets them; a value that is no list counts as one row."""
    value = as_value(rows, line)
    return tuple(value) if isinstance(value, list) else (value,)


def as_value(rows: tuple[Row, ...], line: SeedLine | None = None) -> Any:
    """Return a page's value in the results dict: what a user's worker set, or a list of one dict a row."""
    if len(rows) == 1 and rows[0].item == VALUE_ITEM:
        return rows[0].fields.get(VALUE_ITEM)
    given = _given(line)
    return [{"item": row.item, **given, **row.fields, **given} for row in rows]
