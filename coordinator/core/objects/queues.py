"""Queue and JoinableQueue: items in the order in which they were put, each for one taker.

Calls wait in a queue's line to get, while it is empty, or to put, while it is full: never both, as a queue that is full
holds an item. Calls of `join` wait on its other side.

Whoever takes an item from a Queue has it. What is taken from a JoinableQueue stays known as `TakenRow` until its taker
has said `task_done`: the items of a lost session come back, each to its old place. For that a queue may hold more than
`maxsize` items. So may one to which an item returns because the call that took it was given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind, Refused, desk_of, item_bytes
from crawlfleet.coordinator.core.objects.rows import ObjectRow, Owner, WaitRow, other_side
from crawlfleet.coordinator.core.rows import ResidentRow, succeed
from crawlfleet.shared.objects import ObjectReply

TOO_OFTEN = "task_done() called too many times"


class QueueRow(ObjectRow, frozen=True, kw_only=True):
    """A queue; its items are its parts."""

    #: When it is full; 0: never.
    maxsize: int
    #: How many items can be taken.
    size: int = 0
    #: How many items were put and are not done.
    unfinished: int = 0

    @property
    def is_full(self) -> bool:
        return 0 < self.maxsize <= self.size


class JoinableQueueRow(QueueRow, frozen=True, kw_only=True):
    """A queue that knows what was taken from it and is not done."""


class TakenRow(ResidentRow, frozen=True, kw_only=True):
    """An item of a JoinableQueue that was taken and is not done."""

    object: int
    #: Its place in the queue.
    item: int
    value: bytes
    #: The session that has put it.
    session: str
    owner: Owner
    #: Increases with each item that is taken, also with one that is taken again.
    taken: int

    @property
    def key(self) -> int:
        return self.taken

    @property
    def family(self) -> str:
        return _holdings(self.object, self.owner.session)

    @property
    def place(self) -> int:
        return _shelf(self.owner) + self.taken


def _holdings(number: int, session: str) -> str:
    """Return the family of what a session has taken from a queue."""
    return f"{number}/{session}"


def _shelf(owner: Owner) -> int:
    """Return where the places begin of what a thread has taken."""
    return owner.thread << 40


def _subkey(place: int) -> bytes:
    return place.to_bytes(8)


def _open(kind: type[QueueRow]) -> Any:
    def open_queue(desk: Desk, row: QueueRow | None, name: str, number: int, maxsize: int) -> bool:
        """Create a queue, or check that its size is the expected one, if one is."""
        if row is None:
            desk.put(kind(name=name, number=number, maxsize=max(0, maxsize)))
        elif 0 < maxsize != row.maxsize:
            raise Refused(ValueError, f"the queue has another maxsize: {row.maxsize}")
        return True

    return open_queue


def put(desk: Desk, row: QueueRow, value: bytes) -> ObjectReply | int:
    """Add an item, as soon as there is room; return its place."""
    if row.is_full and not desk.may_wait:
        raise Refused("Full")
    desk.check_room(item_bytes(value))
    if row.is_full:
        reply = desk.park(row, value)
        desk.grow(item_bytes(value))
        return reply
    return _accept(desk, row, desk, value)


def get(desk: Desk, row: QueueRow) -> ObjectReply | tuple[int, bytes]:
    """Return the value of the first item, as soon as there is one; before it, what to take it back by."""
    part = next(desk.parts(row), None)
    if part is None:
        if not desk.may_wait:
            raise Refused("Empty")
        return desk.park(row)
    desk.check_answer(part.value)
    desk.remove_part(part)
    desk.put(succeed(row, size=row.size - 1))
    taken = _note_taken(desk, row, part.place, part.value, part.session)
    _admit(desk, row)
    return taken, part.value


def task_done(desk: Desk, row: QueueRow) -> None:
    """Say that an item is done that somebody has taken."""
    if row.unfinished == 0:
        raise Refused(ValueError, TOO_OFTEN)
    _finish(desk, row)


def my_task_done(desk: Desk, row: JoinableQueueRow) -> None:
    """Say that the oldest item is done that the calling thread has taken."""
    owner = desk.owner
    taken = next(desk.turn.family(TakenRow, _holdings(row.number, owner.session), _shelf(owner)), None)
    if taken is None or taken.owner != owner:
        raise Refused(ValueError, TOO_OFTEN)
    _forget(desk, taken)
    _finish(desk, row)


def join(desk: Desk, row: QueueRow) -> ObjectReply | bool:
    """Wait until all items are done."""
    if row.unfinished == 0:
        return True
    return desk.park(other_side(row)) if desk.may_wait else False


def qsize(_desk: Desk, row: QueueRow) -> int:
    """Return how many items can be taken."""
    return row.size


def full(_desk: Desk, row: QueueRow) -> bool:
    """Return whether a put would wait."""
    return row.is_full


def _now(desk: Desk, row: QueueRow) -> Any:
    """Return a queue's row as it is now."""
    return desk.look_up(type(row), row.name)


