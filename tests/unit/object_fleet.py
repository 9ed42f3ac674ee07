"""Programs that call named objects, over the real rules and a store, in a time that tests set.

fleet = ObjectFleet()
a, b = fleet.thread("a"), fleet.thread("b")
lock = a.open("Lock", "door")
lock.acquire(timeout_s=None)           the answer, or `WAITS`
b.open("Lock", "door").acquire(timeout_s=None) is WAITS; later: b.woken()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from crawlfleet.coordinator.conduct.turns import Turns
from crawlfleet.coordinator.conduct.waits import Waits
from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.objects import calls
from crawlfleet.coordinator.core.objects.desk import LARGE_ANSWER_BYTES
from crawlfleet.coordinator.core.objects.registry import OBJECTS
from crawlfleet.coordinator.core.objects.rows import CallerRow, ObjectsRow, PartRow, SessionRow, UseRow, WaitRow
from crawlfleet.coordinator.core.rows import ResidentRow
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Frontier
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.objects import OPEN, WITHDRAW, ObjectCall, ObjectReply
from tests.policies import make_policy

WAITS = "waits"

#: The options with which tests open a kind if they say nothing else.
DEFAULT_OPTIONS: dict[str, tuple[Any, ...]] = {"Value": ("", 0)}


class ObjectFleet:
    """The coordinator's half: rules, store, and the answers to calls that have waited."""

    def __init__(self, store: Frontier | None = None) -> None:
        self.store = store if store is not None else MemoryStore()
        self.now = 0.0
        self.changes: list[Change] = []
        self.answers: dict[tuple[str, int], ObjectReply] = {}
        self._waits = Waits(self.store)
        self._turns = Turns(self.store, make_policy(ScopeSpec()), self._note)
        self._threads: dict[str, int] = {}

    def thread(self, session: str) -> ProgramThread:
        """Return a new thread of a session."""
        self._threads[session] = self._threads.get(session, 0) + 1
        return ProgramThread(self, session, self._threads[session])

    def send(self, call: ObjectCall) -> ObjectReply:
        """Carry out a call, as often as it is sent."""
        reply = self._turns.run(partial(calls.call, request=call), self.now)
        self._collect()
        return reply

    def advance(self, seconds: float) -> None:
        """Let time pass: calls whose time is over are answered."""
        self.now += seconds
        for ticket in self._waits.take_due(self.now):
            self._turns.run(partial(calls.expire, ticket=ticket), self.now)
        self._collect()

    def lose(self, session: str, *, keep_answers: bool = True) -> None:
        """End a session that was silent for too long or, if its answers need not be kept, is known to be dead."""
        self._end(session, calls.End.SILENCE if keep_answers else calls.End.DEATH)

    def part(self, session: str) -> None:
        """End a session that says goodbye."""
        self._end(session, calls.End.GOODBYE)

    def _end(self, session: str, end: calls.End) -> None:
        self._turns.run(partial(calls.lose, session=session, end=end), self.now)
        self._collect()

    def rows(self, kind: type[ResidentRow]) -> list[Any]:
        """Return all rows of a kind."""
        return list(self.store.resident(kind))

    def check(self) -> None:
        """Check what holds after every call."""
        check_rows(self.store)

    def _note(self, changes: Sequence[Change]) -> None:
        self.changes += changes
        self._waits.note(changes)

    def _collect(self) -> None:
        for session, woken in self._waits.take_woken():
            assert woken is not None
            self.answers[session, woken.slot] = woken.reply
        self.check()


