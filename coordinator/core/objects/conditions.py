"""Condition: calls that wait, without their lock, until somebody who holds it notifies them.

A condition belongs to a lock: a `Lock`, an `RLock`, or one of its own. `wait` passes the lock on as a whole and stands
in the condition's line. A call that is notified, or whose time is over, moves to the line of the lock. It is answered
when its owner holds the lock again, as often as before.

No notification is lost: if a call that was notified leaves the line of the lock before it was answered, because its
session is lost or it was given up, the next call is notified that already waited then. A caller that gives up its
`wait` calls `resume`, because it leaves the `wait` with the lock held, as in `threading`; the condition remembers how
often it had acquired the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from crawlfleet.coordinator.core.objects.desk import MAX_WAITS, Desk, Method, ObjectKind, Refused
from crawlfleet.coordinator.core.objects.locks import CONDITION_LOCK, LOCK, RLOCK, LockRow, grant, pass_on
from crawlfleet.coordinator.core.objects.rows import ObjectRow, Owner, WaitRow
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.coordinator.core.turn import existing
from crawlfleet.shared.ranges import shown

#: The kinds of locks that a condition may have.
LOCKS: dict[str, ObjectKind] = {"Lock": LOCK, "RLock": RLOCK, "ConditionLock": CONDITION_LOCK}

MAX_INTERRUPTED = 100


class ConditionRow(ObjectRow, frozen=True, kw_only=True):
    """A condition, and the kind and the name of its lock."""

    lock_kind: str
    lock: str
    #: Who gave up a `wait` and has not got the lock back yet: how often they had acquired it. The last of them.
    interrupted: tuple[tuple[Owner, int], ...] = ()


def open_condition(desk: Desk, row: ConditionRow | None, name: str, number: int, lock_kind: str, lock: str) -> bool:
    """Create a condition of a lock that exists, or check that it is a condition of that lock."""
    if row is None:
        if lock_kind not in LOCKS or desk.look_up(LOCKS[lock_kind].row, lock) is None:
            raise Refused(ValueError, "the lock of a condition is a Lock or an RLock that exists")
        desk.put(ConditionRow(name=name, number=number, lock_kind=lock_kind, lock=lock))
    elif (row.lock_kind, row.lock) != (lock_kind, lock):
        own = row.lock_kind == "ConditionLock"
        other = "a lock of its own" if own else f"the {row.lock_kind} {shown(row.lock)}"
        raise Refused(ValueError, f"the condition {shown(name)} exists already, with {other}")
    return True


def wait(desk: Desk, row: ConditionRow) -> Any:
    """Pass the lock on; hold it again after a notification (True) or when the time is over (False)."""
    lock = _held_lock(desk, row, "cannot wait on un-acquired lock")
    if desk.may_wait:
        reply = desk.park(row, lock.depth)
    elif desk.first(lock) is not None:
        reply = desk.park(lock, lock.depth, False, forever=True)
    else:
        return False
    pass_on(desk, lock)
    return reply


def notify(desk: Desk, row: ConditionRow, n: int) -> None:
    """Notify up to `n` calls, those that have waited longest."""
    lock = _held_lock(desk, row, "cannot notify on un-acquired lock")
    for each in list(islice(desk.line(row), max(0, min(n, MAX_WAITS)))):
        _to_lock(desk, each, lock, answer=True)


def notify_all(desk: Desk, row: ConditionRow) -> None:
    """Notify all calls that wait."""
    lock = _held_lock(desk, row, "cannot notify on un-acquired lock")
    for each in list(desk.line(row)):
        _to_lock(desk, each, lock, answer=True)


def resume(desk: Desk, row: ConditionRow) -> Any:
    """Hold the lock again after a `wait` that was given up; False if there is nothing to hold again."""
    depth = dict(row.interrupted).get(desk.owner)
    if depth is None:
        return False
    lock, reply = _lock(desk, row), None
    if lock.owner is None:
        grant(desk, lock, desk.owner, depth)
    elif lock.owner != desk.owner:
        reply = desk.park(lock, depth, True, forever=True)
    desk.put(succeed(row, interrupted=_others(row, desk.owner)))
    return True if reply is None else reply


def _lock(desk: Desk, row: ConditionRow) -> LockRow:
    lock: LockRow | None = desk.look_up(LOCKS[row.lock_kind].row, row.lock)
    return existing(lock)


def _held_lock(desk: Desk, row: ConditionRow, refusal: str) -> LockRow:
    """Return the condition's lock, which the caller must hold."""
    lock = _lock(desk, row)
    if lock.owner != desk.owner:
        raise Refused(RuntimeError, refusal)
    return lock


def _to_lock(desk: Desk, wait: WaitRow, lock: LockRow, *, answer: bool) -> None:
    """Let a call hold the lock again, and then answer it."""
    (depth,) = wait.note
    if lock.owner is None:
        grant(desk, lock, wait.owner, depth)
        desk.answer(wait, answer)
    else:
        desk.move(wait, lock, depth, answer, forever=True)


def _others(row: ConditionRow, owner: Owner) -> tuple[tuple[Owner, int], ...]:
    return tuple(entry for entry in row.interrupted if entry[0] != owner)


def _expired(desk: Desk, row: ConditionRow, wait: WaitRow) -> None:
    _to_lock(desk, wait, _lock(desk, row), answer=False)


def _withdrawn(desk: Desk, row: ConditionRow, wait: WaitRow) -> None:
    entry = (wait.owner, wait.note[0])
    desk.put(succeed(row, interrupted=(*_others(row, wait.owner), entry)[-MAX_INTERRUPTED:]))
    _notify_instead(desk, row, wait)


def _lost(desk: Desk, row: ConditionRow, session: str, waits: Sequence[WaitRow]) -> None:
    left = tuple(entry for entry in row.interrupted if entry[0].session != session)
    if left != row.interrupted:
        desk.put(succeed(row, interrupted=left))
    for each in waits:
        _notify_instead(desk, row, each)


def _notify_instead(desk: Desk, row: ConditionRow, gone: WaitRow) -> None:
    """If a call was notified and has left the line of the lock, notify the next that waited at that time."""
    if gone.method == "wait" and gone.note[1:] == (True,):
        heir = desk.first(row)
        if heir is not None and heir.place < gone.place:
            _to_lock(desk, heir, _lock(desk, row), answer=True)


def _undo(desk: Desk, row: ConditionRow, notified: bool) -> None:
    """Notify another if a `wait` was given up too late. Its caller keeps the lock, and needs it."""
    heir = desk.first(row)
    if notified and heir is not None:
        _to_lock(desk, heir, _lock(desk, row), answer=True)


CONDITION = ObjectKind(
    row=ConditionRow,
    table="object_conditions",
    open=open_condition,
    options=tuple[str, str],
    methods={
        "wait": Method(wait),
        "notify": Method(notify, tuple[int]),
        "notify_all": Method(notify_all),
        "resume": Method(resume),
    },
    lost=_lost,
    expired=_expired,
    withdrawn=_withdrawn,
    undone={"wait": _undo},
)
