"""Semaphore and BoundedSemaphore: units, which owners take and anyone releases, in the order of arrival.

Whom a unit was given to is noted for each session, so that the units of a lost session come back. A release counts
against the units of the releasing session; if it has none, against those of the session that has held some longest; if
nobody has, it adds a unit, which a BoundedSemaphore refuses. A session that was lost and comes back releases units that
have come back already: these releases are refused, and change nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind, Refused
from crawlfleet.coordinator.core.objects.rows import ObjectRow, PartRow, WaitRow
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.shared.objects import ObjectReply
from crawlfleet.shared.ranges import shown

#: The largest value of a semaphore, as of the operating system's.
MAX_UNITS = 2**31 - 1
MAX_FORFEITS = 100

TOO_MANY = "semaphore or lock released too many times"
FORFEITED = "the unit has been given back already: this session was gone for too long"


class SemaphoreRow(ObjectRow, frozen=True, kw_only=True):
    """A semaphore. Its parts are the sessions that hold units. While calls wait in its line no unit is free."""

    initial: int
    #: Free units, and how many there may be.
    value: int
    most: int = MAX_UNITS
    #: Sessions that were lost, and how many units came back from each. The last of them.
    forfeits: tuple[tuple[str, int], ...] = ()


class BoundedSemaphoreRow(SemaphoreRow, frozen=True, kw_only=True):
    """A semaphore whose value never exceeds the initial one."""


def acquire(desk: Desk, row: SemaphoreRow) -> Any:
    """Take a unit as soon as one is free; False if none is in time."""
    if not row.value:
        return desk.park(row) if desk.may_wait else False
    desk.put(succeed(row, value=row.value - 1))
    _hold(desk, row, desk.owner.session)
    return True


def release(desk: Desk, row: SemaphoreRow) -> Any:
    """Give a unit back, or add one."""
    session = desk.owner.session
    holding = desk.part(row, session.encode())
    if holding is None:
        forfeited = dict(row.forfeits).get(session, 0)
        if forfeited:
            entry = ((session, forfeited - 1),) if forfeited > 1 else ()
            desk.put(succeed(row, forfeits=_others(row, session) + entry))
            return ObjectReply(error="ValueError", text=FORFEITED)
        holding = next(desk.parts(row), None)
    if row.value >= row.most:
        raise Refused(ValueError, TOO_MANY)
    if holding is not None:
        _put_down(desk, row, holding)
    _free(desk, row, 1)
    return None


def get_value(_desk: Desk, row: SemaphoreRow) -> int:
    """Return how many units are free."""
    return row.value


def _hold(desk: Desk, row: SemaphoreRow, session: str) -> None:
    holding = desk.part(row, session.encode())
    count = 1 if holding is None else _count(holding) + 1
    desk.add_part(row, session.encode(), count.to_bytes(8))


def _put_down(desk: Desk, row: SemaphoreRow, holding: PartRow) -> None:
    count = _count(holding) - 1
    if count:
        desk.add_part(row, holding.subkey, count.to_bytes(8))
    else:
        desk.remove_part(holding)


def _count(holding: PartRow) -> int:
    return int.from_bytes(holding.value)


def _free(desk: Desk, row: SemaphoreRow, units: int) -> None:
    """Give units to those who wait, and free the others."""
    waits = list(islice(desk.line(row), units))
    for each in waits:
        _hold(desk, row, each.owner.session)
        desk.answer(each, True)
    if units > len(waits):
        desk.put(succeed(row, value=row.value + units - len(waits)))


def _others(row: SemaphoreRow, session: str) -> tuple[tuple[str, int], ...]:
    return tuple(entry for entry in row.forfeits if entry[0] != session)


def _lost(desk: Desk, row: SemaphoreRow, session: str, _waits: Sequence[WaitRow]) -> None:
    holding = desk.part(row, session.encode())
    if holding is not None:
        count = _count(holding)
        desk.remove_part(holding)
        before = dict(row.forfeits).get(session, 0)
        row = succeed(row, forfeits=(*_others(row, session), (session, before + count))[-MAX_FORFEITS:])
        desk.put(row)
        _free(desk, row, count)


def _undo(desk: Desk, row: SemaphoreRow, taken: bool) -> None:
    """Give back a unit that its caller gave up, if its session still holds it."""
    holding = desk.part(row, desk.owner.session.encode())
    if taken and holding is not None:
        _put_down(desk, row, holding)
        _free(desk, row, 1)


def _kind(row: type[SemaphoreRow], table: str, *, bounded: bool) -> ObjectKind:
    def open_semaphore(desk: Desk, found: SemaphoreRow | None, name: str, number: int, value: int | None) -> bool:
        if value is not None and not 0 <= value <= MAX_UNITS:
            raise Refused(ValueError, f"semaphore initial value must be >= 0, and at most {MAX_UNITS}")
        if found is None:
            initial = 1 if value is None else value
            most = initial if bounded else MAX_UNITS
            desk.put(row(name=name, number=number, initial=initial, value=initial, most=most))
        elif value not in (None, found.initial):
            raise Refused(
                ValueError, f"the semaphore {shown(name)} exists already, with the initial value {found.initial}"
            )
        return True

    return ObjectKind(
        row=row,
        table=table,
        open=open_semaphore,
        options=tuple[int | None],
        methods={
            "acquire": Method(acquire),
            "release": Method(release),
            "get_value": Method(get_value, reads=True),
        },
        lost=_lost,
        undone={"acquire": _undo},
    )


SEMAPHORE = _kind(SemaphoreRow, "object_semaphores", bounded=False)
BOUNDED_SEMAPHORE = _kind(BoundedSemaphoreRow, "object_bounded_semaphores", bounded=True)
