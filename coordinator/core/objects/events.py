"""Event: a flag that calls wait for."""

from __future__ import annotations

from typing import Any

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind
from crawlfleet.coordinator.core.objects.rows import ObjectRow
from crawlfleet.coordinator.core.rows import succeed


class EventRow(ObjectRow, frozen=True, kw_only=True):
    """An event. While it is set, no call waits in its line."""

    is_set: bool = False


def open_event(desk: Desk, row: EventRow | None, name: str, number: int) -> bool:
    """Create an event."""
    if row is None:
        desk.put(EventRow(name=name, number=number))
    return True


def set_(desk: Desk, row: EventRow) -> None:
    """Set the flag: all calls that wait are answered."""
    if not row.is_set:
        desk.put(succeed(row, is_set=True))
        for each in list(desk.line(row)):
            desk.answer(each, True)


def clear(desk: Desk, row: EventRow) -> None:
    """Clear the flag."""
    if row.is_set:
        desk.put(succeed(row, is_set=False))


def is_set(_desk: Desk, row: EventRow) -> bool:
    """Return whether the flag is set."""
    return row.is_set


def wait(desk: Desk, row: EventRow) -> Any:
    """Return True as soon as the flag is set; False if it is not in time."""
    return True if row.is_set else desk.park(row) if desk.may_wait else False


EVENT = ObjectKind(
    row=EventRow,
    table="object_events",
    open=open_event,
    options=tuple[()],
    methods={
        "set": Method(set_),
        "clear": Method(clear),
        "is_set": Method(is_set, reads=True),
        "wait": Method(wait),
    },
)
