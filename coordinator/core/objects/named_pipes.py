"""Pipe: two ends, each of which reads what the other has sent.

Each call of open gets an end of its own: the first, then the second; a third is refused. An end is *held* by the
session that opened it and by every session that makes a call with it, as that of a process which has inherited it. It
is closed when nobody holds it any more: all have closed it, or are lost. A session that closes an end which it has
passed on *leaves* it, unless another one has come to hold it before: then it is closed when the session ends, unless
another one has come to hold it by then.

What was sent can be read after its sender has closed. When both ends are closed, and nothing waits for a second end
that was never opened, the name is opened anew. A *generation* tells the pipes of one name apart.

The messages to the second end, and the calls that wait for them, are on the other side of the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind, Refused, desk_of, item_bytes
from crawlfleet.coordinator.core.objects.rows import ObjectRow, OtherSide, WaitRow, other_side
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.shared.objects import ObjectReply

#: How many bytes may be on their way in one direction, with what each message counts: a call that sends more waits.
#: One message may be larger.
WINDOW_BYTES = 1024 * 1024

CLOSED = "handle is closed: this end was closed, or its program was silent for too long"

Index = Literal[0, 1]


class End(msgspec.Struct, frozen=True, array_like=True):
    """One end of a pipe: the sessions that hold it, those that have passed it on, and what it has not read yet."""

    holders: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    unread_bytes: int = 0
    is_opened: bool = False
    #: Whether a session has come to hold it that did not open it.
    is_inherited: bool = False

    @property
    def is_closed(self) -> bool:
        return self.is_opened and not self.holders and not self.left


class PipeRow(ObjectRow, frozen=True, kw_only=True):
    """A pipe."""

    generation: int
    duplex: bool
    ends: tuple[End, End]

    def with_end(self, index: int, end: End) -> PipeRow:
        """Return the row with another state of an end."""
        return replace(self, ends=(end, self.ends[1]) if index == 0 else (self.ends[0], end))


def open_pipe(desk: Desk, row: PipeRow | None, name: str, number: int, duplex: bool) -> tuple[int, int]:
    """Open the end that is free; return the generation and the end."""
    end = End(holders=(desk.owner.session,), is_opened=True)
    if row is None or _is_over(desk, row):
        generation = desk.next_place()
        ends = (end, End())
        fresh = PipeRow(name=name, number=number, generation=generation, duplex=duplex, ends=ends)
        desk.put(fresh if row is None else succeed(row, generation=generation, duplex=duplex, ends=ends))
        return generation, 0
    if row.ends[1].is_opened:
        raise Refused(ValueError, "a pipe connects two: this name is free again when both have closed their ends")
    if row.duplex != duplex:
        raise Refused(ValueError, f"the other end of this pipe was opened with duplex={row.duplex}")
    _put(desk, row.with_end(1, replace(end, unread_bytes=row.ends[1].unread_bytes)))
    return row.generation, 1


def recv(desk: Desk, row: PipeRow, generation: int, index: Index) -> ObjectReply | tuple[int, int, bytes]:
    """Return the end, and the place and the contents of the first message to it, as soon as there is one."""
    row = _held(desk, row, generation, index)
    part = next(desk.parts(_side(row, index)), None)
    if part is None:
        if row.ends[1 - index].is_closed:
            raise Refused(EOFError)
        return _park(desk, row, index)
    desk.check_answer(part.value)
    desk.remove_part(part)
    _put(desk, _grown(row, index, -item_bytes(part.value)))
    _admit(desk, row, index)
    return index, part.place, part.value


def poll(desk: Desk, row: PipeRow, generation: int, index: Index) -> ObjectReply | bool:
    """Return whether `recv` would not wait, as soon as that is so."""
    row = _held(desk, row, generation, index)
    if _is_ready(desk, row, index):
        return True
    return _park(desk, row, index) if desk.may_wait else False


def ready(desk: Desk, row: PipeRow, generation: int, index: Index) -> bool:
    """Return whether `recv` would not wait."""
    return _is_ready(desk, _held(desk, row, generation, index), index)


def send(desk: Desk, row: PipeRow, generation: int, index: Index, value: bytes) -> ObjectReply | int:
    """Send a message to the other end, as soon as there is room; return its place."""
    row, to = _held(desk, row, generation, index), 1 - index
    if row.ends[to].is_closed:
        raise Refused("BrokenPipeError", "the other end of the pipe is closed")
    desk.check_room(item_bytes(value))
    wait = desk.first(_side(row, to))
    if not _has_room(row.ends[to], value) or (wait is not None and wait.method == "send"):
        reply = _park(desk, row, to, value)
        desk.grow(item_bytes(value))
        return reply
    _put(desk, row)
    place = desk.next_place()
    _deliver(desk, row, to, place, value)
    return place


def pass_on(desk: Desk, row: PipeRow, generation: int, index: Index) -> None:
    """Say that the end was passed on: it stays open for whoever got it, after the session has closed it."""
    row, session = _held(desk, row, generation, index), desk.owner.session
    end = row.ends[index]
    if session not in end.left:
        row = row.with_end(index, replace(end, left=(*end.left, session)))
    _put(desk, row)


def close(desk: Desk, row: PipeRow, generation: int, index: Index, is_passed_on: bool) -> None:
    """Hold the end no longer. If it may have been passed on, see `pass_on`."""
    if row.generation == generation:
        end, session = row.ends[index], desk.owner.session
        stays = is_passed_on and session in end.holders and session not in end.left and not end.is_inherited
        _drop(desk, row, index, left=(*end.left, session) if stays else end.left)


def _is_over(desk: Desk, row: PipeRow) -> bool:
    """Return whether nobody can send or read anything any more."""
    first, second = row.ends
    if second.is_opened:
        return first.is_closed and second.is_closed
    return first.is_closed and next(desk.parts(other_side(row)), None) is None


def _is_ready(desk: Desk, row: PipeRow, index: int) -> bool:
    return row.ends[1 - index].is_closed or next(desk.parts(_side(row, index)), None) is not None


def _side(row: PipeRow, index: int) -> PipeRow | OtherSide:
    """Return where the messages to an end are, and the calls that wait for them or for room."""
    return row if index == 0 else other_side(row)


def _put(desk: Desk, row: PipeRow) -> None:
    """Put what has changed of the ends."""
    before = _now(desk, row)
    if before.ends != row.ends:
        desk.put(succeed(before, ends=row.ends))


def _now(desk: Desk, row: PipeRow) -> PipeRow:
    """Return a pipe's row as it is now."""
    now: PipeRow = desk.look_up(PipeRow, row.name)
    return now


