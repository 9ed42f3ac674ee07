"""What the methods of objects work with: one call, over one turn.

A method is a function of a desk, its object's row and its arguments. It returns the answer, or parks the call, which is
then answered by a later call, by the end of its time, or by the end of the session that it waits for. A method that
refuses raises `Refused` before it has changed anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from crawlfleet.coordinator.core.objects.rows import (
    CallerRow,
    ObjectRow,
    ObjectsRow,
    OtherSide,
    Owner,
    PartRow,
    SessionRow,
    WaitRow,
    caller_key,
    part_key,
)
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.objects import ObjectCall, ObjectReply

MAX_OBJECTS = 100_000
MAX_OBJECTS_OF_SESSION = 20_000
MAX_WAITS = 100_000
MAX_SLOTS = 20_000
#: What a part takes in memory besides its contents: it counts as so many bytes.
PART_BYTES = 400
MAX_BYTES = 1024 * 1024 * 1024
MAX_BYTES_OF_SESSION = 512 * 1024 * 1024
#: The last answer of each slot is kept. An answer of fewer bytes counts as nothing: slots are bounded, too.
LARGE_ANSWER_BYTES = 1024

#: A method's answer for a call that it has parked.
WAITS = ObjectReply(waits=True)


class Refused(Exception):
    """A call is refused. The client raises an error of that `kind`: of `CLIENT_ERRORS` in `worker.talk.objects`."""

    def __init__(self, kind: type[Exception] | str, text: str = "") -> None:
        super().__init__(text)
        self.reply = ObjectReply(error=kind if isinstance(kind, str) else kind.__name__, text=text)


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a kind of objects: what it does, the types of its arguments, and whether it only reads.

    One that does not only read, and whose answer may be large, calls `Desk.check_answer`.
    """

    run: Callable[..., Any]
    arguments: Any = tuple[()]
    reads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind:
    """A kind of objects: its class of rows, their table, and what may happen to an object.

    `open(desk, row, name, number, *options)` returns what the one who opens it gets; `row` is None if the object does
    not exist yet: then it puts its row. `lost(desk, row, session, waits)` hears of the end of a session that has opened
    or changed the object, after its calls that waited (`waits`) have left the line. `expired(desk, row, wait)` answers
    a call when its time is over (without it the answer is False). `withdrawn(desk, row, wait)` hears of a call that its
    caller gave up and that has left the line. `undone[method](desk, row, value)` takes back the answer of a call that
    its caller gave up too late, unless that is False. All of these are turns of their own, with a desk of the caller.
    """

    row: type[ObjectRow]
    table: str
    open: Callable[..., Any]
    options: Any
    methods: Mapping[str, Method]
    lost: Callable[[Desk, Any, str, Sequence[WaitRow]], None] | None = None
    expired: Callable[[Desk, Any, WaitRow], None] | None = None
    withdrawn: Callable[[Desk, Any, WaitRow], None] | None = None
    undone: Mapping[str, Callable[[Desk, Any, Any], None]] = field(default_factory=dict)


def part_bytes(subkey: bytes, value: bytes, name: bytes = b"") -> int:
    """Return how many bytes a part counts."""
    return PART_BYTES + len(subkey) + len(value) + len(name)


def item_bytes(value: bytes) -> int:
    """Return how many bytes a part counts that has its place as its subkey, or a value that waits to become one."""
    return part_bytes(bytes(8), value)


