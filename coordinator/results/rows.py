"""Results as users see them: rows with the page's URL, the rule's name, and the fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.shared.messages import VALUE_ITEM, Row


def flat_rows(result: Result) -> Iterator[dict[str, Any]]:
    """Yield the rows that a sink writes: `url` and `item` first, then the fields."""
    for row in result.rows:
        yield {"url": result.url, "item": row.item, **row.fields}


def as_list(rows: tuple[Row, ...]) -> tuple[Any, ...]:
    """Return a page's rows as a program that asked for it gets them; a value that is no list counts as one row."""
    value = as_value(rows)
    return tuple(value) if isinstance(value, list) else (value,)


def as_value(rows: tuple[Row, ...]) -> Any:
    """Return a page's value in the results dict: what a user's worker set, or a list of one dict a row."""
    if len(rows) == 1 and rows[0].item == VALUE_ITEM:
        return rows[0].fields.get(VALUE_ITEM)
    return [{"item": row.item, **row.fields} for row in rows]
