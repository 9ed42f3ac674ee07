"""A plain model of named objects: what each call must be answered, and who must wait in which order.

It is told of each message in the order in which the coordinator serves them, and of time and losses. `copy` is a
snapshot: after a crash the model goes on from that of the last commit. A kind of object is a `KindModel`.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

from hypothesis import strategies as st

from crawlfleet.coordinator.core.objects.calls import End
from crawlfleet.coordinator.core.objects.rows import PartRow
from crawlfleet.shared.objects import FORGOTTEN, OPEN, PLACE_LOST, WITHDRAW, ObjectCall

Key = tuple[str, int, int]
Owner = tuple[str, int]


@dataclass(frozen=True)
class Op:
    """One operation of a proxy, as a thread of a program asks for it; `number` is its own among all."""

    kind: str
    name: str
    method: str
    args: tuple[Any, ...] = ()
    number: int = 0

    def __deepcopy__(self, _memo: object) -> Op:
        return self

    def __str__(self) -> str:
        return f"#{self.number} {self.kind} {self.name!r}.{self.method}{self.args}"


class Raised(NamedTuple):
    """An operation raised this error."""

    error: str


#: How long a call waits: not at all, for a while, for longer than a lease, without limit.
TIMEOUTS = st.sampled_from([0.0, 0.5, 2.0, 9.0, None, None, None])


def named(method: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    """Draw an operation of one method."""
    return st.tuples(st.just(method), st.tuples(*args))


class Waits(NamedTuple):
    """A call waits."""


WAITS = Waits()
#: Methods that proxies call besides that of the operation.
OF_THEIR_OWN = (OPEN, "resume")
WITHDRAWN = Raised("Withdrawn")

Outcome = Any


class Call(NamedTuple):
    """A call that was sent for an operation: the session, slot and number of the call, who calls, until when."""

    key: Key
    owner: Owner
    op: Op
    may_wait: bool
    deadline: float | None
    #: What the object notes about a call that waits, and when it came.
    note: Any = None
    ticket: int = 0
    #: The arguments of the message, and what the coordinator has said, for what is its own.
    args: tuple[Any, ...] = ()
    told: Any = None

    @property
    def session(self) -> str:
        return self.key[0]


class KindModel:
    """One object. Its methods are called as those of its proxy; `line` are the calls that wait for it."""

    kind: ClassVar[str]
    #: The operations that programs draw from: a strategy of (method, arguments).
    operations: ClassVar[st.SearchStrategy[tuple[str, tuple[Any, ...]]]]
    #: Methods that only read.
    reads: ClassVar[frozenset[str]] = frozenset()
    #: What a program that has just come reads at the end.
    last_reads: ClassVar[tuple[tuple[str, tuple[Any, ...]], ...]] = ()
    #: Methods after which a proxy is not used again.
    forgets: ClassVar[frozenset[str]] = frozenset()
    #: Errors that may be made by the proxy, of an answer without one.
    proxy_errors: ClassVar[frozenset[str]] = frozenset()
    #: Further options of the factory.
    options: ClassVar[tuple[Any, ...]] = ()

    def __init__(self, model: ObjectModel, name: str) -> None:
        self.model = model
        self.name = name
        self.line: list[Call] = []
        #: Those who wait for something else.
        self.other_line: list[Call] = []

    @property
    def waiting(self) -> list[Call]:
        """All calls that wait."""
        return self.line + self.other_line

    @staticmethod
    def perform(proxy: Any, op: Op) -> Outcome:
        """Carry an operation out on a real proxy."""
        return getattr(proxy, op.method)(*op.args)

    def opened(self, _call: Call) -> Outcome:
        """Answer the call by which a proxy opens the object."""
        return True

    def run(self, call: Call) -> Outcome:
        """Answer a call."""
        method = getattr(self, f"do_{call.op.method.strip('_')}")
        return method(call, *call.op.args)

    def park(self, call: Call, note: Any = None, *, other: bool = False) -> Outcome:
        """Let a call wait, or answer False if it may not."""
        if not call.may_wait:
            return False
        self.model.tickets += 1
        (self.other_line if other else self.line).append(call._replace(note=note, ticket=self.model.tickets))
        return WAITS

    def expired(self, call: Call) -> None:
        """Hear that the time of a call that waits is over."""
        self.model.answer(call, False)

    def withdrawn(self, call: Call) -> None:
        """Hear of a call that was given up and has left the line."""

    def undo(self, call: Call, outcome: Outcome) -> None:
        """Hear of a call that was given up after it was answered."""

    def lost(self, session: str, _waits: list[Call], _end: End) -> None:
        """Hear of the end of a session, whose calls have left the line."""

    def check(self, row: Any, _parts: list[PartRow]) -> None:
        """Check the object's row and parts against this model, and what holds at any time."""

    def check_idle(self) -> None:
        """Check what holds once all programs have gone."""