def _accept(desk: Desk, row: QueueRow, putter: Desk, value: bytes) -> int:
    """Let an item of the `putter` into a queue that is not full."""
    row, place = _now(desk, row), desk.next_place()
    desk.put(succeed(row, unfinished=row.unfinished + 1))
    _offer(putter, row, place, value)
    return place


def _offer(desk: Desk, row: QueueRow, place: int, value: bytes) -> None:
    """Give an item to the first who waits for one and may have it, or let it wait at its place."""
    row = _now(desk, row)
    while (wait := desk.first(row)) is not None and wait.method == "get":
        if not desk.turn_away(wait, value):
            taken = _note_taken(desk_of(desk.turn, wait), row, place, value, desk.call.session)
            desk.answer(wait, (taken, value))
            return
    desk.add_part(row, _subkey(place), value, place=place)
    desk.put(succeed(row, size=row.size + 1))


def _admit(desk: Desk, row: QueueRow) -> None:
    """Let calls put what they wait to put, as long as there is room."""
    while not _now(desk, row).is_full and (wait := desk.first(row)) is not None:
        putter, (value,) = desk_of(desk.turn, wait), wait.note
        putter.grow(-item_bytes(value))
        desk.answer(wait, _accept(desk, row, putter, value))


def _note_taken(desk: Desk, row: QueueRow, place: int, value: bytes, session: str) -> int:
    """Note that the desk's owner has taken an item which `session` had put; return by what to take it back."""
    if not isinstance(row, JoinableQueueRow):
        return place
    taken = TakenRow(
        object=row.number, item=place, value=value, session=session, owner=desk.owner, taken=desk.next_place()
    )
    desk.turn.put(taken)
    desk.grow(item_bytes(value), session)
    return taken.taken


def _forget(desk: Desk, taken: TakenRow) -> None:
    desk.turn.remove(succeed(taken))
    desk.grow(-item_bytes(taken.value), taken.session)


def _finish(desk: Desk, row: QueueRow) -> None:
    """Count an item as done, and answer those who wait for the last."""
    desk.put(succeed(row, unfinished=row.unfinished - 1))
    if row.unfinished == 1:
        for wait in list(desk.line(other_side(row))):
            desk.answer(wait, True)


def _expired(desk: Desk, _row: QueueRow, wait: WaitRow) -> None:
    match wait.method:
        case "get":
            desk.refuse(wait, "Empty")
        case "put":
            desk.refuse(wait, "Full")
            _let_go(desk, wait)
        case _:
            desk.answer(wait, False)


def _withdrawn(desk: Desk, _row: QueueRow, wait: WaitRow) -> None:
    _let_go(desk, wait)


def _let_go(desk: Desk, wait: WaitRow) -> None:
    """No longer count what a call waited to put."""
    if wait.method == "put":
        desk.grow(-item_bytes(wait.note[0]))


def _lost(desk: Desk, row: QueueRow, session: str, waits: Sequence[WaitRow]) -> None:
    for wait in waits:
        _let_go(desk, wait)
    taken = list(desk.turn.family(TakenRow, _holdings(row.number, session)))
    for each in sorted(taken, key=lambda each: each.item):
        _return(desk, row, each)


def _return(desk: Desk, row: QueueRow, taken: TakenRow) -> None:
    _forget(desk, taken)
    _offer(desk, row, taken.item, taken.value)


def _undo_get(desk: Desk, row: QueueRow, answer: tuple[int, bytes]) -> None:
    """Put an item back that a call has taken and given up."""
    place, value = answer
    _offer(desk, row, place, value)


def _undo_my_get(desk: Desk, row: QueueRow, answer: tuple[int, bytes]) -> None:
    """Put an item back as `_undo_get` does, unless it came back already because the session was lost."""
    taken: TakenRow | None = desk.turn.table(TakenRow)[answer[0]]
    if taken is not None:
        _return(desk, row, taken)


def _undo_put(desk: Desk, row: QueueRow, place: int) -> None:
    """Take an item back whose put was given up, unless somebody has taken it."""
    part = desk.part(row, _subkey(place))
    if part is not None:
        desk.remove_part(part)
        desk.put(succeed(row, size=row.size - 1))
        _admit(desk, row)
        _finish(desk, _now(desk, row))


_METHODS = {
    "put": Method(put, tuple[bytes]),
    "get": Method(get),
    "task_done": Method(task_done),
    "join": Method(join),
    "qsize": Method(qsize, reads=True),
    "full": Method(full, reads=True),
}

QUEUE = ObjectKind(
    row=QueueRow,
    table="queues",
    open=_open(QueueRow),
    options=tuple[int],
    methods=_METHODS,
    lost=_lost,
    expired=_expired,
    withdrawn=_withdrawn,
    undone={"get": _undo_get, "put": _undo_put},
)

JOINABLE_QUEUE = ObjectKind(
    row=JoinableQueueRow,
    table="joinable_queues",
    open=_open(JoinableQueueRow),
    options=tuple[int],
    methods={**_METHODS, "task_done": Method(my_task_done)},
    lost=_lost,
    expired=_expired,
    withdrawn=_withdrawn,
    undone={"get": _undo_my_get, "put": _undo_put},
)
