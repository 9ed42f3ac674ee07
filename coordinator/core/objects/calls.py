"""What happens to objects: a call, its withdrawal, the end of its time, the end of a session.

Each call that changes something has a number in its slot of a session: a call that arrives again gets its first answer
and does nothing. Its row is committed with its changes. The answers of a lost session are kept for a while: it may only
have been silent, and ask again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from enum import Enum
from operator import itemgetter
from typing import Any

import msgspec

from crawlfleet.coordinator.core.objects.desk import (
    MAX_BYTES,
    MAX_OBJECTS,
    MAX_OBJECTS_OF_SESSION,
    MAX_SLOTS,
    WAITS,
    Desk,
    ObjectKind,
    Refused,
    desk_for,
    desk_of,
)
from crawlfleet.coordinator.core.objects.registry import OBJECTS
from crawlfleet.coordinator.core.objects.rows import (
    CallerRow,
    ObjectRow,
    Owner,
    SessionRow,
    UseRow,
    WaitRow,
    caller_key,
    use_key,
)
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.objects import FORGOTTEN, GONE, OPEN, PLACE_LOST, WITHDRAW, ObjectCall, ObjectReply
from crawlfleet.shared.ranges import MAX_NAME_CHARS, shown

#: So many lost sessions, with so many bytes of answers together, are remembered in case they come back.
MAX_LOST = 1_000
MAX_BYTES_OF_LOST = MAX_BYTES // 4

#: The answer of a call that was given up.
WITHDRAWN = ObjectReply(error="Withdrawn")


def call(turn: Turn, request: ObjectCall) -> ObjectReply:
    """Carry out a call of a member session; return its answer, or that it waits."""
    desk = Desk(turn, request)
    try:
        if request.timeout_s is not None and not 0 <= request.timeout_s < math.inf:
            raise Refused(ValueError, "a call waits for a number of seconds from 0 on, or without limit")
        return _numbered(desk) if request.number else _run(desk, reads=True)
    except Refused as refusal:
        return refusal.reply


def expire(turn: Turn, ticket: int) -> None:
    """End a wait whose time is over, if it still waits."""
    wait: WaitRow | None = turn.table(WaitRow)[ticket]
    if wait is None or wait.deadline is None or wait.deadline > turn.now:
        return
    desk = desk_of(turn, wait)
    kind, row = OBJECTS[wait.kind], _row_of(turn, wait)
    if kind.expired is None:
        desk.answer(wait, False)
    else:
        kind.expired(desk, row, wait)


class End(Enum):
    """How a session ends: it said goodbye, it is known to be dead, or it was silent for too long and may come back."""

    GOODBYE = "goodbye"
    DEATH = "death"
    SILENCE = "silence"


def lose(turn: Turn, session: str, end: End) -> None:
    """End a session: calls that wait leave their lines, and its objects pass on. See the module's docstring."""
    if turn.table(SessionRow)[session] is None:
        return
    waits: defaultdict[tuple[str, str], list[WaitRow]] = defaultdict(list)
    for caller in list(turn.family(CallerRow, session)):
        if caller.reply is None:
            wait = existing(turn.table(WaitRow)[caller.wait])
            waits[wait.kind, wait.name].append(wait)
            desk_of(turn, wait).refuse(wait, PLACE_LOST)
    for use in list(turn.family(UseRow, session)):
        turn.remove(succeed(use))
        kind = OBJECTS[use.kind]
        assert kind.lost is not None, "uses are noted for kinds that hear of a session's end"
        desk = desk_for(turn, Owner(session, 0), use.kind, use.name)
        desk.is_death = end is not End.GOODBYE
        kind.lost(desk, existing(turn.table(kind.row)[use.name]), session, waits[use.kind, use.name])
    last = existing(turn.table(SessionRow)[session])
    turn.put(succeed(last, lost_at=turn.now))
    if end is End.SILENCE:
        _forget_oldest(turn)
    else:
        _forget(turn, session)


def _numbered(desk: Desk) -> ObjectReply:
    """Carry out a call once: the same number again gets the same answer."""
    turn, request = desk.turn, desk.call
    if not 0 <= request.slot < MAX_SLOTS:
        raise Refused(ValueError, f"a session makes at most {MAX_SLOTS} calls at a time: use fewer threads")
    caller: CallerRow | None = turn.table(CallerRow)[caller_key(request.session, request.slot)]
    before = 0 if caller is None else caller.number
    if request.number < before or (caller is None and request.number != 1 and request.method != WITHDRAW):
        raise Refused(FORGOTTEN, "the coordinator does not know this session's calls (any more)")
    if caller is not None and caller.reply is None and request.number > before:
        _give_up(desk, caller)  # its caller goes on without an answer
    if request.method == WITHDRAW:
        reply = _withdraw(desk, caller)
    elif caller is not None and request.number == before:
        return WAITS if caller.reply is None else caller.reply
    else:
        reply = _run_or_refuse(desk)
    _welcome(desk)
    last: CallerRow | None = turn.table(CallerRow)[caller_key(request.session, request.slot)]
    last = last or CallerRow(version=0, session=request.session, slot=request.slot, number=0, reply=None)
    kept = None if reply.waits else reply
    desk.keep(request.session, last.reply, kept)
    wait, method = desk.ticket if reply.waits else 0, request.method if desk.object else ""
    now = succeed(last, number=request.number, woken=False, reply=kept, wait=wait, object=desk.object, method=method)
    turn.put(now)
    return reply


def _run_or_refuse(desk: Desk) -> ObjectReply:
    try:
        return _run(desk)
    except Refused as refusal:
        return refusal.reply