class Desk:
    """One call of an object's method (or the end of a session or of a wait), and the objects as this turn sees them."""

    __slots__ = ("call", "is_death", "object", "owner", "ticket", "turn")

    def __init__(self, turn: Turn, call: ObjectCall) -> None:
        self.turn = turn
        self.call = call
        self.owner = Owner(call.session, call.thread)
        #: The number of the object whose method is called; 0 if the call creates or opens it.
        self.object = 0
        #: Of a call that was parked.
        self.ticket = 0
        #: Of a session's end: it did not say goodbye.
        self.is_death = False

    @property
    def may_wait(self) -> bool:
        """Whether the call may be parked."""
        return self.call.timeout_s is None or self.call.timeout_s > 0

    def put(self, row: ObjectRow | PartRow) -> None:
        """Put a row of an object or of a part: see `Turn.put`. Parts go through `add_part` and `remove_part`."""
        self.turn.put(row)

    def look_up(self, kind: type[ObjectRow], name: str) -> Any:
        """Return an object's row as it is now."""
        return self.turn.table(kind)[name]

    # Calls that wait. An object has one line, and another one on its other side (`other_side`).

    def park(self, row: ObjectRow | OtherSide, *note: Any, forever: bool = False) -> ObjectReply:
        """Put the call at the end of the object's line, with what the method notes; `forever` without its deadline."""
        numbers = self.numbers()
        if numbers.waits >= MAX_WAITS:
            raise Refused(ValueError, f"{MAX_WAITS} calls wait already: use fewer threads or programs")
        call, ticket = self.call, numbers.next_place
        self.turn.put(succeed(numbers, next_place=ticket + 1, waits=numbers.waits + 1))
        deadline = None if forever or call.timeout_s is None else self.turn.now + call.timeout_s
        wait = WaitRow(
            object=row.number,
            place=ticket,
            owner=self.owner,
            slot=call.slot,
            kind=call.kind,
            name=call.name,
            method=call.method,
            note=note,
            deadline=deadline,
        )
        self.turn.put(wait)
        self.ticket = ticket
        return WAITS

    def line(self, row: ObjectRow | OtherSide) -> Iterator[WaitRow]:
        """Yield the calls that wait for an object, the longest waiting first. See `Turn.family` about changes."""
        return self.turn.family(WaitRow, row.number)

    def first(self, row: ObjectRow | OtherSide) -> WaitRow | None:
        """Return the call that has waited longest."""
        return next(self.line(row), None)

    def move(self, wait: WaitRow, row: ObjectRow, *note: Any, forever: bool = False) -> None:
        """Move a call to the end of another object's line; `forever` without its deadline."""
        self.turn.remove(succeed(wait))
        numbers = self.numbers()
        self.turn.put(succeed(numbers, next_place=numbers.next_place + 1))
        moved = replace(
            wait,
            version=1,
            object=row.number,
            place=numbers.next_place,
            note=note,
            deadline=None if forever else wait.deadline,
        )
        self.turn.put(moved)
        caller = self._caller(wait)
        self.turn.put(succeed(caller, wait=moved.place))

    def answer(self, wait: WaitRow, value: Any) -> None:
        """Answer a call that waits: it leaves the line."""
        self.reply_to(wait, ObjectReply(value=value))

    def refuse(self, wait: WaitRow, kind: type[Exception] | str, text: str = "") -> None:
        """Answer a call that waits with an error: it leaves the line."""
        self.reply_to(wait, Refused(kind, text).reply)

    def reply_to(self, wait: WaitRow, reply: ObjectReply) -> None:
        """Answer a call that waits: it leaves the line."""
        self.turn.remove(succeed(wait))
        numbers = self.numbers()
        self.turn.put(succeed(numbers, waits=numbers.waits - 1))
        self.keep(wait.owner.session, None, reply)
        self.turn.put(succeed(self._caller(wait), reply=reply, wait=0, woken=True))

    def _caller(self, wait: WaitRow) -> CallerRow:
        row: CallerRow | None = self.turn.table(CallerRow)[caller_key(wait.owner.session, wait.slot)]
        return existing(row)

    # Parts of objects that hold several values.

    def parts(self, row: ObjectRow | OtherSide, after: int = -1, *, backwards: bool = False) -> Iterator[PartRow]:
        """Yield an object's parts beyond a place, in the order of their places. See `Turn.family` about changes."""
        return self.turn.family(PartRow, row.number, after, backwards=backwards)

    def part(self, row: ObjectRow | OtherSide, subkey: bytes) -> PartRow | None:
        """Return a part; None if there is none."""
        found: PartRow | None = self.turn.table(PartRow)[part_key(row.number, subkey)]
        return found

    def add_part(
        self,
        row: ObjectRow | OtherSide,
        subkey: bytes,
        value: bytes,
        *,
        name: bytes = b"",
        place: int | None = None,
    ) -> PartRow:
        """Add a part, or give it another value; a new one goes to the end, or to `place`.

        A part that becomes larger counts, as a whole, as added by the calling session.
        It does not refuse: call `check_room` before, once for all parts that a call adds.
        """
        before = self.part(row, subkey)
        if before is not None:
            session, growth = before.session, len(value) - len(before.value)
            if growth > 0 and session != self.call.session:
                self.grow(growth - part_bytes(subkey, value, before.name), session)
                session, growth = self.call.session, part_bytes(subkey, value, before.name)
            self.grow(growth, None if session == self.call.session else session)
            after = succeed(before, value=value, session=session)
        else:
            self.grow(part_bytes(subkey, value, name))
            if place is None:
                place = self.next_place()
            session = self.call.session
            after = PartRow(object=row.number, subkey=subkey, place=place, value=value, name=name, session=session)
        self.turn.put(after)
        return after

    def remove_part(self, part: PartRow) -> None:
        """Remove a part."""
        self.turn.remove(succeed(part))
        self.grow(-part_bytes(part.subkey, part.value, part.name), part.session)

    def next_place(self) -> int:
        """Return a place (or another number) that was never given before, larger than all others."""
        numbers = self.numbers()
        self.turn.put(succeed(numbers, next_place=numbers.next_place + 1))
        return numbers.next_place

    # Bounds.

    def check_room(self, size_bytes: int) -> None:
        """Raise `Refused` unless the objects may grow by so many bytes: call it before the first change of a call."""
        numbers, session = self.numbers(), self.session()
        if numbers.size_bytes + size_bytes > MAX_BYTES:
            raise Refused(ValueError, f"all objects together hold at most {MAX_BYTES} bytes: remove something first")
        if session.size_bytes + size_bytes > MAX_BYTES_OF_SESSION:
            raise Refused(ValueError, f"a program may add at most {MAX_BYTES_OF_SESSION} bytes to shared objects")

    def grow(self, size_bytes: int, session: str | None = None) -> None:
        """Count bytes that an object has more (or fewer) now: as added by the calling session, or by another one."""
        numbers = self.numbers()
        self.turn.put(succeed(numbers, size_bytes=numbers.size_bytes + size_bytes))
        adder: SessionRow | None = self.session() if session is None else self.turn.table(SessionRow)[session]
        if adder is not None:
            self.turn.put(succeed(adder, size_bytes=max(0, adder.size_bytes + size_bytes)))

    def check_answer(self, value: Any) -> None:
        """Raise `Refused` if the answer is large and too many are kept: call it before the first change of a call."""
        refusal = self._refusal_of_answer(self.call.session, self.call.slot, value)
        if refusal is not None:
            raise refusal

    def turn_away(self, wait: WaitRow, value: Any) -> bool:
        """Refuse a call that waits instead of answering it, if `check_answer` would; return whether it is refused."""
        refusal = self._refusal_of_answer(wait.owner.session, wait.slot, value)
        if refusal is not None:
            self.reply_to(wait, refusal.reply)
        return refusal is not None

    def _refusal_of_answer(self, session: str, slot: int, value: Any) -> Refused | None:
        """Return why a slot gets no large answer: the kept ones, without its own last, have too many bytes."""
        if _contents_bytes(value) < LARGE_ANSWER_BYTES:
            return None
        caller: CallerRow | None = self.turn.table(CallerRow)[caller_key(session, slot)]
        less_bytes = 0 if caller is None else _large_bytes(caller.reply)
        row: SessionRow | None = self.turn.table(SessionRow)[session]
        if row is not None and row.answer_bytes - less_bytes > MAX_BYTES_OF_SESSION:
            return Refused(
                ValueError,
                f"the last answers to the threads of this program, which are kept until each calls again, have over "
                f"{MAX_BYTES_OF_SESSION} bytes: use fewer threads or smaller items",
            )
        if self.numbers().answer_bytes - less_bytes > MAX_BYTES:
            return Refused(ValueError, f"the last answers to all programs have over {MAX_BYTES} bytes: try it later")
        return None

    def keep(self, session: str, before: ObjectReply | None, after: ObjectReply | None) -> None:
        """Count the bytes of a last answer that replaces another one."""
        growth = _large_bytes(after) - _large_bytes(before)
        if growth:
            numbers, row = self.numbers(), existing(self.turn.table(SessionRow)[session])
            self.turn.put(succeed(numbers, answer_bytes=numbers.answer_bytes + growth))
            self.turn.put(succeed(row, answer_bytes=row.answer_bytes + growth))

    def numbers(self) -> ObjectsRow:
        """Return the numbers of all objects together."""
        row: ObjectsRow | None = self.turn.table(ObjectsRow)[0]
        return row if row is not None else ObjectsRow(version=0)

    def session(self) -> SessionRow:
        """Return the row of the calling session."""
        row: SessionRow | None = self.turn.table(SessionRow)[self.call.session]
        return row if row is not None else SessionRow(version=0, session=self.call.session)


def _large_bytes(reply: ObjectReply | None) -> int:
    """Return how many bytes an answer counts while it is kept."""
    size_bytes = 0 if reply is None else _contents_bytes(reply.value)
    return size_bytes if size_bytes >= LARGE_ANSWER_BYTES else 0


def _contents_bytes(value: Any) -> int:
    if isinstance(value, bytes | str):
        return len(value)
    return sum(map(_contents_bytes, value)) if isinstance(value, list | tuple) else 0


def desk_of(turn: Turn, wait: WaitRow) -> Desk:
    """Return a desk of a caller that waits."""
    return desk_for(turn, wait.owner, wait.kind, wait.name)


def desk_for(turn: Turn, owner: Owner, kind: str, name: str) -> Desk:
    """Return a desk at which the owner makes no call now."""
    session, thread = owner.session, owner.thread
    return Desk(turn, ObjectCall(session=session, thread=thread, slot=0, number=0, kind=kind, name=name, method=""))
