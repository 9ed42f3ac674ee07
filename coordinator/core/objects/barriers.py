"""Barrier: a number of parties wait for each other, round after round.

The first `parties` calls in the line are a round. The call that completes it releases all, unless one of them has an
action. Then the last of these, the *actor*, is told to run its action, while the others wait on; it says `passed`, or
breaks the barrier. Calls that come meanwhile wait for the next round. The time of a call that is in a complete round is
never over.

Whoever waits for too long, leaves while it waits or acts, or gives up its call breaks the barrier for all. So does the
death of a session that has waited here before: the others would wait for it for ever. The parts of a barrier are these
sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind, Refused
from crawlfleet.coordinator.core.objects.rows import ObjectRow, Owner, WaitRow
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.shared.ranges import shown

BROKEN = "BrokenBarrierError"


class BarrierRow(ObjectRow, frozen=True, kw_only=True):
    """A barrier."""

    parties: int
    #: Calls in the line.
    waiting: int = 0
    #: Who runs the action of a complete round, whose other parties are the first in the line; and its index.
    actor: Owner | None = None
    actor_index: int = 0
    is_broken: bool = False


def open_barrier(desk: Desk, row: BarrierRow | None, name: str, number: int, parties: int) -> bool:
    """Create a barrier, or check that it has so many parties."""
    if parties < 1:
        raise Refused(ValueError, "parties must be >= 1")
    if row is None:
        desk.put(BarrierRow(name=name, number=number, parties=parties))
    elif row.parties != parties:
        raise Refused(ValueError, f"the barrier {shown(name)} exists already, for {row.parties} parties")
    return True


def wait(desk: Desk, row: BarrierRow, has_action: bool) -> Any:
    """Return the caller's index in its round when that is complete, and whether it is the actor."""
    if row.is_broken:
        raise Refused(BROKEN)
    session = desk.owner.session.encode()
    if desk.part(row, session) is None:
        desk.add_part(row, session, b"")
    last = row.parties - 1
    if row.actor is not None or row.waiting < last:
        if row.actor is None and not desk.may_wait:
            _break(desk, row)
            return Refused(BROKEN).reply
        reply = desk.park(row, has_action)
        desk.put(succeed(row, waiting=row.waiting + 1))
        return reply
    if has_action:
        desk.put(succeed(row, actor=desk.owner, actor_index=last))
        return last, True
    members = list(desk.line(row))
    actor_index = _actor_of(members)
    if actor_index is None:
        _release(desk, members, range(last))
        desk.put(succeed(row, waiting=0))
        return last, False
    reply = desk.park(row, False, forever=True)
    _let_act(desk, succeed(row, waiting=row.waiting + 1), members, actor_index)
    return reply


def passed(desk: Desk, row: BarrierRow) -> None:
    """Release the others: the actor's action has run."""
    if row.actor != desk.owner:
        raise Refused(BROKEN)
    others = list(islice(desk.line(row), row.parties - 1))
    _release(desk, others, [index for index in range(row.parties) if index != row.actor_index])
    row = succeed(row, actor=None, waiting=row.waiting - len(others))
    desk.put(row)
    _next_rounds(desk, row)


def failed(desk: Desk, row: BarrierRow) -> None:
    """Break the barrier: the actor's action has failed."""
    if row.actor == desk.owner:
        _break(desk, row)


def abort(desk: Desk, row: BarrierRow) -> None:
    """Break the barrier."""
    _break(desk, row)


def reset(desk: Desk, row: BarrierRow) -> None:
    """Mend the barrier; whoever waits hears that it broke."""
    _clear(desk, row, is_broken=False)


def n_waiting(_desk: Desk, row: BarrierRow) -> int:
    """Return how many calls wait."""
    return row.waiting


def broken(_desk: Desk, row: BarrierRow) -> bool:
    """Return whether the barrier is broken."""
    return row.is_broken


def _actor_of(members: Sequence[WaitRow]) -> int | None:
    """Return the index of the last member that has an action."""
    return max((index for index, member in enumerate(members) if member.note[0]), default=None)


def _let_act(desk: Desk, row: BarrierRow, members: Sequence[WaitRow], index: int) -> None:
    actor = members[index]
    desk.answer(actor, (index, True))
    desk.put(succeed(row, actor=actor.owner, actor_index=index, waiting=row.waiting - 1))


def _release(desk: Desk, members: Sequence[WaitRow], indexes: Sequence[int]) -> None:
    for index, member in zip(indexes, members, strict=True):
        desk.answer(member, (index, False))


def _next_rounds(desk: Desk, row: BarrierRow) -> None:
    """Start the rounds that became complete while an action ran; or break, if somebody waited for too long."""
    waits = list(desk.line(row))
    if any(each.deadline is not None and each.deadline <= desk.turn.now for each in waits):
        _break(desk, row)
        return
    while len(waits) >= row.parties:
        members, waits = waits[: row.parties], waits[row.parties :]
        actor_index = _actor_of(members)
        if actor_index is not None:
            _let_act(desk, row, members, actor_index)
            return
        _release(desk, members, range(row.parties))
        row = succeed(row, waiting=len(waits))
        desk.put(row)


def _break(desk: Desk, row: BarrierRow) -> None:
    _clear(desk, row, is_broken=True)


def _clear(desk: Desk, row: BarrierRow, *, is_broken: bool) -> None:
    for each in list(desk.line(row)):
        desk.refuse(each, BROKEN)
    desk.put(succeed(row, is_broken=is_broken, actor=None, waiting=0))


def _expired(desk: Desk, row: BarrierRow, _wait: WaitRow) -> None:
    if row.actor is None:
        _break(desk, row)


def _withdrawn(desk: Desk, row: BarrierRow, _wait: WaitRow) -> None:
    _break(desk, row)


def _lost(desk: Desk, row: BarrierRow, session: str, waits: Sequence[WaitRow]) -> None:
    party = desk.part(row, session.encode())
    if party is not None:
        desk.remove_part(party)
        if waits or desk.is_death or (row.actor is not None and row.actor.session == session):
            _break(desk, row)


def _undo(desk: Desk, row: BarrierRow, _value: object) -> None:
    """Break the barrier if the actor gave up before it knew that it is."""
    failed(desk, row)


BARRIER = ObjectKind(
    row=BarrierRow,
    table="object_barriers",
    open=open_barrier,
    options=tuple[int],
    methods={
        "wait": Method(wait, tuple[bool]),
        "passed": Method(passed),
        "failed": Method(failed),
        "abort": Method(abort),
        "reset": Method(reset),
        "n_waiting": Method(n_waiting, reads=True),
        "broken": Method(broken, reads=True),
    },
    lost=_lost,
    expired=_expired,
    withdrawn=_withdrawn,
    undone={"wait": _undo},
)