def check_rows(store: Frontier) -> None:
    """Check what holds after every call: no row is left over, and the numbers agree."""
    waits, callers = list(store.resident(WaitRow)), list(store.resident(CallerRow))
    assert sorted(wait.place for wait in waits) == sorted(row.wait for row in callers if row.reply is None)
    objects = [row for kind in OBJECTS.values() for row in store.resident(kind.row)]
    for numbers in store.resident(ObjectsRow):
        assert numbers.waits == len(waits)
        assert numbers.objects == len(objects) == len({row.number for row in objects})
        parts = store.resident(PartRow)
        assert numbers.size_bytes >= sum(len(part.value) for part in parts)
        assert numbers.answer_bytes == sum(row.answer_bytes for row in store.resident(SessionRow))
        assert {abs(part.object) for part in parts} <= {row.number for row in objects}
    for session in store.resident(SessionRow):
        assert session.answer_bytes == sum(_large(row.reply) for row in callers if row.session == session.session)
    sessions = {row.session for row in store.resident(SessionRow)}
    assert {row.session for row in callers} <= sessions
    uses = store.resident(UseRow)
    assert {use.session for use in uses} <= sessions
    assert {use.object for use in uses} <= {row.number for row in objects}


def _large(reply: ObjectReply | None) -> int:
    """Return the bytes of an answer with large values."""
    values = [reply.value] if reply is not None else []
    size_bytes = 0
    while values:
        value = values.pop()
        if isinstance(value, list | tuple):
            values += value
        elif isinstance(value, bytes | str):
            size_bytes += len(value)
    return size_bytes if size_bytes >= LARGE_ANSWER_BYTES else 0


class ProgramThread:
    """A thread of a program: it makes one call after another, in a slot of its own."""

    def __init__(self, fleet: ObjectFleet, session: str, number: int) -> None:
        self.fleet = fleet
        self.session = session
        self.number = number
        self.slot = number - 1
        self.calls = 0
        self.last: ObjectCall | None = None

    def open(self, kind: str, name: str, *options: Any) -> Handle:
        """Open an object; raise `Failed` if that is refused."""
        handle = Handle(self, kind, name)
        handle.opened = handle.call(OPEN, *(options or DEFAULT_OPTIONS.get(kind, ())))
        return handle

    def send(self, kind: str, name: str, method: str, args: tuple[Any, ...], timeout_s: float | None = 0.0) -> Any:
        """Make a call; return its value, or `WAITS`; raise `Failed`."""
        self.calls += 1
        self.last = ObjectCall(
            session=self.session,
            thread=self.number,
            slot=self.slot,
            number=self.calls,
            kind=kind,
            name=name,
            method=method,
            args=args,
            timeout_s=timeout_s,
        )
        return self.again()

    def again(self) -> Any:
        """Send the last call once more."""
        assert self.last is not None
        return outcome(self.fleet.send(self.last))

    def withdraw(self, *, as_kind: str = "", as_method: Any = None) -> None:
        """Give up the last call; say that it is one of another kind, or of another method."""
        assert self.last is not None
        last = self.last
        self.fleet.send(
            ObjectCall(
                session=last.session,
                thread=last.thread,
                slot=last.slot,
                number=last.number,
                kind=as_kind or last.kind,
                name=last.name,
                method=WITHDRAW,
                args=(last.method if as_method is None else as_method,),
            )
        )

    def woken(self) -> Any:
        """Return the answer of the call that has waited; `WAITS` if it still does; raise `Failed`."""
        reply = self.fleet.answers.pop((self.session, self.slot), None)
        return WAITS if reply is None else outcome(reply)


class Handle:
    """An object as a thread uses it: `handle.acquire(timeout_s=1)` calls the method `acquire`."""

    def __init__(self, thread: ProgramThread, kind: str, name: str) -> None:
        self.thread = thread
        self.kind = kind
        self.name = name
        self.opened: Any = None

    def call(self, method: str, *args: Any, timeout_s: float | None = 0.0) -> Any:
        """Call a method."""
        return self.thread.send(self.kind, self.name, method, args, timeout_s)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(self.call, method)


class Failed(Exception):
    """A call was refused: `error` is the name of the exception that the program gets."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(f"{error}: {text}")
        self.error = error
        self.text = text


def outcome(reply: ObjectReply) -> Any:
    """Return the value of an answer, or `WAITS`; raise `Failed`."""
    if reply.error:
        raise Failed(reply.error, reply.text)
    return WAITS if reply.waits else reply.value
