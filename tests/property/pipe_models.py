"""A plain model of Pipe."""

from __future__ import annotations

from bisect import insort
from typing import Any, NamedTuple

from hypothesis import strategies as st

from crawlfleet.coordinator.core.objects.calls import End
from crawlfleet.coordinator.core.objects.rows import PartRow
from crawlfleet.shared.wire.values import decode
from tests.property.object_model import TIMEOUTS, Call, KindModel, ObjectModel, Op, Outcome, Raised, named

#: How many messages may be on their way to an end: the machine sets the window for so many.
WINDOW = 2


class Sent(NamedTuple):
    """A message on its way."""

    place: int
    value: int
    to: int
    generation: int


class PipeModel(KindModel):
    """Two ends, each held by a session at most. `line` are calls at the messages to the first end, `other_line` those
    at the messages to the second: they wait to receive, or to send.
    """

    kind = "Pipe"
    operations = st.one_of(
        named("send", st.integers(0, 99)),
        named("recv"),
        named("poll", TIMEOUTS),
        named("close"),
    )
    reads = frozenset({"poll"})
    forgets = frozenset({"close"})

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.generation = 0
        self.is_opened = [False, False]
        self.holders: list[str | None] = [None, None]
        self.messages: list[list[Sent]] = [[], []]
        self.places = 0
        #: What calls have sent and received, in case they are given up.
        self.moved: dict[Any, Sent] = {}

    @staticmethod
    def perform(proxy: Any, op: Op) -> Outcome:
        return getattr(proxy, op.method)(*op.args)

    def opened(self, call: Call) -> Outcome:
        if self._is_over():
            token = call.told[0]
            assert token > self.generation
            self.generation, self.is_opened, self.holders = token, [True, False], [call.session, None]
        elif self.is_opened[1]:
            return Raised("ValueError")
        else:
            self.is_opened[1], self.holders[1] = True, call.session
        return self.generation, int(self.is_opened[1])

    def do_send(self, call: Call, value: int) -> Outcome:
        end = self._held(call)
        if end is None:
            return Raised("OSError")
        to = 1 - end
        if self._is_closed(to):
            return Raised("BrokenPipeError")
        first = next(iter(self._line(to)), None)
        if len(self.messages[to]) >= WINDOW or (first is not None and first.op.method == "send"):
            return self.park(call, (to, value), other=to == 1)
        self._deliver(to, self._send(call, to, value))
        return None

    def do_recv(self, call: Call) -> Outcome:
        end = self._held(call)
        if end is None:
            return Raised("OSError")
        if self.messages[end]:
            message = self.moved[call.key] = self.messages[end].pop(0)
            self._admit(end)
            return message.value
        return Raised("EOFError") if self._is_closed(1 - end) else self.park(call, other=end == 1)

    def do_poll(self, call: Call, _timeout: float | None) -> Outcome:
        end = self._held(call)
        if end is None:
            return Raised("OSError")
        if self.messages[end] or self._is_closed(1 - end):
            return True
        return self.park(call, other=end == 1) if call.key[2] else False

    def do_close(self, call: Call) -> None:
        generation, end = call.args[:2]
        if generation == self.generation and self.holders[end] == call.session:
            self._close(end)

    def withdrawn(self, call: Call) -> None:
        if call.op.method == "send":
            self._admit(call.note[0])

    def undo(self, call: Call, _outcome: Outcome) -> None:
        message = self.moved.get(call.key)
        if message is None or message.generation != self.generation:
            return
        if call.op.method == "recv" and not self._is_closed(message.to):
            self._deliver(message.to, message)
        elif call.op.method == "send" and message in self.messages[message.to]:
            self.messages[message.to].remove(message)
            self._admit(message.to)

    def lost(self, session: str, waits: list[Call], _end: End) -> None:
        for call in waits:
            self.withdrawn(call)
        for end in (0, 1):
            if self.holders[end] == session:
                self._close(end)

    def check(self, row: Any, parts: list[PartRow]) -> None:
        assert row.generation == self.generation
        assert [end.is_opened for end in row.ends] == self.is_opened
        assert [end.holders for end in row.ends] == [(holder,) if holder else () for holder in self.holders]
        assert [decode(part.value) for part in parts] == [message.value for message in self.messages[0]]
        for end in (0, 1):
            methods = {call.op.method for call in self._line(end)}
            assert not self.messages[end] or methods <= {"send"}, "a message for which somebody waits"
            assert len(self.messages[end]) >= WINDOW or "send" not in methods, "room for which somebody waits"

    def check_idle(self) -> None:
        assert self.holders == [None, None]

    def _line(self, end: int) -> list[Call]:
        return self.other_line if end else self.line

    def _is_closed(self, end: int) -> bool:
        return self.is_opened[end] and self.holders[end] is None

    def _is_over(self) -> bool:
        if not self.is_opened[0]:
            return True
        second = self._is_closed(1) if self.is_opened[1] else not self.messages[1]
        return self._is_closed(0) and second

    def _held(self, call: Call) -> int | None:
        generation, end = call.args[:2]
        is_held = generation == self.generation and self.holders[end] == call.session
        return end if is_held else None

    def _send(self, call: Call, to: int, value: int) -> Sent:
        self.places += 1
        message = self.moved[call.key] = Sent(self.places, value, to, self.generation)
        return message

    def _deliver(self, to: int, message: Sent) -> None:
        line = self._line(to)
        while line and line[0].op.method != "send":
            call = line[0]
            if call.op.method == "recv":
                self.moved[call.key] = message
                self.model.answer(call, message.value)
                return
            self.model.answer(call, True)
        insort(self.messages[to], message)

    def _admit(self, to: int) -> None:
        line = self._line(to)
        while line and line[0].op.method == "send" and len(self.messages[to]) < WINDOW:
            call = line[0]
            self.model.answer(call, None)
            self._deliver(to, self._send(call, *call.note))

    def _close(self, end: int) -> None:
        self.holders[end] = None
        for call in list(self._line(end)):
            self.model.answer(call, Raised("BrokenPipeError" if call.op.method == "send" else "OSError"))
        self.messages[end] = []
        answers = {"recv": Raised("EOFError"), "poll": True, "send": Raised("OSError")}
        for call in list(self._line(1 - end)):
            self.model.answer(call, answers[call.op.method])