def _held(desk: Desk, row: PipeRow, generation: int, index: int) -> PipeRow:
    """Return the row with the end held by the calling session; refuse if the end is closed."""
    end, session = row.ends[index], desk.owner.session
    if row.generation != generation or not end.is_opened or end.is_closed:
        raise Refused(OSError, CLOSED)
    if session in end.holders:
        return row
    return row.with_end(index, replace(end, holders=(*end.holders, session), left=(), is_inherited=True))


def _park(desk: Desk, row: PipeRow, index: int, *note: Any) -> ObjectReply:
    reply = desk.park(_side(row, index), *note)
    _put(desk, row)
    return reply


def _has_room(end: End, value: bytes) -> bool:
    return end.unread_bytes == 0 or end.unread_bytes + item_bytes(value) <= WINDOW_BYTES


def _grown(row: PipeRow, index: int, size_bytes: int) -> PipeRow:
    end = row.ends[index]
    return row.with_end(index, replace(end, unread_bytes=end.unread_bytes + size_bytes))


def _deliver(desk: Desk, row: PipeRow, index: int, place: int, value: bytes) -> None:
    """Give a message to the first call that reads and may have it, or let it wait at its place."""
    while (wait := desk.first(_side(row, index))) is not None and wait.method != "send":
        if wait.method != "recv":
            desk.answer(wait, True)
        elif not desk.turn_away(wait, value):
            desk.answer(wait, (index, place, value))
            return
    desk.add_part(_side(row, index), place.to_bytes(8), value, place=place)
    _put(desk, _grown(_now(desk, row), index, item_bytes(value)))


