"""Lock: one owner at a time, in the order of arrival.

`acquire` gives a fencing number (true, as `threading.Lock.acquire` gives True) that only grows, so that a resource
outside the fleet can tell an old owner from the new one. Only its owner releases a lock. A lock whose owner is lost
passes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind, Refused
from crawlfleet.coordinator.core.objects.rows import ObjectRow, Owner, WaitRow
from crawlfleet.coordinator.core.rows import succeed

NOT_OWNED = "the lock is not held by this thread (any more)"


class LockRow(ObjectRow, frozen=True, kw_only=True):
    """A lock. While calls wait in its line it has an owner."""

    #: The number of its last grant.
    fence: int = 0
    owner: Owner | None = None


def open_lock(desk: Desk, row: LockRow | None, name: str, number: int) -> bool:
    """Create a lock."""
    if row is None:
        desk.put(LockRow(name=name, number=number))
    return True


def acquire(desk: Desk, row: LockRow) -> Any:
    """Return the fencing number as soon as the lock is free; False if it is not in time."""
    if row.owner is None:
        return _grant(desk, row, desk.owner)
    return desk.park(row) if desk.may_wait else False


def release(desk: Desk, row: LockRow) -> None:
    """Pass the lock on."""
    if row.owner != desk.owner:
        raise Refused(ValueError, NOT_OWNED)
    pass_on(desk, row)


def pass_on(desk: Desk, row: LockRow) -> None:
    """Give the lock to the first in its line, or free it."""
    wait = desk.first(row)
    if wait is None:
        desk.put(succeed(row, owner=None))
    else:
        desk.answer(wait, _grant(desk, row, wait.owner))


def _grant(desk: Desk, row: LockRow, owner: Owner) -> int:
    desk.put(succeed(row, owner=owner, fence=row.fence + 1))
    return row.fence + 1


def _lost(desk: Desk, row: LockRow, session: str, _waits: Sequence[WaitRow]) -> None:
    if row.owner is not None and row.owner.session == session:
        pass_on(desk, row)


def _undo(desk: Desk, row: LockRow, fence: int) -> None:
    """Take back a grant that its caller gave up."""
    if row.owner == desk.owner and row.fence == fence:
        pass_on(desk, row)


LOCK = ObjectKind(
    row=LockRow,
    table="locks",
    open=open_lock,
    options=tuple[()],
    methods={"acquire": Method(acquire), "release": Method(release)},
    lost=_lost,
    undone={"acquire": _undo},
)
