"""What the sinks of tests hold."""

from __future__ import annotations

from crawlfleet.coordinator.results.columns import Column, Layout, Table
from crawlfleet.coordinator.sinks.port import Shape
from crawlfleet.shared.field_types import FIELD_TYPES, INT, PRICE, URL


def shape_of(item: str, *columns: Column) -> Shape:
    """Return the shape of a sink that has the rows of one item."""
    return Shape(layout=Layout((Table(item, (Column("url", URL), *columns)),)), table=item)


# That of the rows of `tests.results`.
QUOTES = shape_of("quote", Column("n", INT), Column("text"))
# That of its typed rows: each type alone, in a list, and the nested ones.
EVERY_TYPE = shape_of(
    "typed",
    *(Column(f"one_{name}", name) for name in FIELD_TYPES),
    *(Column(f"many_{name}", name, many=True) for name in FIELD_TYPES),
    Column("inner", fields=(Column("price", PRICE), Column("days", INT, many=True))),
    Column("table", many=True, fields=(Column("n", INT),)),
)
