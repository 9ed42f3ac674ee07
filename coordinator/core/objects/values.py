"""Value: a number, which starts at 0. `add` changes it in one step."""

from __future__ import annotations

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind
from crawlfleet.coordinator.core.objects.rows import ObjectRow
from crawlfleet.coordinator.core.rows import succeed

Number = int | float


class ValueRow(ObjectRow, frozen=True, kw_only=True):
    """A number."""

    value: Number = 0


def open_value(desk: Desk, row: ValueRow | None, name: str, number: int) -> bool:
    """Create a number."""
    if row is None:
        desk.put(ValueRow(name=name, number=number))
    return True


def get(_desk: Desk, row: ValueRow) -> Number:
    """Return the number."""
    return row.value


def set_(desk: Desk, row: ValueRow, value: Number) -> None:
    """Set the number."""
    desk.put(succeed(row, value=value))


def add(desk: Desk, row: ValueRow, value: Number) -> Number:
    """Add to the number; return the sum."""
    total = row.value + value
    desk.put(succeed(row, value=total))
    return total


VALUE = ObjectKind(
    row=ValueRow,
    table="object_values",
    open=open_value,
    options=tuple[()],
    methods={
        "get": Method(get, reads=True),
        "set": Method(set_, tuple[Number]),
        "add": Method(add, tuple[Number]),
    },
)
