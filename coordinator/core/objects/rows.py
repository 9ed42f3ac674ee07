"""The rows of named objects: each object, its parts, the calls that wait for it, and what callers were answered.

All of them are resident: see `ResidentRow`. A kind of object has its own class of row, a subclass of `ObjectRow`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from crawlfleet.coordinator.core.rows import ResidentRow
from crawlfleet.shared.objects import ObjectReply


class Owner(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A thread of a program or worker. `thread` is the session's own number for it, which is never used again."""

    session: str
    thread: int


class ObjectRow(ResidentRow, frozen=True, kw_only=True):
    """Base of the rows of all kinds of objects. Names are unique among a kind."""

    name: str
    #: The object's own number among the objects of all kinds: the family of its waits and parts.
    number: int

    @property
    def key(self) -> str:
        return self.name


class OtherSide(msgspec.Struct, frozen=True):
    """The second line of an object, and a second family of its parts: its number is the object's with a minus."""

    number: int


def other_side(row: ObjectRow) -> OtherSide:
    """Return the other side of an object."""
    return OtherSide(-row.number)


class PartRow(ResidentRow, frozen=True, kw_only=True):
    """A part of an object that holds several values: an entry of a dict, an item of a queue, a block of a list.

    `value` (and `name`, the key of a dict's entry) are encoded values, which the coordinator stores as they are.
    """

    object: int
    #: Unique among the object's parts.
    subkey: bytes
    #: Parts are read in the order of their places. It changes only if a part is removed and added again.
    place: int
    value: bytes = b""
    name: bytes = b""
    #: The session that has added it, or has made it larger since: its bytes count there.
    session: str = ""

    @property
    def key(self) -> bytes:
        return part_key(self.object, self.subkey)

    @property
    def family(self) -> int:
        return self.object


def part_key(number: int, subkey: bytes) -> bytes:
    """Return the key of a part of the object with this number."""
    return number.to_bytes(8, signed=True) + subkey


class WaitRow(ResidentRow, frozen=True, kw_only=True):
    """A call that waits, in the line of its object."""

    object: int
    #: The ticket: tickets are given in the order of arrival, over all objects.
    place: int
    owner: Owner
    #: The caller that gets the answer: with the owner's session, the key of its `CallerRow`.
    slot: int
    #: The kind and the name of the object, and the method that was called.
    kind: str
    name: str
    method: str
    #: What the method noted about the call.
    note: tuple[Any, ...] = ()
    #: When the call gives up, in crawl time; None: never.
    deadline: float | None = None

    @property
    def key(self) -> int:
        return self.place

    @property
    def family(self) -> int:
        return self.object


class CallerRow(ResidentRow, frozen=True, kw_only=True):
    """The last call of one of a session's slots. A slot makes one call after another, and numbers them from 1."""

    session: str
    slot: int
    number: int
    #: The answer; None while the call waits under the ticket `wait`.
    reply: ObjectReply | None
    wait: int = 0
    #: The call was answered after it had waited: the answer is delivered to whoever collects for the session.
    woken: bool = False
    #: The number of the object whose `method` was called; 0 if the call created or opened it.
    object: int = 0
    method: str = ""

    @property
    def key(self) -> str:
        return caller_key(self.session, self.slot)

    @property
    def family(self) -> str:
        return self.session

    @property
    def place(self) -> int:
        return self.slot


def caller_key(session: str, slot: int) -> str:
    """Return the key of the caller in a slot of a session."""
    return f"{session}/{slot}"


class SessionRow(ResidentRow, frozen=True, kw_only=True):
    """A session that has made calls that change objects."""

    session: str
    #: How many objects it created, and the bytes that it has added to objects.
    created: int = 0
    size_bytes: int = 0
    #: The bytes of the large ones among the last answers that are kept for its slots.
    answer_bytes: int = 0
    #: It belongs to a program, not to the hooks of a worker.
    is_program: bool = False
    #: When it was lost, in crawl time. Its answers are kept for a while, in case it comes back.
    lost_at: float | None = None

    @property
    def key(self) -> str:
        return self.session


class UseRow(ResidentRow, frozen=True, kw_only=True):
    """A session has opened or changed an object that must hear of the session's end."""

    session: str
    object: int
    kind: str
    name: str

    @property
    def key(self) -> str:
        return use_key(self.session, self.object)

    @property
    def family(self) -> str:
        return self.session

    @property
    def place(self) -> int:
        return self.object


def use_key(session: str, number: int) -> str:
    """Return the key of a session's use of the object with this number."""
    return f"{session}/{number}"


class ObjectsRow(ResidentRow, frozen=True, kw_only=True):
    """Numbers of all objects together. There is one."""

    #: The next number of an object, and the next ticket or place. They only grow.
    next_number: int = 1
    next_place: int = 1
    objects: int = 0
    waits: int = 0
    size_bytes: int = 0
    answer_bytes: int = 0

    @property
    def key(self) -> int:
        return 0