def _admit(desk: Desk, row: PipeRow, index: int) -> None:
    """Let calls send what they wait to send, as long as there is room."""
    while (wait := desk.first(_side(row, index))) is not None and wait.method == "send":
        (value,) = wait.note
        if not _has_room(_now(desk, row).ends[index], value):
            return
        sender, place = desk_of(desk.turn, wait), desk.next_place()
        sender.grow(-item_bytes(value))
        desk.answer(wait, place)
        _deliver(sender, row, index, place, value)


def _drop(desk: Desk, row: PipeRow, index: int, left: tuple[str, ...]) -> None:
    """Let a session no longer hold an end; close it if nobody does."""
    end, session = row.ends[index], desk.owner.session
    after = replace(end, holders=tuple(each for each in end.holders if each != session), left=left)
    if after == end:
        return
    row = row.with_end(index, after)
    _put(desk, row)
    if after.is_closed:
        _close(desk, row, index)


def _close(desk: Desk, row: PipeRow, index: int) -> None:
    """Let those know that wait, and forget what nobody will read."""
    mine, other = _side(row, index), _side(row, 1 - index)
    for wait in list(desk.line(mine)):
        if wait.method == "send":
            _let_go(desk_of(desk.turn, wait), wait)
            desk.refuse(wait, "BrokenPipeError", "the other end of the pipe is closed")
        else:
            desk.refuse(wait, OSError, CLOSED)
    for part in list(desk.parts(mine)):
        desk.remove_part(part)
    _put(desk, row.with_end(index, replace(row.ends[index], unread_bytes=0)))
    for wait in list(desk.line(other)):
        match wait.method:
            case "recv":
                desk.refuse(wait, EOFError)
            case "poll":
                desk.answer(wait, True)
            case _:
                _let_go(desk_of(desk.turn, wait), wait)
                desk.refuse(wait, OSError, CLOSED)


def _let_go(desk: Desk, wait: WaitRow) -> None:
    """No longer count what a call waited to send."""
    if wait.method == "send":
        desk.grow(-item_bytes(wait.note[0]))


def _withdrawn(desk: Desk, row: PipeRow, wait: WaitRow) -> None:
    _let_go(desk, wait)
    if wait.method == "send":
        _admit(desk, row, 0 if wait.object == row.number else 1)


def _expired(desk: Desk, row: PipeRow, wait: WaitRow) -> None:
    """Nothing but `poll` has a time that ends; calls that say otherwise are answered in the same way."""
    desk.answer(wait, False)
    _withdrawn(desk, row, wait)


def _lost(desk: Desk, row: PipeRow, session: str, waits: Sequence[WaitRow]) -> None:
    for wait in waits:
        _withdrawn(desk, _now(desk, row), wait)
    for index in (0, 1):
        now = _now(desk, row)
        _drop(desk, now, index, left=tuple(each for each in now.ends[index].left if each != session))


def _undo_recv(desk: Desk, row: PipeRow, answer: tuple[int, int, bytes]) -> None:
    """Put a message back that a call has read and given up."""
    index, place, value = answer
    if place > row.generation and not row.ends[index].is_closed:
        _deliver(desk, row, index, place, value)


def _undo_send(desk: Desk, row: PipeRow, place: int) -> None:
    """Take a message back whose call was given up, unless it was read."""
    for index in (0, 1):
        part = desk.part(_side(row, index), place.to_bytes(8))
        if part is not None:
            desk.remove_part(part)
            _put(desk, _grown(row, index, -item_bytes(part.value)))
            _admit(desk, row, index)


PIPE = ObjectKind(
    row=PipeRow,
    table="pipes",
    open=open_pipe,
    options=tuple[bool],
    methods={
        "send": Method(send, tuple[int, Index, bytes]),
        "recv": Method(recv, tuple[int, Index]),
        "poll": Method(poll, tuple[int, Index]),
        "ready": Method(ready, tuple[int, Index], reads=True),
        "pass_on": Method(pass_on, tuple[int, Index]),
        "close": Method(close, tuple[int, Index, bool]),
    },
    lost=_lost,
    expired=_expired,
    withdrawn=_withdrawn,
    undone={"recv": _undo_recv, "send": _undo_send},
)
