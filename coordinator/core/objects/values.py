"""Value: a number. With a typecode it holds what this can hold; without one, an int of any size or a float.

`add` changes it in one step.
"""

from __future__ import annotations

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind, Refused
from crawlfleet.coordinator.core.objects.rows import ObjectRow
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.shared.ranges import shown
from crawlfleet.shared.typecodes import NUMERIC, SIZES, Number, Plain, fitted, from_plain, to_plain


class ValueRow(ObjectRow, frozen=True, kw_only=True):
    """A number."""

    value: Plain = 0
    typecode: str = ""


def open_value(desk: Desk, row: ValueRow | None, name: str, number: int, typecode: str, initial: Plain) -> str:
    """Create a number; return its typecode."""
    if typecode and typecode not in SIZES:
        raise Refused(ValueError, f"there is no typecode {typecode[:20]!r}")
    if row is None:
        row = ValueRow(version=0, name=name, number=number, typecode=typecode)
        _put(desk, row, _fitted(row, from_plain(initial)))
        return typecode
    if typecode not in ("", row.typecode):
        has = f"the typecode {row.typecode!r}" if row.typecode else "no typecode"
        raise Refused(ValueError, f"the Value {shown(name)} has {has}, not {typecode!r}")
    return row.typecode


def get(_desk: Desk, row: ValueRow) -> Plain:
    """Return the number."""
    return row.value


def set_(desk: Desk, row: ValueRow, value: Plain) -> None:
    """Set the number."""
    _put(desk, row, _fitted(row, from_plain(value)))


def add(desk: Desk, row: ValueRow, value: Plain) -> Plain:
    """Add to the number; return the sum."""
    if row.typecode and row.typecode not in NUMERIC:
        raise Refused(TypeError, f"nothing can be added to a Value of typecode {row.typecode!r}")
    try:
        total = from_plain(row.value) + from_plain(value)
    except OverflowError as error:
        raise Refused(OverflowError, str(error)) from error
    plain = _fitted(row, total)
    desk.check_answer(plain)
    _put(desk, row, plain)
    return plain


def _fitted(row: ValueRow, number: Number) -> Plain:
    """Return a number as the typecode holds it; raise `Refused` if it does not fit."""
    try:
        return to_plain(fitted(row.typecode, number))
    except (OverflowError, TypeError) as error:
        raise Refused(type(error), str(error)) from error


def _put(desk: Desk, row: ValueRow, plain: Plain) -> None:
    """Store a number."""
    growth = _size(plain) - _size(row.value)
    if growth:
        desk.check_room(growth)
        desk.grow(growth)
    desk.put(succeed(row, value=plain))


def _size(plain: Plain) -> int:
    return len(plain) if isinstance(plain, bytes) else 0


VALUE = ObjectKind(
    row=ValueRow,
    table="object_values",
    open=open_value,
    options=tuple[str, Plain],
    methods={
        "get": Method(get, reads=True),
        "set": Method(set_, tuple[Plain]),
        "add": Method(add, tuple[Plain]),
    },
)
