"""What becomes of a sink whose columns have changed since the last run: it is written again from the log.

The log has all rows since the crawl began, so nothing is lost: rows of earlier pages have None in new columns, and a
value that does not fit the new type of its column makes its row a rejected one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import structlog

from crawlfleet.coordinator.frontier.port import Keeping, Mark
from crawlfleet.coordinator.results.columns import Column, Layout
from crawlfleet.coordinator.sinks.cells import flat
from crawlfleet.coordinator.sinks.outputs import Output
from crawlfleet.coordinator.sinks.port import Shape
from crawlfleet.shared.paths import shown

MAX_CHANGES = 10


def schema_key(name: str) -> str:
    """Return the key under which a sink's columns are kept, by the sink's name."""
    return f"schema of {name}"


def take_schema(store: Keeping, output: Output, mark: Mark | None, *, power: bool, name: str = "") -> str:
    """Compare a sink's columns and options with those of the last run; keep the new ones, under a name.

    If they differ, remove what was written with the old ones, and return a sentence that says so. What somebody else
    has changed is not removed: `UsageError`, as `SinkKind.open` says.
    """
    if not output.schema:
        return ""
    key = schema_key(name or output.name)
    kept = store.kept(key)
    was = msgspec.json.decode(kept, type=Shape) if kept is not None else None
    if was is not None and was == msgspec.json.decode(output.schema, type=Shape):
        return ""
    sentence = ""
    if was is not None and mark is not None:
        before = replace(output, shape=was)
        before.open(mark, power=power).close()
        before.kind.remove(output.path)
        changes = ", ".join(_changes(before.shape, output.shape)) or "its options"
        sentence = f"The columns of {shown(output.place)} have changed ({changes}): it is written again from the log."
        structlog.get_logger().info("sink written again", sink=output.name, detail=changes)
    store.keep(key, output.schema)
    return sentence


def _changes(before: Shape, after: Shape) -> Iterator[str]:
    """Yield what has changed, as `+ price: decimal`; only some of it if it is much."""
    old, new = _columns(before.layout, before.table), _columns(after.layout, after.table)
    lines = [f"- {name}: {old[name]}" for name in old if new.get(name) != old[name]]
    lines += [f"+ {name}: {new[name]}" for name in new if new[name] != old.get(name)]
    yield from lines[:MAX_CHANGES]
    if len(lines) > MAX_CHANGES:
        yield f"and {len(lines) - MAX_CHANGES} more"


def _columns(layout: Layout, only: str) -> dict[str, str]:
    tables = [table for table in layout if only in ("", table.name)]
    prefixed = len(tables) > 1
    return {
        f"{table.name}.{column.name}" if prefixed else column.name: _type(column)
        for table in tables
        for column in flat(table)
    }


def _type(column: Column) -> str:
    name = "nested" if column.fields else column.type
    return f"[{name}]" if column.many else name