def _welcome(desk: Desk) -> None:
    """Remember the session, and that it is back if it was lost."""
    row = desk.session()
    if row.version == 0 or row.lost_at is not None or row.is_program is desk.call.hook:
        desk.turn.put(succeed(row, lost_at=None, is_program=not desk.call.hook))


def _run(desk: Desk, *, reads: bool = False) -> ObjectReply:
    request = desk.call
    if not 0 < len(request.name) <= MAX_NAME_CHARS:
        raise Refused(ValueError, f"the name of an object has 1 to {MAX_NAME_CHARS} characters")
    kind = OBJECTS.get(request.kind)
    if kind is None:
        raise Refused(TypeError, f"there is no kind of object {shown(request.kind)}")
    if request.method == OPEN:
        return _answer(_open(desk, kind))
    method = kind.methods.get(request.method)
    if method is None or (reads and not method.reads):
        raise Refused(AttributeError, f"a {request.kind} has no such method: {shown(request.method)}")
    row = desk.turn.table(kind.row)[request.name]
    if row is None:
        raise Refused(GONE, f"there is no {request.kind} {shown(request.name)} (any more): open it again")
    desk.object = row.number
    reply = _answer(method.run(desk, row, *_converted(request, method.arguments)))
    if not reads:
        if method.reads:
            desk.check_answer(reply.value)
        _note_use(desk, kind, row.number)
    return reply


def _note_use(desk: Desk, kind: ObjectKind, number: int) -> None:
    """Remember that the object must hear of the end of the session. A proxy may be older than the session: a fork's."""
    request, turn = desk.call, desk.turn
    if kind.lost is not None and turn.table(UseRow)[use_key(request.session, number)] is None:
        turn.put(UseRow(session=request.session, object=number, kind=request.kind, name=request.name))


def _answer(value: Any) -> ObjectReply:
    return value if isinstance(value, ObjectReply) else ObjectReply(value=value)


def _open(desk: Desk, kind: ObjectKind) -> Any:
    """Create an object, or check that it is what the caller expects."""
    request, turn = desk.call, desk.turn
    options = _converted(request, kind.options)
    row = turn.table(kind.row)[request.name]
    session = desk.session()
    number = 0 if row is None else row.number
    if row is None:
        number = _number_for(desk, session)
    value = kind.open(desk, row, request.name, number, *options)
    if row is None:
        numbers, session = desk.numbers(), desk.session()
        turn.put(succeed(numbers, objects=numbers.objects + 1, next_number=number + 1))
        turn.put(succeed(session, created=session.created + 1))
    _note_use(desk, kind, number)
    return value


def _number_for(desk: Desk, session: SessionRow) -> int:
    """Return the number of a new object."""
    numbers = desk.numbers()
    if numbers.objects >= MAX_OBJECTS:
        raise Refused(ValueError, f"there are {MAX_OBJECTS} objects already: use fewer names")
    if session.created >= MAX_OBJECTS_OF_SESSION:
        raise Refused(ValueError, f"this program has created {MAX_OBJECTS_OF_SESSION} objects: use fewer names")
    return numbers.next_number


def _converted(request: ObjectCall, types: Any) -> tuple[Any, ...]:
    try:
        arguments: tuple[Any, ...] = msgspec.convert(request.args, types)
    except msgspec.ValidationError as error:
        raise Refused(TypeError, f"{request.kind}.{request.method}: {error}") from error
    return arguments


def _withdraw(desk: Desk, caller: CallerRow | None) -> ObjectReply:
    """Give up a call: it leaves its line, or what it got is taken back; if it comes later, it does nothing."""
    request = desk.call
    if caller is None or caller.number != request.number or caller.reply == WITHDRAWN:
        return WITHDRAWN
    if caller.reply is None:
        _give_up(desk, caller)
        return WITHDRAWN
    kind = OBJECTS.get(request.kind)
    row = None if kind is None else desk.turn.table(kind.row)[request.name]
    if kind is None or row is None or row.number != caller.object or caller.reply.error:
        return WITHDRAWN
    undo = kind.undone.get(caller.method)
    if undo is not None and caller.reply.value is not False:
        undo(desk, row, caller.reply.value)
    return WITHDRAWN


def _give_up(desk: Desk, caller: CallerRow) -> None:
    """Let a call that waits leave its line."""
    wait = existing(desk.turn.table(WaitRow)[caller.wait])
    kind = OBJECTS[wait.kind]
    desk.reply_to(wait, WITHDRAWN)
    if kind.withdrawn is not None:
        kind.withdrawn(desk_of(desk.turn, wait), _row_of(desk.turn, wait), wait)


def _row_of(turn: Turn, wait: WaitRow) -> ObjectRow:
    """Return the object for which a call waits."""
    row: ObjectRow | None = turn.table(OBJECTS[wait.kind].row)[wait.name]
    return existing(row)


def _forget_oldest(turn: Turn) -> None:
    """Forget the sessions that have been lost longest, while many are lost or much is kept for them."""
    rows = [(row.lost_at, row) for row in turn.family(SessionRow, "") if row.lost_at is not None]
    lost = [row for _, row in sorted(rows, key=itemgetter(0))]
    kept_bytes = sum(row.answer_bytes for row in lost)
    while len(lost) > MAX_LOST or kept_bytes > MAX_BYTES_OF_LOST:
        oldest = lost.pop(0)
        kept_bytes -= oldest.answer_bytes
        _forget(turn, oldest.session)


def _forget(turn: Turn, session: str) -> None:
    desk = desk_for(turn, Owner(session, 0), "", "")
    for caller in list(turn.family(CallerRow, session)):
        desk.keep(session, caller.reply, None)
        turn.remove(succeed(caller))
    turn.remove(succeed(existing(turn.table(SessionRow)[session])))
