"""Plain models of Queue and JoinableQueue."""

from __future__ import annotations

from bisect import insort
from typing import Any, NamedTuple

from hypothesis import strategies as st

from crawlfleet.coordinator.core.objects.calls import End
from crawlfleet.coordinator.core.objects.rows import PartRow
from crawlfleet.shared.wire.values import decode
from tests.property.object_model import TIMEOUTS, Call, KindModel, ObjectModel, Op, Outcome, Raised, named


class Item(NamedTuple):
    """An item at its place."""

    place: int
    value: int


class QueueModel(KindModel):
    """Items in order. `line` wait to get or to put, `other_line` for the last `task_done`."""

    kind = "Queue"
    operations = st.one_of(
        named("put", st.integers(0, 99), TIMEOUTS),
        named("get", TIMEOUTS),
        named("task_done"),
        named("put", st.integers(0, 99), TIMEOUTS),
        named("get", TIMEOUTS),
        named("join"),
        named("qsize"),
        named("full"),
    )
    reads = frozenset({"qsize", "full"})
    last_reads = (("qsize", ()),)
    options = (1,)

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.items: list[Item] = []
        self.unfinished = 0
        self.places = 0
        #: What calls have put and got, in case they are given up.
        self.moved: dict[Any, Item] = {}

    @property
    def is_full(self) -> bool:
        """Whether there is no room."""
        return len(self.items) >= self.options[0]

    @staticmethod
    def perform(proxy: Any, op: Op) -> Outcome:
        if op.method == "put":
            return proxy.put(op.args[0], timeout=op.args[1])
        return proxy.get(timeout=op.args[0]) if op.method == "get" else getattr(proxy, op.method)()

    def do_put(self, call: Call, value: int, _timeout: float | None) -> Outcome:
        if not self.is_full:
            return self._accept(call, value)
        return self.park(call, value) if call.may_wait else Raised("Full")

    def do_get(self, call: Call, _timeout: float | None) -> Outcome:
        if not self.items:
            return self.park(call) if call.may_wait else Raised("Empty")
        item = self.items.pop(0)
        self._take(call, item)
        self._admit()
        return item.value

    def do_task_done(self, _call: Call) -> Outcome:
        if not self.unfinished:
            return Raised("ValueError")
        self._finish()
        return None

    def do_join(self, call: Call) -> Outcome:
        if not self.unfinished:
            return None
        return self.park(call, other=True)

    def do_qsize(self, _call: Call) -> Outcome:
        return len(self.items)

    def do_full(self, _call: Call) -> Outcome:
        return self.is_full

    def expired(self, call: Call) -> None:
        self.model.answer(call, Raised("Empty" if call.op.method == "get" else "Full"))

    def undo(self, call: Call, _outcome: Outcome) -> None:
        item = self.moved.get(call.key)
        if call.op.method == "get" and item is not None:
            self._offer(item)
        elif call.op.method == "put" and item in self.items:
            self.items.remove(item)
            self._admit()
            self._finish()

    def check(self, row: Any, parts: list[PartRow]) -> None:
        assert [decode(part.value) for part in parts] == [item.value for item in self.items]
        assert (row.size, row.unfinished) == (len(self.items), self.unfinished)
        methods = {call.op.method for call in self.line}
        assert not self.items or "get" not in methods, "an item for which somebody waits"
        assert self.is_full or "put" not in methods, "room for which somebody waits"
        assert self.unfinished or not self.other_line

    def _accept(self, call: Call, value: int) -> None:
        self.unfinished += 1
        self.places += 1
        self.moved[call.key] = Item(self.places, value)
        self._offer(self.moved[call.key])

    def _offer(self, item: Item) -> None:
        if self.line and self.line[0].op.method == "get":
            self._take(self.line[0], item)
            self.model.answer(self.line[0], item.value)
        else:
            insort(self.items, item)

    def _take(self, call: Call, item: Item) -> None:
        self.moved[call.key] = item

    def _admit(self) -> None:
        while self.line and not self.is_full:
            first = self.line[0]
            self._accept(first, first.note)
            self.model.answer(first, None)

    def _finish(self) -> None:
        self.unfinished -= 1
        if not self.unfinished:
            for call in list(self.other_line):
                self.model.answer(call, None)


class JoinableQueueModel(QueueModel):
    """A queue that gets back what a lost session had taken and not done: `taken`, the oldest first."""

    kind = "JoinableQueue"
    options = (2,)

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.taken: list[tuple[Call, Item]] = []

    def do_task_done(self, call: Call) -> Outcome:
        mine = [taken for taken in self.taken if taken[0].owner == call.owner]
        if not mine:
            return Raised("ValueError")
        self.taken.remove(mine[0])
        self._finish()
        return None

    def undo(self, call: Call, outcome: Outcome) -> None:
        if call.op.method != "get":
            super().undo(call, outcome)
            return
        self._return([taken for taken in self.taken if taken[0].key == call.key])

    def lost(self, session: str, _waits: list[Call], _end: End) -> None:
        mine = [taken for taken in self.taken if taken[0].session == session]
        self._return(sorted(mine, key=lambda taken: taken[1]))

    def check(self, row: Any, parts: list[PartRow]) -> None:
        super().check(row, parts)
        assert self.unfinished == len(self.items) + len(self.taken), "an item is neither there, nor taken, nor done"

    def check_idle(self) -> None:
        assert not self.taken

    def _take(self, call: Call, item: Item) -> None:
        self.taken.append((call, item))

    def _return(self, taken: list[tuple[Call, Item]]) -> None:
        for each in taken:
            self.taken.remove(each)
            self._offer(each[1])
