"""Lock and RLock: one owner at a time, in the order of arrival.

`acquire` gives a fencing number (true, as `threading.Lock.acquire` gives True) that only grows, so that a resource
outside the fleet can tell an old owner from the new one. Only its owner releases a lock. A lock whose owner is lost
passes on. The owner of an RLock may acquire it again, under the same number, and releases it as often.

A call of a condition that waits for its lock is in the lock's line too, with a note: how often its owner had acquired
the lock, and the answer that it gets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind, Refused
from crawlfleet.coordinator.core.objects.rows import ObjectRow, Owner, WaitRow
from crawlfleet.coordinator.core.rows import succeed

NOT_OWNED = "the lock is not held by this thread (any more)"
NOT_OWNED_RECURSIVE = "attempt to release recursive lock not owned by thread"


class LockRow(ObjectRow, frozen=True, kw_only=True):
    """A lock. While calls wait in its line it has an owner."""

    #: The number of its last grant.
    fence: int = 0
    owner: Owner | None = None
    #: How often its owner has acquired it.
    depth: int = 0


class RLockRow(LockRow, frozen=True, kw_only=True):
    """A lock that its owner may acquire again."""


class ConditionLockRow(RLockRow, frozen=True, kw_only=True):
    """The lock of a condition that shares no other."""


class ValueLockRow(LockRow, frozen=True, kw_only=True):
    """The lock of a Value of the same name."""


class ArrayLockRow(LockRow, frozen=True, kw_only=True):
    """The lock of an Array of the same name."""


def acquire(desk: Desk, row: LockRow) -> Any:
    """Return the fencing number as soon as the lock is free; False if it is not in time."""
    if row.owner is None:
        return grant(desk, row, desk.owner)
    return desk.park(row) if desk.may_wait else False


def acquire_again(desk: Desk, row: RLockRow) -> Any:
    """As `acquire`; the owner gets the lock once more, under the same number."""
    if row.owner != desk.owner:
        return acquire(desk, row)
    desk.put(succeed(row, depth=row.depth + 1))
    return row.fence


def release(desk: Desk, row: LockRow) -> None:
    """Pass the lock on."""
    if row.owner != desk.owner:
        raise Refused(ValueError, NOT_OWNED)
    pass_on(desk, row)


def release_once(desk: Desk, row: RLockRow) -> None:
    """Take back one `acquire`; pass the lock on after the last."""
    if row.owner != desk.owner:
        raise Refused(AssertionError, NOT_OWNED_RECURSIVE)
    _leave(desk, row)


def grant(desk: Desk, row: LockRow, owner: Owner, depth: int = 1) -> int:
    """Give a free lock, or that of an owner who leaves it, to an owner; return the fencing number."""
    desk.put(succeed(row, owner=owner, depth=depth, fence=row.fence + 1))
    return row.fence + 1


def pass_on(desk: Desk, row: LockRow) -> None:
    """Give the lock to the first in its line, or free it."""
    wait = desk.first(row)
    if wait is None:
        desk.put(succeed(row, owner=None, depth=0))
    elif wait.note:
        depth, answer = wait.note
        grant(desk, row, wait.owner, depth)
        desk.answer(wait, answer)
    else:
        desk.answer(wait, grant(desk, row, wait.owner))


def _leave(desk: Desk, row: LockRow) -> None:
    if row.depth > 1:
        desk.put(succeed(row, depth=row.depth - 1))
    else:
        pass_on(desk, row)


def _lost(desk: Desk, row: LockRow, session: str, _waits: Sequence[WaitRow]) -> None:
    if row.owner is not None and row.owner.session == session:
        pass_on(desk, row)


def _undo(desk: Desk, row: LockRow, fence: int) -> None:
    """Take back a grant that its caller gave up."""
    if row.owner == desk.owner and row.fence == fence:
        _leave(desk, row)


def _kind(row: type[LockRow], table: str, *, again: bool) -> ObjectKind:
    methods: dict[str, Callable[..., Any]] = {"acquire": acquire, "release": release}
    if again:
        methods = {"acquire": acquire_again, "release": release_once}

    def open_lock(desk: Desk, found: LockRow | None, name: str, number: int) -> bool:
        if found is None:
            desk.put(row(name=name, number=number))
        return True

    return ObjectKind(
        row=row,
        table=table,
        open=open_lock,
        options=tuple[()],
        methods={name: Method(run) for name, run in methods.items()},
        lost=_lost,
        undone={"acquire": _undo},
    )


LOCK = _kind(LockRow, "locks", again=False)
RLOCK = _kind(RLockRow, "object_rlocks", again=True)
VALUE_LOCK = _kind(ValueLockRow, "object_value_locks", again=True)
ARRAY_LOCK = _kind(ArrayLockRow, "object_array_locks", again=True)
CONDITION_LOCK = _kind(ConditionLockRow, "object_condition_locks", again=True)