class ObjectModel:
    """All objects, and what each session's calls were answered."""

    def __init__(self, kinds: dict[str, type[KindModel]], max_lost: int) -> None:
        self.kinds = kinds
        self.max_lost = max_lost
        self.objects: dict[tuple[str, str], KindModel] = {}
        self.callers: dict[tuple[str, int], tuple[Call, Outcome]] = {}
        self.sessions: dict[str, float | None] = {}
        self.uses: dict[tuple[str, str], set[str]] = {}
        self.given: dict[Key, Outcome] = {}
        #: What a call was answered that was sent again after its session was forgotten.
        self.given_late: dict[Key, Outcome] = {}
        self.read: dict[int, list[Outcome]] = {}
        self.applied: Counter[int] = Counter()
        self.tickets = 0
        self.changed = True

    def copy(self) -> ObjectModel:
        """Return a snapshot."""
        return deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> ObjectModel:
        copy = ObjectModel(self.kinds, self.max_lost)
        memo[id(self)] = copy
        copy.objects = deepcopy(self.objects, memo)
        copy.callers = dict(self.callers)
        copy.sessions = dict(self.sessions)
        copy.uses = {key: set(sessions) for key, sessions in self.uses.items()}
        copy.given = dict(self.given)
        copy.given_late = dict(self.given_late)
        copy.read = {key: list(outcomes) for key, outcomes in self.read.items()}
        copy.applied = Counter(self.applied)
        copy.tickets = self.tickets
        return copy

    def serve(self, message: ObjectCall, op: Op, now: float, told: Any) -> Outcome:
        """Return what a message must be answered now; `told` is the value that it was."""
        deadline = None if message.timeout_s is None else now + message.timeout_s
        key = (message.session, message.slot, message.number)
        if message.method in OF_THEIR_OWN:
            op = Op(message.kind, message.name, message.method)
        elif op.kind != message.kind:
            op = replace(op, kind=message.kind)  # of an object that belongs to the operation's
        call = Call(
            key,
            (message.session, message.thread),
            op,
            deadline is None or deadline > now,
            deadline,
            args=message.args,
            told=told,
        )
        if not message.number:
            return self._read(call)
        last, answer = self.callers.get(key[:2], (None, None))
        before = 0 if last is None else last.key[2]
        if message.number < before or (last is None and message.number != 1 and message.method != WITHDRAW):
            self.given_late[key] = Raised(FORGOTTEN)
            self.changed = True
            return Raised(FORGOTTEN)
        if message.number == before and message.method != WITHDRAW:
            return answer
        self.changed = True
        self.sessions[message.session] = None
        if last is not None and before < message.number and answer is WAITS:
            self._give_up(last)
        if message.method == WITHDRAW:
            if message.number == before and last is not None and answer is not WITHDRAWN:
                self._withdraw(last, answer)
            outcome: Outcome = WITHDRAWN
        elif message.method == OPEN:
            outcome = self._open(message, call)
        else:
            outcome = self._run(call)
        self.callers[key[:2]] = (call, outcome)
        self.given[key] = outcome
        return outcome

    def answer(self, call: Call, outcome: Outcome) -> None:
        """Answer a call that waits: it leaves its line."""
        thing = self._where(call)
        (thing.line if call in thing.line else thing.other_line).remove(call)
        self.changed = True
        self.callers[call.key[:2]] = (call, outcome)
        self.given[call.key] = outcome
        self._count(call, outcome)

    def expire(self, now: float) -> None:
        """Tell objects of the calls whose time is over, in the order of their deadlines."""
        for call in sorted(self._overdue(now), key=lambda call: call.deadline or 0.0):
            if any(call in thing.waiting for thing in self.objects.values()):  # an earlier one may have answered it
                self.changed = True
                self.of(call).expired(call)

    def lose(self, session: str, now: float, end: End) -> None:
        """End a session."""
        if session not in self.sessions:
            return
        self.changed = True
        waits: dict[tuple[str, str], list[Call]] = {}
        for (of, _), (call, outcome) in sorted(self.callers.items(), key=lambda caller: caller[0]):
            if of == session and outcome is WAITS:
                waiting = self._waiting(call)
                waits.setdefault((call.op.kind, call.op.name), []).append(waiting)
                self.answer(waiting, Raised(PLACE_LOST))
        for key, thing in self.objects.items():
            if session in self.uses[key]:
                self.uses[key].discard(session)
                thing.lost(session, waits.get(key, []), end)
        self.sessions[session] = now
        lost = {name: at for name, at in self.sessions.items() if at is not None}
        if end is not End.SILENCE:
            self._forget(session)
        elif len(lost) > self.max_lost:
            self._forget(min(lost, key=lambda name: (lost[name], name)))

    def of(self, call: Call) -> KindModel:
        """Return the object whose method a call calls."""
        return self.objects[call.op.kind, call.op.name]

    def is_waiting(self, key: Key) -> bool:
        """Whether a call waits in some line."""
        return any(call.key == key for thing in self.objects.values() for call in thing.waiting)

    def _read(self, call: Call) -> Outcome:
        outcome = self.of(call).run(call)
        self.read.setdefault(call.op.number, []).append(outcome)
        self.changed = True
        return outcome

    def _open(self, message: ObjectCall, call: Call) -> Outcome:
        key = message.kind, message.name
        if key not in self.objects:
            self.objects[key] = self.kinds[message.kind](self, message.name)
            self.uses[key] = set()
        self.uses[key].add(call.session)
        return self.objects[key].opened(call)

    def _run(self, call: Call) -> Outcome:
        key = call.op.kind, call.op.name
        outcome = self.objects[key].run(call)
        if not isinstance(outcome, Raised):
            self.uses[key].add(call.session)
        self._count(call, outcome)
        return outcome

    def _count(self, call: Call, outcome: Outcome) -> None:
        if call.op.number and not isinstance(outcome, Raised) and outcome is not WAITS and outcome is not False:
            self.applied[call.op.number] += 1
            assert self.applied[call.op.number] == 1, f"{call.op} was carried out twice"

    def _withdraw(self, call: Call, answer: Outcome) -> None:
        if answer is WAITS:
            self._give_up(call)
        elif not isinstance(answer, Raised):
            self.of(call).undo(call, answer)

    def _give_up(self, call: Call) -> None:
        waiting = self._waiting(call)
        self.answer(waiting, WITHDRAWN)
        self.of(call).withdrawn(waiting)

    def _where(self, call: Call) -> KindModel:
        return next(thing for thing in self.objects.values() if any(each.key == call.key for each in thing.waiting))

    def _waiting(self, call: Call) -> Call:
        return next(each for each in self._where(call).waiting if each.key == call.key)

    def _overdue(self, now: float) -> list[Call]:
        return [
            call
            for thing in self.objects.values()
            for call in thing.waiting
            if call.deadline is not None and call.deadline <= now
        ]

    def _forget(self, session: str) -> None:
        del self.sessions[session]
        for key in [key for key in self.callers if key[0] == session]:
            del self.callers[key]
